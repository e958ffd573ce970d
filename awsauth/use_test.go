package awsauth

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// filled is a pod whose agent has run; its build container's HOME is p.dir.
func filled(t *testing.T, config string) (*pod, Reader) {
	p := newPod(t, config)
	p.aws = filepath.Join(p.dir, ".aws")
	require.NoError(t, p.keeper(t).Once(t.Context()))
	return p, Reader{Env: envOf(map[string]string{"HOME": p.dir})}
}

func TestGet(t *testing.T) {
	p, r := filled(t, chainConfig)
	data, err := r.Get("nonprod")
	require.NoError(t, err)
	var f processFile
	require.NoError(t, json.Unmarshal(data, &f))
	require.Equal(t, 1, f.Version)
	for _, name := range []string{"-", ""} {
		_, err = r.Get(name)
		require.NoError(t, err)
	}
	_, err = r.Get("nope")
	require.ErrorContains(t, err, "does not know this profile")
	old := Grant{Credentials: NewCredentials("A", "b", "c", time.Now().Add(-time.Hour))}
	require.NoError(t, os.WriteFile(p.path("agent/prod.json"), processEntry(old, 0), 0o600))
	_, err = r.Get("prod")
	require.ErrorContains(t, err, "expired at")
	require.NoError(t, os.Remove(p.path("agent/prod.json")))
	_, err = r.Get("prod")
	require.ErrorContains(t, err, "is the agent running?")
	_, err = Reader{Env: envOf(map[string]string{"HOME": t.TempDir()}), Dirs: []string{t.TempDir()}}.Get("prod")
	require.ErrorContains(t, err, "-awsauth")
}

func TestEnvironment(t *testing.T) {
	p, r := filled(t, chainConfig+"region = ap-south-1\n")
	vars, err := r.Environment("deep", false)
	require.NoError(t, err)
	script := ShellExports(vars)
	require.NotContains(t, script, secretMark)
	out, err := exec.Command("sh", "-c", script+`echo "[$AWS_ROLE_ARN][$AWS_WEB_IDENTITY_TOKEN_FILE][$AWS_PROFILE][$AWS_CONFIG_FILE][$AWS_REGION]"`).Output()
	require.NoError(t, err)
	require.Equal(t, "[][][deep]["+p.path("agent/config")+"][ap-south-1]\n", string(out))

	vars, err = r.Environment("-", false)
	require.NoError(t, err)
	require.Contains(t, ShellExports(vars), "unset AWS_PROFILE\n")

	vars, err = r.Environment("deep", true)
	require.NoError(t, err)
	require.Contains(t, ShellExports(vars), "export AWS_SECRET_ACCESS_KEY='"+secretMark+"key")

	env := ApplyEnv([]string{"AWS_PROFILE=x", "PATH=/bin", "AWS_ROLE_ARN=y"}, vars)
	require.Contains(t, env, "PATH=/bin")
	require.Contains(t, env, "AWS_ROLE_ARN=", "set to nothing, not unset: the webhook's value must not come back")
	require.NotContains(t, env, "AWS_PROFILE=x")
}

func TestShellExportsQuotes(t *testing.T) {
	evil := `a'; echo pwned; '$(id)` + "\n\\"
	out, err := exec.Command("sh", "-c", ShellExports([]EnvVar{{Name: "X", Value: evil}})+`printf %s "$X"`).Output()
	require.NoError(t, err)
	require.Equal(t, evil, string(out))
}

func TestList(t *testing.T) {
	p, r := filled(t, chainConfig)
	p.setConfig(t, chainConfig+"[profile loop]\nrole_arn="+arnDeep+"\nsource_profile=loop\n[profile new]\nrole_arn="+arnDeep+"\nsource_profile=prod\nexternal_id=x\n[profile person]\nsso_session=x\n")
	o := Options{ConfigFile: p.config}
	entries, problems, err := r.List(o)
	require.NoError(t, err)
	got := map[string]ListEntry{}
	for _, e := range entries {
		got[e.Profile] = e
	}
	require.Equal(t, []string{"prod (token)", "nonprod", "deep"}, got["deep"].Chain)
	require.Equal(t, "fresh", got["deep"].State)
	require.Equal(t, "all", got["deep"].Readable)
	require.NotNil(t, got["deep"].Expires)
	require.Equal(t, "defect", got["loop"].State)
	require.Contains(t, got["loop"].Detail, "loop → loop")
	require.Equal(t, "missing", got["new"].State)
	require.Equal(t, "left", got["person"].State)
	require.NotEmpty(t, problems)
	require.NoError(t, os.Chmod(p.path("agent/deep.json"), 0o640))
	entries, _, err = r.List(Options{ConfigFile: p.config, Profiles: []string{"deep"}})
	require.NoError(t, err)
	require.Contains(t, entries[0].Readable, "gid ")
}

