package awsauth

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKeyVectors holds the key function against names that real CLIs gave
// their cache files (test/aws has the rig that made them).
func TestKeyVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/cache-key-vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Name string
		Args struct {
			RoleArn, RoleSessionName, ExternalId, SerialNumber, WebIdentityToken string
			DurationSeconds                                                      *int
		}
		SHA1 string
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.GreaterOrEqual(t, len(vectors), 10)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			a := v.Args
			require.Equal(t, v.SHA1, CacheArgs{RoleARN: a.RoleArn, SessionName: a.RoleSessionName, ExternalID: a.ExternalId,
				Serial: a.SerialNumber, Token: a.WebIdentityToken, Duration: a.DurationSeconds}.Key())
		})
	}
}

func TestPythonString(t *testing.T) {
	for in, want := range map[string]string{
		"plain":         `"plain"`,
		"a\"b\\c":       `"a\"b\\c"`,
		"\n\r\t\f\b":    `"\n\r\t\f\b"`,
		"<&>":           `"<&>"`,
		"\x00\x1f\x7f":  `"\u0000\u001f\u007f"`,
		"é\u2028\uffff": `"\u00e9\u2028\uffff"`,
		"😀":             `"\ud83d\ude00"`,
		"a\xffb":        `"a\udcffb"`,
		"\ufffd":        `"\ufffd"`,
	} {
		require.Equal(t, want, pythonString(in), "%q", in)
	}
}

// FuzzCacheKey checks that the key text is JSON of ASCII that means the input.
func FuzzCacheKey(f *testing.F) {
	f.Add("arn:aws:iam::1:role/x", "s", "é😀\x7f")
	f.Fuzz(func(t *testing.T, role, session, ext string) {
		text := CacheArgs{RoleARN: role, SessionName: session, ExternalID: ext}.pythonJSON()
		for _, c := range []byte(text) {
			require.True(t, c >= ' ' && c < 0x7f, "%q", text)
		}
		var back map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &back), text)
		if validUTF8(role, session, ext) {
			require.Equal(t, role, back["RoleArn"])
			require.Equal(t, ext, back["ExternalId"])
		}
	})
}
