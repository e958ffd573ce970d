package transport

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeadersJSON(t *testing.T) {
	tests := []struct {
		text string
		want map[string]string // nil = an error
	}{
		{`{}`, map[string]string{}},
		{" \t\n\r\f\b{ } ", map[string]string{}},
		{`{"a":"b"}`, map[string]string{"a": "b"}},
		{` { "a" : "b" , "c" : null } `, map[string]string{"a": "b"}},
		{`{"a":"1","a":"2"}`, map[string]string{"a": "2"}},
		{`{"a":"1","a":null}`, map[string]string{}},
		{`{"\"\\\/\b\f\n\r\t\u0041\u00e9":"\ud83d\ude00"}`, map[string]string{"\"\\/\b\f\n\r\tAé": "😀"}},
		{`{"a":"\ud83dx"}`, map[string]string{"a": "\uFFFDx"}},
		{`{"a":"\ud83d\u0041"}`, map[string]string{"a": "\uFFFDA"}},
		{`{"":""}`, map[string]string{"": ""}},
		{``, nil}, {`{`, nil}, {`[]`, nil}, {`{"a"}`, nil}, {`{"a":}`, nil}, {`{"a":1}`, nil}, {`{"a":nul}`, nil},
		{`{"a":"b",}`, nil}, {`{"a":"b"`, nil}, {`{"a":"b"}x`, nil}, {`{"a":"b"}{}`, nil}, {`{a:"b"}`, nil},
		{`{"a":"\x"}`, nil}, {`{"a":"\u12"}`, nil}, {`{"a":"\u12g4"}`, nil}, {`{"a":"b`, nil}, {`{"a":"\`, nil},
		{`{"a":{"b":"c"}}`, nil}, {"{\"a\":\"\xff\"}", nil}, {"{}\x00", nil}, {"\x00{}", nil},
		{"{" + strings.Repeat(`"a":"b",`, 300) + `"a":"b"}`, nil},
	}
	for _, tt := range tests {
		got, err := parseHeaders(tt.text)
		if tt.want == nil {
			require.Error(t, err, "%q", tt.text)
			continue
		}
		require.NoError(t, err, "%q", tt.text)
		require.Equal(t, tt.want, got, "%q", tt.text)
	}
	require.Equal(t, `{"Node-Name":"a\"\\\u0001\b\té/","Secret-Key":"s"}`,
		formatHeaders([]jnlpHeader{{"Node-Name", "a\"\\\x01\b\té/"}, {"Secret-Key", "s"}}))
}

func FuzzHeadersJSON(f *testing.F) {
	f.Add(`{"JnlpAgentProtocol.cookie":"` + testCookie + `"}`)
	f.Add(`{"a":null,"b":"\ud83d\ude00\u0000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseHeaders(text)
		if err != nil {
			return
		}
		var list []jnlpHeader
		for k, v := range m {
			list = append(list, jnlpHeader{k, v})
		}
		back, err := parseHeaders(formatHeaders(list))
		require.NoError(t, err)
		require.Equal(t, m, back)
	})
}