// TestListInABuildContainer: no config but the generated one, or none at all.
func TestListInABuildContainer(t *testing.T) {
	p, _ := filled(t, chainConfig)
	for _, env := range []map[string]string{
		{"HOME": "/nonexistent", "AWS_CONFIG_FILE": p.path("agent/config")},
		{"HOME": p.dir},
	} {
		entries, _, err := Reader{Env: envOf(env)}.List(Options{})
		require.NoError(t, err)
		require.Len(t, entries, 4)
		for _, e := range entries {
			require.Equal(t, "fresh", e.State, e.Profile)
			require.Equal(t, "all", e.Readable)
		}
	}
}

func TestDoctor(t *testing.T) {
	irsa := map[string]string{"AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": "TOKEN", "AWS_REGION": "eu-west-1"}
	cure := map[string]string{"AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONFIG_FILE": "AWS/agent/config", "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "eu-west-1"}
	with := func(m map[string]string, kv ...string) map[string]string {
		m = maps.Clone(m)
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	type want struct {
		tools map[string]string // tools containing → role
		wrong []string          // tools that would act as another role
		fails []string          // ids
		warns []string
	}
	for name, c := range map[string]struct {
		env     map[string]string
		prepare func(t *testing.T, p *pod)
		want    want
	}{
		"the trap": {with(irsa, "AWS_PROFILE", "nonprod"), nil, want{
			tools: map[string]string{"AWS CLI": arnNonprod, "Go": arnProd, "JavaScript": arnNonprod}, wrong: []string{"Go, Terraform, Java"}, fails: []string{"wrong-role"}}},
		"the cure":             {with(cure, "AWS_PROFILE", "nonprod"), nil, want{tools: map[string]string{"Go": arnNonprod}}},
		"the cure, no profile": {cure, nil, want{tools: map[string]string{"Go": arnProd}}},
		"half a cure":          {with(cure, "AWS_PROFILE", "nonprod", "AWS_ROLE_ARN", arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE", "TOKEN"), nil, want{tools: map[string]string{"AWS CLI": arnProd, "Go": arnProd}, wrong: []string{"AWS CLI, boto3", "Go, Terraform, Java"}, fails: []string{"irsa", "wrong-role"}}},
		"plain IRSA":           {irsa, nil, want{tools: map[string]string{"AWS CLI": arnProd}, warns: []string{"irsa"}}},
		"web identity profile": {with(irsa, "AWS_PROFILE", "prod"), nil, want{tools: map[string]string{"AWS CLI": arnProd, "Go": arnProd}}},
		"keys in the environment": {with(cure, "AWS_PROFILE", "nonprod", "AWS_ACCESS_KEY_ID", "a", "AWS_SECRET_ACCESS_KEY", "b"), nil, want{
			tools: map[string]string{"all": "keys in the environment"}, wrong: []string{"all but JavaScript with AWS_PROFILE"}, fails: []string{"wrong-role"}, warns: []string{"env-keys"}}},
		"unknown profile":          {with(irsa, "AWS_PROFILE", "nope"), nil, want{fails: []string{"profile"}}},
		"IRSA emptied, no default": {map[string]string{"AWS_REGION": "x"}, nil, want{tools: map[string]string{"AWS CLI": "node's role"}, fails: []string{"fallback"}}},
		"no region":                {with(irsa, "AWS_REGION", ""), nil, want{warns: []string{"region", "irsa"}}},
		"home elsewhere":           {with(irsa, "HOME", "/nonexistent"), func(t *testing.T, p *pod) {}, want{fails: []string{"directory", "files"}}},
		"expired file": {cure, func(t *testing.T, p *pod) {
			require.NoError(t, os.WriteFile(p.path("agent/prod.json"), processEntry(Grant{Credentials: NewCredentials("A", "b", "c", time.Now())}, 0), 0o600))
		}, want{fails: []string{"expired"}}},
		"the cure, home elsewhere": {with(cure, "AWS_PROFILE", "nonprod", "HOME", "/nowhere"), nil, want{tools: map[string]string{"Go": arnNonprod}}},
		"stale cache": {cure, func(t *testing.T, p *pod) {
			require.NoError(t, os.WriteFile(p.path("cli/cache/"+CacheArgs{RoleARN: arnProd}.Key()+".json"), cacheEntry(Grant{Credentials: NewCredentials("A", "b", "c", time.Now().Add(14*time.Minute))}), 0o600))
		}, want{warns: []string{"stale"}}},
		"empty cache file": {cure, func(t *testing.T, p *pod) {
			require.NoError(t, os.WriteFile(p.path("cli/cache/"+strings.Repeat("a", 40)+".json"), nil, 0o600))
		}, want{fails: []string{"broken"}}},
		"sticky": {cure, func(t *testing.T, p *pod) {
			require.NoError(t, os.Chmod(p.path("cli/cache"), 0o777|os.ModeSticky))
		}, want{warns: []string{"files"}}},
		"skewed": {cure, func(t *testing.T, p *pod) {
			require.NoError(t, os.WriteFile(p.path("agent/status.json"), []byte(`{"version":1,"clockAheadSeconds":400}`), 0o600))
		}, want{fails: []string{"clock"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := filled(t, chainConfig)
			config, err := os.ReadFile(p.config)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(p.path("config"), config, 0o644))
			if c.prepare != nil {
				c.prepare(t, p)
			}
			env := map[string]string{"HOME": p.dir}
			for k, v := range c.env {
				env[k] = strings.NewReplacer("AWS/", p.aws+"/", "TOKEN", p.token).Replace(v)
			}
			r := Reader{Env: envOf(env)}
			if strings.HasPrefix(env["HOME"], "/nonexistent") {
				r.Dirs = []string{"/nonexistent/.aws"}
			}
			rep := r.Doctor()
			text, err := json.Marshal(rep)
			require.NoError(t, err)
			require.NotContains(t, string(text), secretMark)
			for tools, role := range c.want.tools {
				found := false
				for _, x := range rep.Tools {
					if strings.Contains(x.Tools, tools) {
						found = true
						require.Contains(t, x.Role, role, tools)
					}
				}
				require.True(t, found, "%s in %s", tools, text)
			}
			var wrong, fails, warns []string
			for _, x := range rep.Tools {
				if x.Wrong {
					wrong = append(wrong, x.Tools)
				}
			}
			for _, k := range rep.Checks {
				switch k.Level {
				case "fail":
					fails = append(fails, k.ID)
				case "warn":
					warns = append(warns, k.ID)
				}
			}
			require.Equal(t, c.want.wrong, wrong)
			if name != "home elsewhere" {
				require.ElementsMatch(t, c.want.fails, fails, "%s", text)
				require.ElementsMatch(t, c.want.warns, warns, "%s", text)
			} else {
				require.Contains(t, fails, "directory")
			}
			require.Equal(t, len(fails) > 0, rep.Failed())
		})
	}
}

// TestDoctorOtherHome: the agent fills one directory, the CLI here looks in
// another.
func TestDoctorOtherHome(t *testing.T) {
	p, _ := filled(t, chainConfig)
	rep := Reader{Env: envOf(map[string]string{"HOME": t.TempDir(), "AWSAUTH_DIR": p.aws, "AWS_REGION": "x", "AWS_EC2_METADATA_DISABLED": "true"})}.Doctor()
	require.Equal(t, p.aws, rep.Dir)
	require.True(t, rep.Failed())
	text, err := json.Marshal(rep)
	require.NoError(t, err)
	require.Contains(t, string(text), "the AWS CLI looks for its cache in")
}
