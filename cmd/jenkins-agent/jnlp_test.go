package main

import (
	"context"
	"crypto/aes"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

const jnlpFile = `<?xml version="1.0" encoding="UTF-8"?>
<jnlp codebase="http://j/computer/n1/" spec="1.0+"><information><title>Agent for n1</title></information>
<application-desc main-class="hudson.remoting.jnlp.Main"><argument>0011</argument><argument>n &amp; 1</argument>
<argument>-workDir</argument><argument>/from/file</argument><argument>-internalDir</argument><argument>remoting</argument>
<argument>-url</argument><argument>http://j/</argument></application-desc></jnlp>`

const jnlpSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// encryptJNLP is the other half of decryptJNLP.
func encryptJNLP(t *testing.T, plain []byte) []byte {
	key, err := hex.DecodeString(jnlpSecret[:32])
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	out := []byte("0123456789abcdef")
	pad := make([]byte, 16)
	for i, p := range plain {
		block.Encrypt(pad, out[i:i+16])
		out = append(out, p^pad[0])
	}
	return out
}

// The vector is NIST SP 800-38A, F.3.8 (CFB8-AES128.Decrypt).
func TestCFB8(t *testing.T) {
	key := "2b7e151628aed2a6abf7158809cf4f3c"
	iv, _ := hex.DecodeString("000102030405060708090a0b0c0d0e0f")
	text, _ := hex.DecodeString("3b79424c9c0dd436bace9e0ed4586a4f32b9")
	want, _ := hex.DecodeString("6bc1bee22e409f96e93d7e117393172aae2d")
	got, err := decryptJNLP(append(iv, text...), key+"the rest does not matter")
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, bad := range []string{"", "00", "zz112233445566778899aabbccddeeff"} {
		_, err := decryptJNLP(append(iv, text...), bad)
		require.Error(t, err)
	}
	_, err = decryptJNLP(iv[:15], key)
	require.ErrorContains(t, err, "too short")
}

func TestParseJNLP(t *testing.T) {
	args, err := parseJNLP([]byte(jnlpFile))
	require.NoError(t, err)
	require.Equal(t, []string{"0011", "n & 1", "-workDir", "/from/file", "-internalDir", "remoting", "-url", "http://j/"}, args)
	for _, bad := range []string{"", "no XML", "<html><body>Sign in</body></html>", "<jnlp><argument>a", `<!DOCTYPE x [<!ENTITY y "z">]><jnlp><argument>&y;</argument></jnlp>`} {
		_, err := parseJNLP([]byte(bad))
		require.ErrorContains(t, err, "does not look like a JNLP file", bad)
	}
}

func FuzzParseJNLP(f *testing.F) {
	f.Add([]byte(jnlpFile))
	f.Add([]byte("<jnlp><argument/><argument>a</argument></jnlp>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		args, err := parseJNLP(b)
		require.Equal(t, err != nil, len(args) == 0)
		if len(b) > 0 {
			_, _ = decryptJNLP(b, jnlpSecret)
		}
	})
}

// fromJNLP runs the replacing alone.
func fromJNLP(t *testing.T, args ...string) ([]string, error) {
	var out []string
	app := newApp(&strings.Builder{}, &strings.Builder{})
	app.Action = func(c *cli.Context) error {
		_, err := readOptions(c)
		if err == nil {
			out, err = jnlpArguments(c.Context, c, args, slog.New(slog.DiscardHandler))
		}
		return err
	}
	err := runApp(context.Background(), app, args)
	return out, err
}

func TestJNLPURL(t *testing.T) {
	busy := 1
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/secret.jnlp" && r.URL.RawQuery == "encrypt=true":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(encryptJNLP(t, []byte(jnlpFile)))
		case r.URL.Path == "/open.jnlp" && r.URL.RawQuery == "" && user+password == "":
			_, _ = w.Write([]byte(jnlpFile))
		case r.URL.Path == "/login.jnlp" && user == "me" && password == "pw:x":
			_, _ = w.Write([]byte(jnlpFile))
		case r.URL.Path == "/busy.jnlp" && busy == 0:
			_, _ = w.Write([]byte(jnlpFile))
		case r.URL.Path == "/huge.jnlp":
			_, _ = w.Write(make([]byte, maxJNLP+10))
		case r.URL.Path == "/page.jnlp":
			_, _ = w.Write([]byte("<html>"))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	inFile := "0011 n & 1 -workDir /from/file -internalDir remoting -url http://j/"

	for args, want := range map[string]string{
		"-jnlpUrl " + s.URL + "/open.jnlp":                                        inFile,
		"-jnlpUrl=" + s.URL + "/open.jnlp -noKeepAlive":                           inFile + " -noKeepAlive",
		"-jnlpUrl " + s.URL + "/secret.jnlp -secret " + jnlpSecret:                inFile,
		"-jnlpUrl " + s.URL + "/secret.jnlp -workDir /mine -secret " + jnlpSecret: inFile + " -workDir /mine",
		"-jnlpUrl " + s.URL + "/login.jnlp -credentials me:pw:x":                  inFile + " -credentials me:pw:x",
	} {
		got, err := fromJNLP(t, strings.Fields(args)...)
		require.NoError(t, err, args)
		require.Equal(t, want, strings.Join(got, " "))
		// and it can be read
		o, _, err := parsed(t, got...)
		require.NoError(t, err)
		require.Equal(t, "n & 1", o.name)
	}
	other := strings.Repeat("ab", 32)
	for args, want := range map[string]string{
		"-jnlpUrl " + s.URL + "/secret.jnlp -secret " + other:                     "Invalid secret key?",
		"-jnlpUrl " + s.URL + "/page.jnlp":                                        "does not look like a JNLP file",
		"-jnlpUrl " + s.URL + "/huge.jnlp":                                        "no JNLP file",
		"-jnlpUrl " + s.URL + "/busy.jnlp -noReconnect":                           "503",
		"-jnlpUrl " + s.URL + "/busy.jnlp -noReconnectAfter 1":                    "503",
		"-jnlpUrl " + s.URL + "/open.jnlp -credentials a:b -secret " + jnlpSecret: "mutually exclusive",
	} {
		start := time.Now()
		_, err := fromJNLP(t, strings.Fields(args)...)
		require.ErrorContains(t, err, want, args)
		require.NotContains(t, err.Error(), other)
		require.NotContains(t, err.Error(), jnlpSecret)
		require.Less(t, time.Since(start), 5*time.Second)
	}
}
