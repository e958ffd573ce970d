package awsauth

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// stsTime is how the files write a moment. The zone is essential: the CLI
// crashes on an expiry without one.
func stsTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

type cacheFile struct {
	Credentials struct {
		AccessKeyID  string `json:"AccessKeyId"`
		SecretKey    string `json:"SecretAccessKey"`
		SessionToken string `json:"SessionToken"`
		Expiration   string `json:"Expiration"`
		AccountID    string `json:"AccountId,omitempty"`
	} `json:"Credentials"`
	User struct {
		ID  string `json:"AssumedRoleId"`
		ARN string `json:"Arn"`
	} `json:"AssumedRoleUser"`
	Meta struct {
		Status int `json:"HTTPStatusCode"`
	} `json:"ResponseMetadata"`
}

// cacheEntry is a grant as the CLI writes it into its cache. The expiry is the
// exact one: the CLI keeps 15 minutes of distance by itself.
func cacheEntry(g Grant) []byte {
	var f cacheFile
	f.Credentials.AccessKeyID, f.Credentials.SecretKey, f.Credentials.SessionToken = g.KeyID, g.secret, g.session
	f.Credentials.Expiration = stsTime(g.Expires)
	f.Credentials.AccountID = g.Account
	f.User.ID, f.User.ARN = g.AssumedRoleID, g.AssumedRoleARN
	f.Meta.Status = 200
	b, _ := json.Marshal(f) // strings and a number cannot fail
	return b
}

type processFile struct {
	Version      int
	AccessKeyID  string `json:"AccessKeyId"`
	SecretKey    string `json:"SecretAccessKey"`
	SessionToken string `json:"SessionToken,omitempty"`
	Expiration   string `json:"Expiration,omitempty"`
	AccountID    string `json:"AccountId,omitempty"`
}

// processEntry is a grant in credential_process form. early is taken off the
// expiry, because the Go SDK reads the file again only at that moment.
func processEntry(g Grant, early time.Duration) []byte {
	b, _ := json.Marshal(processFile{Version: 1, AccessKeyID: g.KeyID, SecretKey: g.secret, SessionToken: g.session, Expiration: stsTime(g.Expires.Add(-early)), AccountID: g.Account})
	return append(b, '\n')
}

// processName is the file of a profile below the Dir. Names that a shell or a
// file system would trip over are escaped; "" is default.json, as is [default].
func processName(profile string) string {
	if profile == "" {
		profile = "default"
	}
	var b strings.Builder
	for i := 0; i < len(profile); i++ {
		c := profile[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	name := b.String()
	if len(name) > 200 {
		name = name[:150] + "=" + CacheArgs{RoleARN: profile}.Key()
	}
	if name == "status" { // status.json is not a profile
		name = "=73tatus"
	}
	return path.Join(agentDir, name+".json")
}

// cacheNames lists the CLI cache files that serve a target. tokens gives the
// text of a token file; extra, if not nil, is the pod's own link, whose values
// override a web identity profile's under AWS_PROFILE.
func cacheNames(l *Link, pod *Link, token func(file string) string) []string {
	var names []string
	add := func(a CacheArgs) {
		if n := path.Join(cacheDir, a.Key()+".json"); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	a := CacheArgs{RoleARN: l.RoleARN, SessionName: l.SessionName}
	switch l.Kind {
	case KindAssumeRole:
		a.ExternalID, a.Duration = l.ExternalID, l.Duration
		add(a)
	case KindWebIdentity:
		add(a)
		if t := token(l.TokenFile); t != "" {
			a.Token = t
			add(a)
		}
		if pod != nil && pod.RoleARN == l.RoleARN && pod.TokenFile != l.TokenFile {
			if t := token(pod.TokenFile); t != "" {
				a.Token = t
				add(a)
			}
		}
	}
	return names
}

// identityKeys are the settings that say who a profile is. The generated config
// replaces them by one credential_process line and copies all others.
var identityKeys = []string{"role_arn", "source_profile", "credential_source", "web_identity_token_file", "role_session_name",
	"external_id", "duration_seconds", "mfa_serial", "credential_process",
	"aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_account_id"}

// generatedConfig writes the config in which every profile only reads a file.
// command is put before each path ("cat").
func generatedConfig(p *Plan, d Dir, command string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", generatedMark)
	b.WriteString("# Use it only with AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE set to nothing: see docs/awsauth.md.\n")
	line := func(profile string) {
		fmt.Fprintf(&b, "credential_process = %s %s\n", command, path.Join(d.seen(), processName(profile)))
	}
	byName := map[string]*Target{}
	for _, t := range p.Targets {
		if t.Profile != "" {
			byName[t.Profile] = t
		}
	}
	b.WriteString("\n[default]\n")
	def := p.Config.profiles["default"]
	switch {
	case p.Default != nil && p.Default.Leaf != nil:
		fmt.Fprintf(&b, "# %s\n", p.Default.Leaf.RoleARN)
		line("")
		copyKeys(&b, def, identityKeys)
	case def != nil && byName["default"] != nil && byName["default"].Skip != "" && !byName["default"].Pod:
		copyKeys(&b, def, nil)
	default:
		// Without this section, and with the IRSA variables emptied, tools would
		// fall through to the node's own role.
		b.WriteString("# no identity without a profile: fails on purpose rather than falling back to the node's role\n")
		line("")
		copyKeys(&b, def, identityKeys)
	}
	for _, name := range p.Config.order {
		if name == "default" {
			continue
		}
		prof, t := p.Config.profiles[name], byName[name]
		fmt.Fprintf(&b, "\n[%s]\n", header(name))
		switch {
		case t == nil:
			b.WriteString("# not among the profiles asked for\n")
			line(name)
			copyKeys(&b, prof, identityKeys)
		case t.Err != nil:
			fmt.Fprintf(&b, "# %s\n", oneLine(t.Err.Error()))
			line(name)
			copyKeys(&b, prof, identityKeys)
		case t.Leaf != nil:
			fmt.Fprintf(&b, "# %s\n", t.Leaf.RoleARN)
			line(name)
			copyKeys(&b, prof, identityKeys)
		default:
			fmt.Fprintf(&b, "# left as it was: %s\n", oneLine(t.Skip))
			copyKeys(&b, prof, nil)
		}
	}
	for _, s := range p.Config.other {
		fmt.Fprintf(&b, "\n[%s]\n", s.name)
		writeKeys(&b, s, nil)
	}
	return []byte(b.String())
}

func header(name string) string {
	if strings.ContainsAny(name, " \t'\"\\") {
		return `profile "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return "profile " + name
}

func copyKeys(b *strings.Builder, p *Profile, except []string) {
	if p != nil && p.raw != nil {
		writeKeys(b, p.raw, except)
	}
}

func writeKeys(b *strings.Builder, s *iniSection, except []string) {
	for _, k := range s.keys {
		if slices.Contains(except, k.name) {
			continue
		}
		lines := strings.Split(k.value, "\n")
		fmt.Fprintf(b, "%s\n", strings.TrimRight(k.name+" = "+lines[0], " "))
		for _, l := range lines[1:] {
			if l != "" {
				fmt.Fprintf(b, "    %s\n", l)
			}
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
