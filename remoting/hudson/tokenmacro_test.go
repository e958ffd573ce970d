package hudson

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

func fileMacroCall(root, path, message, charset string, lines int32) *jser.Object {
	return fields("org.jenkinsci.plugins.tokenmacro.impl.WorkspaceFileMacro$WorkspaceFileMasterToSlaveCallable",
		"root", root, "path", path, "fileNotFoundMessage", message, "charSet", charset, "maxLines", lines)
}

func TestFileMacro(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "unix", "a\nb\n\nc", "dos", "a\r\nb\rc\r\n", "empty", "", "latin", "\xe4\n", "broken", "x\xff\n", "d/f", "in")
	const missing = "ERROR: File '%s' does not exist"
	for name, c := range map[string]struct {
		path, message, charset string
		lines                  int32
		want                   string
	}{
		"no end":       {"unix", missing, "UTF-8", -1, "a\nb\n\nc"},
		"line ends":    {"dos", missing, "UTF-8", -1, "a\nb\nc"},
		"some":         {"unix", missing, "UTF-8", 2, "a\nb"},
		"more":         {"unix", missing, "UTF-8", 9, "a\nb\n\nc"},
		"empty":        {"empty", missing, "UTF-8", -1, ""},
		"charset":      {"latin", missing, "ISO-8859-1", 0, "ä"},
		"malformed":    {"broken", missing, "UTF-8", 0, "x\uFFFD"},
		"rooted":       {"/d/f", missing, "UTF-8", 0, "in"},
		"missing":      {"nope", missing, "UTF-8", 0, "ERROR: File 'nope' does not exist"},
		"own message":  {"nope", "none", "UTF-8", 0, "none"},
		"no such file": {"d", missing, "UTF-8", 0, "ERROR: File 'd' could not be read"},
	} {
		require.Equal(t, c.want, r.must(fileMacroCall(dir, c.path, c.message, c.charset, c.lines)), name)
	}
	for want, c := range map[string][2]string{"fileNotFoundMessage": {"100 %%", "UTF-8"}, "klingon": {missing, "klingon"}} {
		_, err := r.call(fileMacroCall(dir, "unix", c[0], c[1], 0))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "WorkspaceFileMacro")
	}
}

func TestPropertyMacro(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "p", "# c\nk = ü\n", "d/x", "")
	for _, c := range [][3]string{{"p", "k", "ü"}, {"p", "none", ""}, {"nope", "k", "nope not found"}, {"d", "k", "Error reading d"}} {
		require.Equal(t, c[2], r.must(fields("org.jenkinsci.plugins.tokenmacro.impl.PropertyFromFileMacro$ReadProperty",
			"filename", c[0], "property", c[1], "root", dir)), c[0])
	}
}

// What java.util.Properties 17 makes of the same text.
func TestProperties(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"":                                 {},
		"a=1\nb: 2\r\nc 3\rd\t4\n e = = 5": {"a": "1", "b": "2", "c": "3", "d": "4", "e": "= 5"},
		"#x=1\n!y=2\n  # z=3\n":            {},
		"a\\ b\\=c=d":                      {"a b=c": "d"},
		"a=b\\\n   c\\\n# d\n":             {"a": "bc# d"},
		"a=b\\\\\nc=1":                     {"a": "b\\", "c": "1"},
		"a=\\u00e4\\ud83d\\ude00\\t\\q":    {"a": "ä😀\tq"},
		"a\na=2\na=3":                      {"a": "3"},
		"=v\nk":                            {"": "v", "k": ""},
		"\\\n#a=1\n\\\nb=2":                {"b": "2"},
		"\\":                               {"": ""},
		"a=b\\":                            {"a": "b"},
		"a=x \n":                           {"a": "x "},
	} {
		require.Equal(t, want, properties(text), "%q", text)
	}
}
