package transport

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clip makes text from the wire fit for one line of a log: no control
// characters, valid UTF-8, at most n bytes.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

var (
	htmlTitle = regexp.MustCompile(`(?is)<title>(.*?)</title>`)
	htmlNoise = regexp.MustCompile(`(?is)<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>`)
	jettyHead = regexp.MustCompile(`(?i)^(?:HTTP )?Error \d{3}:? ?`)
)

// pageText finds the sentence in an error page. Jetty's own page has it in the
// title: "Error 400 no such agent".
func pageText(body string) string {
	if m := htmlTitle.FindStringSubmatch(body); m != nil {
		if t := clip(html.UnescapeString(m[1]), 300); t != "" {
			return jettyHead.ReplaceAllString(t, "")
		}
	}
	return clip(html.UnescapeString(htmlNoise.ReplaceAllString(body, " ")), 300)
}
