package awsauth

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxConfigBytes bounds a config file. A ConfigMap cannot exceed 1 MiB.
const maxConfigBytes = 1 << 20

// A Problem is something wrong with a config file. Warnings leave the profile
// usable; errors take it out of service. Profile is empty when the problem is
// not that of one profile.
type Problem struct {
	Line    int    `json:"line,omitempty"`
	Profile string `json:"profile,omitempty"`
	Warning bool   `json:"warning,omitempty"`
	Text    string `json:"text"`
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Profile != "" {
		fmt.Fprintf(&b, "profile %s: ", p.Profile)
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	b.WriteString(p.Text)
	return b.String()
}

// iniKey is one setting: the name as the tools compare it (lower case), the
// value with continuation lines joined by newlines, and the line it starts on.
type iniKey struct {
	name, value string
	line        int
}

// nested reports whether the value is a block of its own, such as `s3 =`
// followed by indented settings.
func (k iniKey) nested() bool { return strings.HasPrefix(k.value, "\n") }

type iniSection struct {
	name string
	line int
	keys []iniKey
}

func (s *iniSection) find(name string) *iniKey {
	for i := range s.keys {
		if s.keys[i].name == name {
			return &s.keys[i]
		}
	}
	return nil
}

func (s *iniSection) get(name string) string {
	if k := s.find(name); k != nil {
		return k.value
	}
	return ""
}

// parseINI reads the shared config format the way the AWS CLI does (Python's
// RawConfigParser, as botocore.configloader sets it up): full-line comments
// with # or ; at any indent, no inline comments, '=' or ':' as delimiter, keys
// folded to lower case, a line indented deeper than its key continues the
// value, and empty lines inside a value are kept.
//
// Unlike the CLI, which refuses the whole file, it goes on after a defect:
// duplicates are merged (the later wins, as in the Go SDK) and reported.
func parseINI(data []byte) ([]*iniSection, []Problem) {
	var problems []Problem
	warn := func(line int, format string, args ...any) {
		problems = append(problems, Problem{Line: line, Warning: true, Text: fmt.Sprintf(format, args...)})
	}
	if len(data) > maxConfigBytes {
		return nil, []Problem{{Text: fmt.Sprintf("the file has %d bytes, more than the limit of %d", len(data), maxConfigBytes)}}
	}
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		data = rest
		warn(1, "the file starts with a byte order mark; the AWS CLI refuses it, save it without")
	}
	if !utf8.Valid(data) {
		warn(0, "the file is not valid UTF-8")
	}
	var (
		sections []*iniSection
		byName   = map[string]*iniSection{}
		cur      *iniSection
		opt      *iniKey
		indent   int
	)
	// Python's universal newlines: \r\n and a lone \r end a line as well.
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
	lineNo := 0
	for line := range strings.SplitSeq(text, "\n") {
		lineNo++
		value := strings.TrimSpace(line)
		if strings.HasPrefix(value, "#") || strings.HasPrefix(value, ";") {
			continue
		}
		if value == "" {
			if opt != nil {
				opt.value += "\n"
			}
			continue
		}
		at := len(line) - len(strings.TrimLeft(line, " \t\v\f"))
		if opt != nil && at > indent {
			opt.value += "\n" + value
			continue
		}
		indent = at
		if value[0] == '[' {
			if end := strings.LastIndexByte(value, ']'); end > 1 {
				name := value[1:end]
				opt = nil
				if cur = byName[name]; cur != nil {
					warn(lineNo, "section [%s] is there twice (first on line %d); the AWS CLI refuses the whole file", name, cur.line)
					continue
				}
				cur = &iniSection{name: name, line: lineNo}
				byName[name] = cur
				sections = append(sections, cur)
				continue
			}
		}
		if cur == nil {
			warn(lineNo, "a setting before the first [section]; the AWS CLI refuses the whole file")
			continue
		}
		i := strings.IndexAny(value, "=:")
		if i <= 0 {
			warn(lineNo, "section [%s]: no name = value here; the AWS CLI refuses the whole file", cur.name)
			opt = nil
			continue
		}
		k := iniKey{name: strings.ToLower(strings.TrimSpace(value[:i])), value: strings.TrimSpace(value[i+1:]), line: lineNo}
		if old := cur.find(k.name); old != nil {
			warn(lineNo, "section [%s]: %s is there twice (first on line %d); the AWS CLI refuses the whole file", cur.name, k.name, old.line)
			*old = k
			opt = old
			continue
		}
		cur.keys = append(cur.keys, k)
		opt = &cur.keys[len(cur.keys)-1]
	}
	for _, s := range sections {
		for i := range s.keys {
			k := &s.keys[i]
			k.value = strings.TrimRight(k.value, "\n \t")
			if !k.nested() {
				continue
			}
			for line := range strings.SplitSeq(k.value, "\n") {
				if line != "" && !strings.Contains(line, "=") {
					warn(k.line, "section [%s]: %s: %q below it has no =; the AWS CLI refuses the whole file", s.name, k.name, line)
				}
			}
		}
	}
	return sections, problems
}

// splitHeader splits a section header into words as a POSIX shell would, which
// is how `[profile "two words"]` gets its name. ok is false for open quotes.
func splitHeader(s string) (words []string, ok bool) {
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			switch {
			case c == quote:
				quote = 0
			case c == '\\' && quote == '"' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
				i++
				b.WriteByte(s[i])
			default:
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			in, quote = true, c
		case c == '\\':
			if i+1 == len(s) {
				return nil, false
			}
			i++
			in = true
			b.WriteByte(s[i])
		case c == ' ' || c == '\t':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		default:
			in = true
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, false
	}
	if in {
		words = append(words, b.String())
	}
	return words, true
}
