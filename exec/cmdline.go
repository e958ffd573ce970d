package exec

import "strings"

// MaskedCommandLine is the line a launch prints: "$ cmd args". An argument that
// masks says to hide is printed as ********; when masks is set and shorter than
// argv, the rest is hidden too. An argument with a blank stands in double
// quotes, or in single quotes when it contains a double quote; an empty one is
// printed as nothing (hudson.Launcher.printCommandLine, maskedPrintCommandLine).
// It takes the arguments as they came, before variables are expanded.
func MaskedCommandLine(argv []string, masks []bool) string {
	var b strings.Builder
	b.WriteByte('$')
	for i, a := range argv {
		b.WriteByte(' ')
		if masks != nil && (i >= len(masks) || masks[i]) {
			a = "********"
		}
		q := ""
		if strings.Contains(a, " ") {
			q = `"`
			if strings.Contains(a, `"`) {
				q = "'"
			}
		}
		b.WriteString(q)
		b.WriteString(a)
		b.WriteString(q)
	}
	return b.String()
}

// EchoLine is MaskedCommandLine behind "[last part of workDir] "; workDir "" has
// no prefix. There is no newline at the end.
func EchoLine(workDir string, argv []string, masks []bool) string {
	line := MaskedCommandLine(argv, masks)
	if workDir == "" {
		return line
	}
	return "[" + lastPart(workDir) + "] " + line
}

// lastPart is Java's replaceFirst("^.+[/\\\\]", ""): what follows the last slash
// of the first line, if something precedes that slash. So "/x" stays "/x" and
// "/a/" becomes "".
func lastPart(dir string) string {
	first := dir
	if i := strings.IndexAny(dir, "\n\r\u0085\u2028\u2029"); i >= 0 {
		first = dir[:i]
	}
	if i := strings.LastIndexAny(first, `/\`); i > 0 {
		return dir[i+1:]
	}
	return dir
}
