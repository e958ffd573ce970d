package awsauth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// generatedMark is the first line of every config file this package writes. A
// file without it belongs to the user and is never replaced.
const generatedMark = "# Written by jenkins-agent awsauth; changes are lost."

// Profile is one profile as configured, config and credentials file merged.
type Profile struct {
	Name string
	Line int
	keys map[string]string
	raw  *iniSection // nil when only the credentials file has it

	credKeys bool // the credentials file has keys for it
}

func (p *Profile) get(name string) string { return strings.TrimSpace(p.keys[name]) }
func (p *Profile) has(name string) bool   { return p.get(name) != "" }

// static reports whether the profile holds long-lived keys itself.
func (p *Profile) static() bool { return p.has("aws_access_key_id") && p.has("aws_secret_access_key") }

// Config is a parsed pair of config and credentials files.
type Config struct {
	Problems  []Problem
	Generated bool // this package wrote it: its profiles are results, not input
	profiles  map[string]*Profile
	order     []string
	other     []*iniSection // sso-session and services, copied through
	stray     map[string]int
}

// Profile returns the named profile, or nil.
func (c *Config) Profile(name string) *Profile { return c.profiles[name] }

// Names lists the profiles in the order of the files.
func (c *Config) Names() []string { return slices.Clone(c.order) }

// ParseConfig reads a shared config file and, if not nil, a credentials file.
// It never fails: what is wrong is in Problems, the rest is usable.
func ParseConfig(config, credentials []byte) *Config {
	c := &Config{profiles: map[string]*Profile{}, stray: map[string]int{}}
	c.Generated = strings.HasPrefix(strings.TrimPrefix(string(config), "\xef\xbb\xbf"), generatedMark)
	sections, problems := parseINI(config)
	c.Problems = append(c.Problems, problems...)
	for _, s := range sections {
		name, kind := sectionName(s.name)
		switch kind {
		case "profile":
			if old := c.profiles[name]; old != nil {
				c.warn(s.line, name, fmt.Sprintf("defined twice, as on line %d; the AWS CLI takes the later one, other tools may not", old.Line))
			} else {
				c.order = append(c.order, name)
			}
			c.profiles[name] = newProfile(name, s)
		case "sso-session", "services":
			c.other = append(c.other, s)
		case "":
			c.stray[s.name] = s.line
			c.warn(s.line, "", fmt.Sprintf("section [%s] is not a profile and is ignored; in a config file it must read [profile %s]", s.name, s.name))
		default:
			c.Problems = append(c.Problems, Problem{Line: s.line, Text: fmt.Sprintf("section [%s]: %s", s.name, kind)})
		}
	}
	if credentials == nil {
		return c
	}
	sections, problems = parseINI(credentials)
	for _, p := range problems {
		p.Text = "credentials file: " + p.Text
		c.Problems = append(c.Problems, p)
	}
	for _, s := range sections {
		p := c.profiles[s.name]
		if p != nil {
			p.credKeys = s.get("aws_access_key_id") != ""
		}
		if p == nil {
			p = newProfile(s.name, s)
			p.raw = nil
			c.profiles[s.name] = p
			c.order = append(c.order, s.name)
			continue
		}
		for _, k := range s.keys {
			p.keys[k.name] = k.value
		}
	}
	return c
}

func newProfile(name string, s *iniSection) *Profile {
	p := &Profile{Name: name, Line: s.line, keys: map[string]string{}, raw: s}
	for _, k := range s.keys {
		p.keys[k.name] = k.value
	}
	return p
}

func (c *Config) warn(line int, profile, text string) {
	c.Problems = append(c.Problems, Problem{Line: line, Profile: profile, Warning: true, Text: text})
}

// sectionName tells what a config section is: its name and "profile",
// "sso-session", "services", "" for something else, or a complaint.
func sectionName(header string) (name, kind string) {
	if header == "default" {
		return header, "profile"
	}
	for _, k := range []string{"profile", "sso-session", "services"} {
		if !strings.HasPrefix(header, k) {
			continue
		}
		words, ok := splitHeader(header)
		switch {
		case !ok:
			return "", "a quote is not closed; the section is ignored by the tools"
		case len(words) > 0 && words[0] != k:
			return "", "" // [profiles], [profilex]: not ours
		case len(words) != 2:
			return "", fmt.Sprintf("expected one name after %q, found %d words; quote a name with spaces", k, max(0, len(words)-1))
		case words[1] == "":
			return "", "the name is empty"
		}
		return words[1], k
	}
	return "", ""
}

// checkSessionName applies the STS rule for RoleSessionName.
func checkSessionName(s string) error {
	for i := range len(s) {
		if !sessionByte(s[i]) {
			return badSessionName(s)
		}
	}
	if len(s) < 2 || len(s) > 64 {
		return badSessionName(s)
	}
	return nil
}

func badSessionName(s string) error {
	return fmt.Errorf("role_session_name %q: STS allows 2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -", s)
}

func sessionByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_+=,.@-", c) >= 0
}

// sessionNameFor makes a valid session name for audit logs out of a pod's name.
func sessionNameFor(pod string) string {
	s := []byte("jenkins-" + pod)
	for i, c := range s {
		if !sessionByte(c) {
			s[i] = '-'
		}
	}
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.TrimRight(string(s), "-")
}

// checkRoleARN returns the partition of a role's ARN.
func checkRoleARN(arn string) (partition string, err error) {
	f := strings.SplitN(arn, ":", 6)
	switch {
	case strings.ContainsAny(arn, " \t\n"):
		return "", fmt.Errorf("role_arn %q holds white space: a comment must stand on its own line, and a deeper indented line continues the value above it", arn)
	case len(f) != 6 || f[0] != "arn" || f[1] == "" || f[2] != "iam" || !strings.HasPrefix(f[5], "role/") || f[5] == "role/":
		return "", fmt.Errorf("role_arn %q is not the ARN of a role (arn:aws:iam::ACCOUNT:role/NAME)", arn)
	}
	return f[1], nil
}

func accountOf(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 {
		return f[4]
	}
	return ""
}

// pythonInt parses as Python's int() does for a decimal: surrounding space, one
// sign and single underscores between digits are fine, all else is not.
func pythonInt(s string) (int, bool) {
	s = strings.TrimSpace(s)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.Contains(digits, "__") || strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") {
		return 0, false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	return n, err == nil
}
