package hudson

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// properties reads the format of java.util.Properties.load(Reader): the last of
// two equal keys wins, a backslash continues a line or escapes a character.
func properties(text string) map[string]string {
	out := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(lineEnds.Replace(text), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], propertySpace)
		if line == "" || line == `\` && i+1 < len(lines) || line[0] == '#' || line[0] == '!' {
			continue // a lone backslash continues nothing: the next line is a new one
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], propertySpace)
		}
		if continues(line) {
			line = line[:len(line)-1] // the end of the file
		}
		end := keyEnd(line)
		value := strings.TrimLeft(line[end:], propertySpace)
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimLeft(value[1:], propertySpace)
		}
		out[unescapeProperty(line[:end])] = unescapeProperty(value)
	}
	return out
}

const propertySpace = " \t\f"

// continues reports an odd number of backslashes at the end.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// keyEnd is where the key ends: at the first separator without a backslash.
func keyEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\':
			i++
		case strings.IndexByte("=:"+propertySpace, line[i]) >= 0:
			return i
		}
	}
	return len(line)
}

// unescapeProperty resolves backslashes. Java throws IllegalArgumentException
// for \u without four hex digits; here it stays as it is.
func unescapeProperty(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out []uint16
	for rest := s; rest != ""; {
		before, after, found := strings.Cut(rest, `\`)
		out = append(out, utf16.Encode([]rune(before))...)
		if !found || after == "" {
			break
		}
		if after[0] == 'u' && len(after) >= 5 {
			if n, err := strconv.ParseUint(after[1:5], 16, 16); err == nil {
				out = append(out, uint16(n)) // half of a pair, perhaps
				rest = after[5:]
				continue
			}
		}
		if i := strings.IndexByte("tnrf", after[0]); i >= 0 {
			out = append(out, uint16("\t\n\r\f"[i]))
			rest = after[1:]
			continue
		}
		_, n := utf8.DecodeRuneInString(after)
		out = append(out, utf16.Encode([]rune(after[:n]))...)
		rest = after[n:]
	}
	return string(utf16.Decode(out))
}
