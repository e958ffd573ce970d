package awsauth

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func validUTF8(ss ...string) bool {
	for _, s := range ss {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

func TestParseINI(t *testing.T) {
	type kv = map[string]map[string]string
	for name, c := range map[string]struct {
		in       string
		want     kv
		problems []string
	}{
		"plain":                    {"[default]\nregion = eu-west-1\n", kv{"default": {"region": "eu-west-1"}}, nil},
		"colon, case, no space":    {"[a]\nRegion:x\nOUTPUT=json", kv{"a": {"region": "x", "output": "json"}}, nil},
		"value with delimiters":    {"[a]\nk = a=b:c", kv{"a": {"k": "a=b:c"}}, nil},
		"crlf":                     {"[a]\r\nk = v\r\n\r\nl = w\r\n", kv{"a": {"k": "v", "l": "w"}}, nil},
		"comments":                 {"# c\n[a]\n; c\nk = v\n  # indented\nl = w\n", kv{"a": {"k": "v", "l": "w"}}, nil},
		"no inline comments":       {"[a]\nk = v # c\nl = w ; d\n", kv{"a": {"k": "v # c", "l": "w ; d"}}, nil},
		"header and comment":       {"[a] # c\nk = v", kv{"a": {"k": "v"}}, nil},
		"continuation":             {"[a]\nk = v\n  w\nl = x", kv{"a": {"k": "v\nw", "l": "x"}}, nil},
		"nested":                   {"[a]\ns3 =\n  max = 1\n  min = 2\nk = v", kv{"a": {"s3": "\nmax = 1\nmin = 2", "k": "v"}}, nil},
		"empty line inside":        {"[a]\nk = v\n\n  w\n", kv{"a": {"k": "v\n\nw"}}, nil},
		"comment inside":           {"[a]\nk = v\n  # c\n  w\n", kv{"a": {"k": "v\nw"}}, nil},
		"all indented":             {"  [a]\n  k = v\n  l = w\n", kv{"a": {"k": "v", "l": "w"}}, nil},
		"empty value":              {"[a]\nk =\nl = w\n", kv{"a": {"k": "", "l": "w"}}, nil},
		"byte order mark":          {"\xef\xbb\xbf[a]\nk = v", kv{"a": {"k": "v"}}, []string{"byte order mark"}},
		"duplicate key":            {"[a]\nk = v\nk = w", kv{"a": {"k": "w"}}, []string{"line 3: section [a]: k is there twice (first on line 2)"}},
		"duplicate section":        {"[a]\nk = v\n[b]\n[a]\nl = w", kv{"a": {"k": "v", "l": "w"}, "b": {}}, []string{"line 4: section [a] is there twice (first on line 1)"}},
		"no delimiter":             {"[a]\nnonsense\nk = v", kv{"a": {"k": "v"}}, []string{"line 2: section [a]: no name = value"}},
		"no section":               {"k = v\n[a]\n", kv{"a": {}}, []string{"line 1: a setting before the first"}},
		"unclosed header":          {"[a\n[b]\nk = v", kv{"b": {"k": "v"}}, []string{"line 1: a setting before the first"}},
		"empty":                    {"", kv{}, nil},
		"header deeper than a key": {"[a]\nk = v\n  [b]\n", kv{"a": {"k": "v\n[b]"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sections, problems := parseINI([]byte(c.in))
			got := kv{}
			for _, s := range sections {
				m := map[string]string{}
				for _, k := range s.keys {
					m[k.name] = k.value
				}
				got[s.name] = m
			}
			require.Equal(t, c.want, got)
			require.Len(t, problems, len(c.problems), "%v", problems)
			for i, p := range c.problems {
				require.Contains(t, problems[i].String(), p)
			}
		})
	}
}

func TestParseINILimit(t *testing.T) {
	_, problems := parseINI([]byte(strings.Repeat("x", maxConfigBytes+1)))
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Text, "more than the limit")
}

func TestSectionName(t *testing.T) {
	for header, want := range map[string][2]string{
		"default":                 {"default", "profile"},
		"profile a":               {"a", "profile"},
		"profile   a":             {"a", "profile"},
		"profile \"a b\"":         {"a b", "profile"},
		"profile 'a b'":           {"a b", "profile"},
		"profile a\\ b":           {"a b", "profile"},
		"profile default":         {"default", "profile"},
		"sso-session corp":        {"corp", "sso-session"},
		"services local":          {"local", "services"},
		"a":                       {"", ""},
		"profilea":                {"", ""},
		"preview":                 {"", ""},
		"profile \"a \\\"q\\\"\"": {`a "q"`, "profile"},
	} {
		name, kind := sectionName(header)
		require.Equal(t, want, [2]string{name, kind}, header)
	}
	for header, complaint := range map[string]string{
		"profile a b": "found 2 words", "profile": "found 0 words", `profile "a`: "quote", `profile ""`: "empty",
	} {
		name, kind := sectionName(header)
		require.Empty(t, name)
		require.Contains(t, kind, complaint, header)
	}
}

// FuzzParseConfig must neither panic nor plan a chain that does not end, and
// what the generated config says must parse back to the same profiles.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("[default]\nregion = x\n[profile a]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = b\n[profile b]\nrole_arn = arn:aws:iam::1:role/s\nsource_profile = a\n"), []byte("[a]\naws_access_key_id = k\naws_secret_access_key = s\n"))
	f.Add([]byte("[profile \"x y\"]\nrole_arn: arn:aws:iam::1:role/r\n  more\nweb_identity_token_file=/t\ns3 =\n  a = b\n\n"), []byte{})
	f.Fuzz(func(t *testing.T, config, creds []byte) {
		c := ParseConfig(config, creds)
		p := NewPlan(c, func(string) string { return "" }, PlanOptions{})
		for _, target := range p.Targets {
			require.True(t, target.Leaf != nil || target.Err != nil || target.Skip != "", "%+v", target)
			if target.Leaf != nil {
				require.LessOrEqual(t, len(target.Leaf.Chain()), len(c.order)+1)
			}
		}
		out := generatedConfig(p, Dir{Path: "/d"}, "cat")
		require.True(t, ParseConfig(out, nil).Generated)
	})
}
