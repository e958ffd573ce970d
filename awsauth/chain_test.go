package awsauth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	arnProd    = "arn:aws:iam::111111111111:role/jenkins-ci-role"
	arnNonprod = "arn:aws:iam::222222222222:role/jenkins-deploy-role"
	arnDeep    = "arn:aws:iam::333333333333:role/sandbox-role"
)

func envOf(m map[string]string) Env { return func(n string) string { return m[n] } }

func plan(config, creds string, env map[string]string, o PlanOptions) *Plan {
	return NewPlan(ParseConfig([]byte(config), []byte(creds)), envOf(env), o)
}

func target(t *testing.T, p *Plan, name string) *Target {
	t.Helper()
	for _, x := range p.Targets {
		if x.Name() == name {
			return x
		}
	}
	require.Fail(t, "no target "+name)
	return nil
}

// TestDefects: each is reported with its profile, and a sound profile beside
// it is planned all the same.
func TestDefects(t *testing.T) {
	const sound = "[profile prod]\nrole_arn = " + arnProd + "\nweb_identity_token_file = /t\n"
	role := "role_arn = " + arnNonprod + "\n"
	for name, c := range map[string]struct {
		config, profile  string
		err, skip, warns string
	}{
		"cycle":                  {"[profile a]\n" + role + "source_profile = b\n[profile b]\n" + role + "source_profile = c\n[profile c]\n" + role + "source_profile = b\n", "a", "cycle of source_profile: b → c → b", "", ""},
		"cycle with the profile": {"[profile a]\n" + role + "source_profile = b\n[profile b]\n" + role + "source_profile = a\n", "a", "cycle of source_profile: a → b → a", "", ""},
		"itself":                 {"[profile a]\n" + role + "source_profile = a\n", "a", "cycle of source_profile: a → a", "", ""},
		"dangling":               {"[profile a]\n" + role + "source_profile = nope\n", "a", `source_profile "nope" does not exist`, "", ""},
		"dangling, case":         {"[profile a]\n" + role + "source_profile = Prod\n", "a", "names are case-sensitive", "", ""},
		"dangling, no prefix":    {"[b]\nregion = x\n[profile a]\n" + role + "source_profile = b\n", "a", "it must read [profile b]", "", "section [b] is not a profile"},
		"source without keys":    {"[profile b]\nregion = x\n[profile a]\n" + role + "source_profile = b\n", "a", `source_profile "b" has no credentials`, "", ""},
		"both sources":           {"[profile a]\n" + role + "source_profile = prod\ncredential_source = EcsContainer\n", "a", "both source_profile and credential_source", "", ""},
		"no source":              {"[profile a]\n" + role, "a", "role_arn without source_profile", "", ""},
		"no role":                {"[profile a]\nsource_profile = prod\n", "a", "a source but no role_arn", "", ""},
		"token without role":     {"[profile a]\nweb_identity_token_file = /t\n", "a", "needs a role_arn", "", ""},
		"bad source kind":        {"[profile a]\n" + role + "credential_source = Magic\n", "a", `credential_source "Magic" is unknown`, "", ""},
		"no container":           {"[profile a]\n" + role + "credential_source = EcsContainer\n", "a", "FULL_URI", "", ""},
		"no metadata":            {"[profile a]\n" + role + "credential_source = Ec2InstanceMetadata\n", "a", "AWS_EC2_METADATA_DISABLED", "", ""},
		"environment":            {"[profile a]\n" + role + "credential_source = Environment\n", "a", "", "build container's environment", ""},
		"mfa":                    {"[profile a]\n" + role + "source_profile = prod\nmfa_serial = arn:aws:iam::1:mfa/x\n", "a", "", "needs a person", ""},
		"mfa in the source":      {"[profile m]\n" + role + "source_profile = prod\nmfa_serial = x\n[profile a]\n" + role + "source_profile = m\n", "a", "", "source_profile m: mfa_serial", ""},
		"sso":                    {"[sso-session s]\nsso_region = x\n[profile a]\nsso_session = s\n", "a", "", "SSO", ""},
		"sso as a source":        {"[profile s]\nsso_start_url = u\n[profile a]\n" + role + "source_profile = s\n", "a", "", "source_profile s signs in", ""},
		"login":                  {"[profile a]\nlogin_session = x\n", "a", "", "aws login", ""},
		"process as a source":    {"[profile s]\ncredential_process = x\n[profile a]\n" + role + "source_profile = s\n", "a", "", "does not run", ""},
		"static":                 {"[profile a]\naws_access_key_id = k\naws_secret_access_key = s\n", "a", "", "static keys", ""},
		"bad duration":           {"[profile a]\n" + role + "source_profile = prod\nduration_seconds = 30m\n", "a", "", "", `duration_seconds = "30m"`},
		"duration out of range":  {"[profile a]\n" + role + "source_profile = prod\nduration_seconds = 60\n", "a", "", "", "outside 900"},
		"duration 900":           {"[profile a]\n" + role + "source_profile = prod\nduration_seconds = 900\n", "a", "", "", "never uses a cached"},
		"chained for 12 h":       {"[profile a]\n" + role + "source_profile = prod\nduration_seconds = 43200\n", "a", "", "", "asking for 3600"},
		"session name, one":      {"[profile a]\n" + role + "source_profile = prod\nrole_session_name = x\n", "a", "role_session_name", "", ""},
		"session name, space":    {"[profile a]\n" + role + "source_profile = prod\nrole_session_name = my name\n", "a", "role_session_name", "", ""},
		"session name, long":     {"[profile a]\n" + role + "source_profile = prod\nrole_session_name = " + strings.Repeat("x", 65) + "\n", "a", "role_session_name", "", ""},
		"session of the source":  {"[profile s]\n" + role + "source_profile = prod\nrole_session_name = x\n[profile a]\n" + role + "source_profile = s\n", "a", "source_profile s: role_session_name", "", ""},
		"not an ARN":             {"[profile a]\nrole_arn = jenkins\nsource_profile = prod\n", "a", "not the ARN of a role", "", ""},
		"user ARN":               {"[profile a]\nrole_arn = arn:aws:iam::1:user/x\nsource_profile = prod\n", "a", "not the ARN of a role", "", ""},
		"inline comment":         {"[profile a]\nrole_arn = " + arnNonprod + " # deploy\nsource_profile = prod\n", "a", "own line", "", ""},
		"continued ARN":          {"[profile a]\nrole_arn = " + arnNonprod + "\n  source_profile = prod\n", "a", "deeper indented", "", ""},
		"token and source":       {"[profile a]\n" + role + "source_profile = prod\nweb_identity_token_file = /t\n", "a", "", "", "the AWS CLI uses the token"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan(sound+c.config, "", map[string]string{"AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}, PlanOptions{})
			require.NotNil(t, target(t, p, "prod").Leaf, "the sound profile")
			a := target(t, p, c.profile)
			switch {
			case c.err != "":
				require.ErrorContains(t, a.Err, c.err)
				require.Nil(t, a.Leaf)
			case c.skip != "":
				require.NoError(t, a.Err)
				require.Contains(t, a.Skip, c.skip)
				require.Nil(t, a.Leaf)
			default:
				require.NoError(t, a.Err)
				require.NotNil(t, a.Leaf)
			}
			if c.warns != "" {
				require.Contains(t, problemText(p), c.warns)
			}
		})
	}
}

func problemText(p *Plan) string {
	var b strings.Builder
	for _, x := range p.Problems {
		b.WriteString(x.String() + "\n")
	}
	return b.String()
}

func TestChains(t *testing.T) {
	const config = `
[default]
region = eu-central-1
[profile prod]
role_arn = ` + arnProd + `
web_identity_token_file = /t
[profile nonprod]
role_arn = ` + arnNonprod + `
source_profile = prod
role_session_name = jenkinssession
[profile deep]
role_arn = ` + arnDeep + `
source_profile = nonprod
external_id = e1
duration_seconds = 1_800
[profile self]
role_arn = ` + arnDeep + `
source_profile = self
[profile eu]
region = eu-west-1
`
	irsa := map[string]string{"AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}
	p := plan(config, "[self]\naws_access_key_id=k\naws_secret_access_key=s\n", irsa, PlanOptions{})
	deep := target(t, p, "deep").Leaf
	require.Len(t, deep.Chain(), 3)
	require.Same(t, target(t, p, "nonprod").Leaf, deep.Source, "links are shared")
	require.Same(t, target(t, p, "prod").Leaf, target(t, p, "-").Leaf, "the pod's own role, once")
	require.Same(t, target(t, p, "prod").Leaf, target(t, p, "eu").Leaf, "a profile with a region only acts as the pod")
	require.True(t, deep.chained())
	require.Equal(t, int32(1800), deep.seconds(0))
	require.Equal(t, "e1", deep.ExternalID)
	self := target(t, p, "self").Leaf
	require.Equal(t, KindStatic, self.Source.Kind, "naming oneself is legal with static keys")
	require.False(t, self.chained())
	require.Equal(t, int32(0), target(t, p, "prod").Leaf.seconds(0), "left to STS")
	require.Equal(t, int32(7200), target(t, p, "prod").Leaf.seconds(7200))

	t.Run("only the named ones", func(t *testing.T) {
		p := plan(config, "", irsa, PlanOptions{Profiles: []string{"deep"}})
		require.Len(t, p.Targets, 2, "deep, and - because its identity is needed anyway")
		p = plan(config, "", map[string]string{"AWS_ROLE_ARN": arnDeep, "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, PlanOptions{Profiles: []string{"deep"}})
		require.Len(t, p.Targets, 1, "another pod identity would cost a call")
		p = plan(config, "", nil, PlanOptions{Profiles: []string{"nope", "-"}})
		require.ErrorContains(t, target(t, p, "nope").Err, "no such profile")
		require.ErrorContains(t, target(t, p, "-").Err, "AWS_ROLE_ARN")
	})
	t.Run("default with a source beats the variables", func(t *testing.T) {
		p := plan(strings.Replace(config, "[default]", "[default]\nsource_profile=prod\nrole_arn="+arnNonprod, 1), "", irsa, PlanOptions{})
		require.Equal(t, arnNonprod, target(t, p, "-").Leaf.RoleARN)
	})
	t.Run("default with another token role", func(t *testing.T) {
		p := plan("[default]\nrole_arn="+arnDeep+"\nweb_identity_token_file=/t\n", "", irsa, PlanOptions{})
		require.Equal(t, arnProd, target(t, p, "-").Leaf.RoleARN, "the variables win, as in the AWS CLI")
		require.Contains(t, problemText(p), "tools without a profile act as the latter")
	})
	t.Run("variables that are no role", func(t *testing.T) {
		p := plan("[default]\nrole_arn="+arnDeep+"\nweb_identity_token_file=/t\n", "", map[string]string{"AWS_ROLE_ARN": "x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, PlanOptions{})
		require.ErrorContains(t, target(t, p, "-").Err, "AWS_ROLE_ARN: ")
		require.NotNil(t, target(t, p, "default").Leaf)
	})
	t.Run("any depth", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("[profile p000]\nrole_arn = " + arnProd + "\nweb_identity_token_file = /t\n")
		for i := 1; i < 200; i++ {
			b.WriteString("[profile p" + itoa(i) + "]\nrole_arn = " + arnDeep + itoa(i) + "\nsource_profile = p" + itoa(i-1) + "\n")
		}
		require.Len(t, target(t, plan(b.String(), "", nil, PlanOptions{}), "p199").Leaf.Chain(), 200)
	})
	t.Run("static source wins over its role", func(t *testing.T) {
		p := plan("[profile a]\nrole_arn="+arnDeep+"\nsource_profile=b\n[profile b]\nrole_arn="+arnProd+"\nsource_profile=a\naws_access_key_id=k\naws_secret_access_key=s\n", "", nil, PlanOptions{})
		require.Equal(t, KindStatic, target(t, p, "a").Leaf.Source.Kind)
		require.Equal(t, KindAssumeRole, target(t, p, "b").Leaf.Kind)
	})
}

func itoa(i int) string {
	return string(rune('0'+i/100)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10))
}

func TestRegion(t *testing.T) {
	for name, c := range map[string]struct {
		arn, profile, want string
		env                map[string]string
	}{
		"environment first":         {arnProd, "eu-west-1", "us-west-2", map[string]string{"AWS_REGION": "us-west-2"}},
		"second variable":           {arnProd, "", "us-west-2", map[string]string{"AWS_DEFAULT_REGION": "us-west-2"}},
		"profile":                   {arnProd, "eu-west-1", "eu-west-1", nil},
		"home of the partition":     {arnProd, "", "us-east-1", nil},
		"china":                     {"arn:aws-cn:iam::1:role/x", "", "cn-north-1", map[string]string{"AWS_REGION": "us-west-2"}},
		"a host":                    {arnProd, "x.evil.example/", "us-east-1", nil},
		"a host in the environment": {arnProd, "", "us-east-1", map[string]string{"AWS_REGION": "x@evil"}},
		"govcloud":                  {"arn:aws-us-gov:iam::1:role/x", "us-gov-east-1", "us-gov-east-1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan("[profile a]\nrole_arn="+c.arn+"\nweb_identity_token_file=/t\nregion="+c.profile+"\n", "", c.env, PlanOptions{})
			require.Equal(t, c.want, target(t, p, "a").Leaf.Region)
		})
	}
}

func TestSessionNameFor(t *testing.T) {
	require.Equal(t, "jenkins-pod-1", sessionNameFor("pod-1"))
	require.Equal(t, "jenkins", sessionNameFor(""))
	for _, s := range []string{strings.Repeat("x", 200), "a b/c", "ü"} {
		require.NoError(t, checkSessionName(sessionNameFor(s)), s)
	}
}

func TestGeneratedConfig(t *testing.T) {
	config := `
[profile prod]
role_arn = ` + arnProd + `
web_identity_token_file = /t
region = eu-west-1
s3 =
  max_concurrent_requests = 20
services = local
[profile "with space"]
role_arn = ` + arnNonprod + `
source_profile = prod
[profile loop]
role_arn = ` + arnNonprod + `
source_profile = loop
[profile person]
sso_session = corp
[sso-session corp]
sso_start_url = https://x
[services local]
sts =
  endpoint_url = http://x
`
	p := plan(config, "", map[string]string{"AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, PlanOptions{})
	got := string(generatedConfig(p, Dir{Path: "/agent/.aws", Seen: "/root/.aws"}, "cat"))
	want, err := os.ReadFile(filepath.Join("testdata", "generated-config"))
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(filepath.Join("testdata", "generated-config"), []byte(got), 0o644))
		return
	}
	require.NoError(t, err)
	require.Equal(t, string(want), got)
	again := ParseConfig([]byte(got), nil)
	require.True(t, again.Generated)
	require.Empty(t, again.Problems)
	require.ElementsMatch(t, []string{"default", "prod", "with space", "loop", "person"}, again.Names())
}

func TestGeneratedConfigWithoutIdentity(t *testing.T) {
	got := string(generatedConfig(plan("", "", nil, PlanOptions{}), Dir{Path: "/d"}, "cat"))
	require.Contains(t, got, "[default]", "else tools fall back to the node's role")
	require.Contains(t, got, "credential_process = cat /d/agent/default.json")
}

func TestProcessName(t *testing.T) {
	for in, want := range map[string]string{
		"": "agent/default.json", "default": "agent/default.json", "prod": "agent/prod.json", "a b": "agent/a=20b.json",
		"../x": "agent/=2e.=2fx.json", ".hidden": "agent/=2ehidden.json", "status": "agent/=73tatus.json", "a=b": "agent/a=3db.json", "$(x)": "agent/=24=28x=29.json",
	} {
		require.Equal(t, want, processName(in), in)
		require.True(t, cleanName(processName(in)), in)
	}
	require.Less(t, len(processName(strings.Repeat("p", 5000))), 255)
	require.NotEqual(t, processName(strings.Repeat("p", 5000)), processName(strings.Repeat("p", 5001)))
}

func TestCacheNames(t *testing.T) {
	tokens := func(f string) string { return map[string]string{"/t": "h.p.s\n"}[f] }
	p := plan("[profile prod]\nrole_arn="+arnProd+"\nweb_identity_token_file=/t\n[profile nonprod]\nrole_arn="+arnNonprod+"\nsource_profile=prod\nrole_session_name=jenkinssession\n", "", nil, PlanOptions{})
	require.Equal(t, []string{"cli/cache/8a2de38d9a35804c30646c6b84c0cfbcb1492830.json", "cli/cache/" + CacheArgs{RoleARN: arnProd, Token: "h.p.s\n"}.Key() + ".json"},
		cacheNames(target(t, p, "prod").Leaf, nil, tokens), "both generations")
	require.Equal(t, []string{"cli/cache/ceacbdcd3db5831c5a83ea997c7bff0b8f59501c.json"}, cacheNames(target(t, p, "nonprod").Leaf, nil, tokens))
}
