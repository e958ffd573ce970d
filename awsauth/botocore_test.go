package awsauth

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// botocoreScript reads config texts and key arguments and answers with what
// botocore makes of them: its parsed profiles (null where it refuses the file)
// and the cache key of its own AssumeRole and web identity fetchers.
const botocoreScript = `
import sys, json, tempfile, os
import botocore.configloader as cl, botocore.exceptions as ex
from botocore.credentials import AssumeRoleCredentialFetcher, AssumeRoleWithWebIdentityCredentialFetcher
q = json.load(sys.stdin)
out = {"profiles": [], "keys": []}
d = tempfile.mkdtemp()
for i, text in enumerate(q["configs"]):
    f = os.path.join(d, str(i))
    open(f, "w", newline="").write(text)
    try:
        p = cl.load_config(f)["profiles"]
        out["profiles"].append({n: {k: v for k, v in s.items() if isinstance(v, str)} for n, s in p.items()})
    except ex.ConfigParseError:
        out["profiles"].append(None)
for a in q["keys"]:
    extra = {k: v for k, v in a.items() if k != "RoleArn"}
    f = AssumeRoleCredentialFetcher(None, None, a["RoleArn"], extra_args=extra)
    out["keys"].append(f._cache_key)
json.dump(out, sys.stdout)
`

// TestAgainstBotocore compares the parser and the keys with the real thing. It
// needs a Python with botocore in AWSAUTH_PYTHON; test/aws/run.sh gives one.
func TestAgainstBotocore(t *testing.T) {
	python := os.Getenv("AWSAUTH_PYTHON")
	if python == "" {
		t.Skip("SKIPPED: AWSAUTH_PYTHON names no Python with botocore; run test/aws/run.sh")
	}
	// Lines that matter to the format, in every mix.
	pieces := []string{"[default]", "[profile a]", "[profile \"b c\"]", "[profile a] # x", "[c]", "[sso-session s]", "[profile d e]",
		"k = v", "role_arn = arn:aws:iam::1:role/x # y", "source_profile: b", "  indented = 1", "  more", "", "   ", "# c", "  ; c", "K2=V2", "s3 =", "  x = 1", "empty =", "a=b=c", "u = é😀", "no delimiter", "[open"}
	r := rand.New(rand.NewPCG(1, 2))
	var q struct {
		Configs []string         `json:"configs"`
		Keys    []map[string]any `json:"keys"`
	}
	for range 3000 {
		lines := []string{pieces[r.IntN(4)]}
		for range r.IntN(8) {
			lines = append(lines, pieces[r.IntN(len(pieces))])
		}
		q.Configs = append(q.Configs, strings.Join(lines, []string{"\n", "\r\n"}[r.IntN(2)]))
	}
	var args []CacheArgs
	letters := []rune("az09+=,.@-/:<>&\"\\ \u007f\u0001\n\té😀\u2028")
	text := func(n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range 500 {
		a := CacheArgs{RoleARN: "arn:aws:iam::1:role/" + text(10)}
		m := map[string]any{"RoleArn": a.RoleARN}
		if r.IntN(2) == 0 {
			a.SessionName = text(8)
			m["RoleSessionName"] = a.SessionName
		}
		if r.IntN(2) == 0 {
			a.ExternalID = text(8)
			m["ExternalId"] = a.ExternalID
		}
		if r.IntN(2) == 0 {
			n := r.IntN(50000)
			a.Duration = &n
			m["DurationSeconds"] = n
		}
		args, q.Keys = append(args, a), append(q.Keys, m)
	}
	in, err := json.Marshal(q)
	require.NoError(t, err)
	script := filepath.Join(t.TempDir(), "q.py")
	require.NoError(t, os.WriteFile(script, []byte(botocoreScript), 0o600))
	cmd := exec.Command(python, script)
	cmd.Env = append(os.Environ(), "PYTHONUTF8=1")
	cmd.Stdin = strings.NewReader(string(in))
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	require.NoError(t, err)
	var got struct {
		Profiles []map[string]map[string]string
		Keys     []string
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	refused := 0
	for i, text := range q.Configs {
		c := ParseConfig([]byte(text), nil)
		if got.Profiles[i] == nil {
			refused++
			require.NotEmpty(t, c.Problems, "botocore refuses\n%s", text)
			continue
		}
		mine := map[string]map[string]string{}
		for name, p := range c.profiles {
			mine[name] = map[string]string{}
			for _, k := range p.raw.keys {
				if !k.nested() {
					mine[name][k.name] = k.value
				}
			}
		}
		require.Equal(t, got.Profiles[i], mine, "%q", text)
	}
	for i, a := range args {
		require.Equal(t, got.Keys[i], a.Key(), "%+v", a)
	}
	t.Logf("%d configs (%d refused by botocore) and %d keys agree with botocore", len(q.Configs), refused, len(args))
}
