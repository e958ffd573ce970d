package git

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestParseURI compares with what URIish of JGit 7.5 says, see the columns.
func TestParseURI(t *testing.T) {
	b, err := os.ReadFile("testdata/urls.tsv")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		t.Run(f[0], func(t *testing.T) {
			u, err := ParseURI(f[0])
			if f[1] == "error" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			null := func(s string) string {
				if s == "" {
					return "null"
				}
				return s
			}
			port := u.Port
			if port == 0 {
				port = -1
			}
			require.Equal(t, f[1:], []string{u.String(), u.Private(), u.PrivateASCII(), null(u.Scheme), null(u.User), null(u.Host),
				strconv.Itoa(port), u.Path, u.RawPath})
		})
	}
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"https://u:p@h:1/x", "git@h:p", "file:/x", "%", "-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		_ = u.String() + u.Private() + u.PrivateASCII()
	})
}
