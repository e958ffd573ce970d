package awsauth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kinds of a Link.
const (
	KindWebIdentity = "web identity" // AssumeRoleWithWebIdentity with the pod's token
	KindAssumeRole  = "assume role"  // AssumeRole with the credentials of Source
	KindStatic      = "static keys"  // long-lived keys of a profile
	KindContainer   = "container"    // AWS_CONTAINER_CREDENTIALS_* (EKS Pod Identity, ECS)
	KindInstance    = "instance"     // EC2 instance role
	KindEnvironment = "environment"  // AWS_ACCESS_KEY_ID … of the agent itself
)

// Link is one step of a chain: credentials of one identity and how to get them.
// Equal links are one pointer within a Plan, so that profiles with a common
// source share its calls.
type Link struct {
	Kind        string
	Profile     string // "" for the identity of the pod
	RoleARN     string
	SessionName string // as configured, "" = generated
	ExternalID  string
	Duration    *int // as configured
	TokenFile   string
	Region      string
	Source      *Link

	keyID, secret, session string // KindStatic
	id                     string
}

// Chain lists the links from the first source to l.
func (l *Link) Chain() []*Link {
	var c []*Link
	for ; l != nil; l = l.Source {
		c = append(c, l)
	}
	slices.Reverse(c)
	return c
}

// chained reports whether AWS limits the session to one hour because the
// caller is itself a role session.
func (l *Link) chained() bool {
	return l.Kind == KindAssumeRole && l.Source != nil && (l.Source.Kind != KindStatic || l.Source.session != "")
}

// seconds is the DurationSeconds to ask for; 0 leaves it to STS (3600).
func (l *Link) seconds(base int) int32 {
	want := 3600
	switch {
	case l.Duration != nil:
		want = *l.Duration
	case l.Kind == KindWebIdentity:
		want = base
	}
	if l.chained() {
		want = min(want, 3600)
	}
	if want == 0 {
		return 0
	}
	return int32(min(max(want, 900), 43200))
}

type planner struct {
	c        *Config
	env      Env
	o        PlanOptions
	links    map[string]*Link
	done     map[string]outcome // of role, by profile
	path     []string           // profiles being worked on
	problems []Problem
}

type outcome struct {
	link *Link
	err  error
}

// skipError is a reason why a sound profile is not for us.
type skipError string

func (e skipError) Error() string { return string(e) }

func (b *planner) warnf(p *Profile, format string, args ...any) {
	pr := Problem{Line: p.Line, Profile: p.Name, Warning: true, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(b.problems, pr) {
		b.problems = append(b.problems, pr)
	}
}

// intern makes equal links one.
func (b *planner) intern(l Link) *Link {
	dur, src := "", ""
	if l.Duration != nil {
		dur = fmt.Sprint(*l.Duration)
	}
	if l.Source != nil {
		src = l.Source.id
	}
	who := ""
	if l.Kind == KindStatic {
		who = l.Profile
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{l.Kind, l.RoleARN, l.SessionName, l.ExternalID, dur, l.TokenFile, who, src}, "\x00")))
	l.id = string(sum[:])
	if old := b.links[l.id]; old != nil {
		if old.Profile == "" {
			old.Profile = l.Profile // a profile that is the pod's own identity
		}
		return old
	}
	b.links[l.id] = &l
	return &l
}

// podTarget is the identity of the IRSA variables, nil when they are not set.
func (b *planner) podTarget() *Target {
	arn, file := b.env("AWS_ROLE_ARN"), b.env("AWS_WEB_IDENTITY_TOKEN_FILE")
	if arn == "" || file == "" {
		return nil
	}
	partition, err := checkRoleARN(arn)
	if err != nil {
		return &Target{Err: fmt.Errorf("AWS_ROLE_ARN: %w", err)}
	}
	name := b.env("AWS_ROLE_SESSION_NAME")
	if name != "" {
		if err := checkSessionName(name); err != nil {
			return &Target{Err: fmt.Errorf("AWS_ROLE_SESSION_NAME: %w", err)}
		}
	}
	return &Target{Leaf: b.intern(Link{Kind: KindWebIdentity, RoleARN: arn, SessionName: name, TokenFile: file, Region: b.region(partition, nil, nil)})}
}

func (b *planner) target(name string) *Target {
	t := &Target{Profile: name}
	p := b.c.profiles[name]
	if p == nil {
		t.Err = fmt.Errorf("no such profile%s", b.hint(name))
		return t
	}
	var err error
	switch {
	case p.has("role_arn") || p.has("web_identity_token_file"):
		t.Leaf, err = b.role(p)
	case p.has("sso_session") || p.has("sso_start_url"):
		err = skipError("it signs in through IAM Identity Center (SSO), which needs a person")
	case p.has("login_session"):
		err = skipError("it uses `aws login`, which needs a person")
	case p.static():
		err = skipError("it has static keys; tools read them where they are")
	case p.has("credential_process"):
		err = skipError("its credential_process is left to the tools")
	case p.has("source_profile") || p.has("credential_source"):
		err = errors.New("it has a source but no role_arn")
	default:
		t.Pod = true
		t.Skip = "it has no credentials of its own"
	}
	if err != nil {
		t.Leaf = nil
		if s, ok := errors.AsType[skipError](err); ok {
			t.Skip = string(s)
		} else {
			t.Err = err
		}
	}
	return t
}

// hint helps where a name is missing.
func (b *planner) hint(name string) string {
	if line := b.c.stray[name]; line > 0 {
		return fmt.Sprintf(" (line %d has [%s]; it must read [profile %s])", line, name, name)
	}
	for _, n := range b.c.order {
		if strings.EqualFold(n, name) {
			return fmt.Sprintf(" (there is %q; names are case-sensitive)", n)
		}
	}
	return ""
}

// role builds the link of a profile that has a role, once.
func (b *planner) role(p *Profile) (*Link, error) {
	if o, ok := b.done[p.Name]; ok {
		return o.link, o.err
	}
	b.path = append(b.path, p.Name)
	l, err := b.newRole(p)
	b.path = b.path[:len(b.path)-1]
	b.done[p.Name] = outcome{l, err}
	return l, err
}

func (b *planner) newRole(p *Profile) (*Link, error) {
	arn := p.get("role_arn")
	if arn == "" {
		return nil, errors.New("web_identity_token_file needs a role_arn")
	}
	partition, err := checkRoleARN(arn)
	if err != nil {
		return nil, err
	}
	name := p.get("role_session_name")
	if name != "" {
		if err := checkSessionName(name); err != nil {
			return nil, err
		}
	}
	source, credSource, tokenFile := p.get("source_profile"), p.get("credential_source"), p.get("web_identity_token_file")
	l := Link{Profile: p.Name, RoleARN: arn, SessionName: name, ExternalID: p.get("external_id"), Duration: b.duration(p)}
	switch {
	case tokenFile != "":
		if source != "" || credSource != "" {
			b.warnf(p, "both web_identity_token_file and a source: the AWS CLI uses the token, the Go SDK refuses the profile")
		}
		l.Kind, l.TokenFile, l.ExternalID = KindWebIdentity, tokenFile, ""
		l.Region = b.region(partition, p, nil)
		return b.intern(l), nil
	case source != "" && credSource != "":
		return nil, errors.New("both source_profile and credential_source are set; keep one")
	case p.has("mfa_serial"):
		return nil, skipError("mfa_serial asks for a code, which needs a person")
	case source != "":
		l.Source, err = b.source(source)
	case credSource != "":
		l.Source, err = b.credentialSource(credSource)
	default:
		return nil, errors.New("role_arn without source_profile, credential_source or web_identity_token_file")
	}
	if err != nil {
		return nil, err
	}
	l.Kind = KindAssumeRole
	l.Region = b.region(partition, p, l.Source)
	if l.chained() && l.Duration != nil && *l.Duration > 3600 {
		b.warnf(p, "duration_seconds = %d: AWS limits a role assumed from a role to 3600; asking for 3600", *l.Duration)
	}
	return b.intern(l), nil
}

// source follows source_profile as the CLI does: static keys of the source win
// over its role, and naming oneself is legal only with static keys.
func (b *planner) source(name string) (*Link, error) {
	p := b.c.profiles[name]
	if p == nil {
		return nil, fmt.Errorf("source_profile %q does not exist%s", name, b.hint(name))
	}
	if p.static() {
		return b.intern(Link{Kind: KindStatic, Profile: name, keyID: p.get("aws_access_key_id"), secret: p.get("aws_secret_access_key"), session: p.get("aws_session_token")}), nil
	}
	if i := slices.Index(b.path, name); i >= 0 {
		return nil, fmt.Errorf("cycle of source_profile: %s", strings.Join(append(slices.Clone(b.path[i:]), name), " → "))
	}
	switch {
	case p.has("role_arn") || p.has("web_identity_token_file"):
		l, err := b.role(p)
		// Name the profile with the defect, not all on the way to it.
		if err == nil || strings.HasPrefix(err.Error(), "source_profile ") || strings.HasPrefix(err.Error(), "cycle ") {
			return l, err
		}
		if s, ok := errors.AsType[skipError](err); ok {
			return nil, skipError(fmt.Sprintf("source_profile %s: %s", name, s))
		}
		return nil, fmt.Errorf("source_profile %s: %w", name, err)
	case p.has("sso_session") || p.has("sso_start_url"):
		return nil, skipError(fmt.Sprintf("source_profile %s signs in through IAM Identity Center (SSO), which needs a person", name))
	case p.has("login_session"):
		return nil, skipError(fmt.Sprintf("source_profile %s uses `aws login`, which needs a person", name))
	case p.has("credential_process"):
		return nil, skipError(fmt.Sprintf("source_profile %s uses credential_process, which the agent does not run", name))
	}
	return nil, fmt.Errorf("source_profile %q has no credentials", name)
}

func (b *planner) credentialSource(s string) (*Link, error) {
	switch s {
	case "EcsContainer":
		if b.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") == "" && b.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == "" {
			return nil, errors.New("credential_source = EcsContainer, but AWS_CONTAINER_CREDENTIALS_FULL_URI and …_RELATIVE_URI are not set (no Pod Identity, no ECS task role)")
		}
		return b.intern(Link{Kind: KindContainer}), nil
	case "Ec2InstanceMetadata":
		if strings.EqualFold(b.env("AWS_EC2_METADATA_DISABLED"), "true") {
			return nil, errors.New("credential_source = Ec2InstanceMetadata, but AWS_EC2_METADATA_DISABLED is true")
		}
		return b.intern(Link{Kind: KindInstance}), nil
	case "Environment":
		if !b.o.AllowEnvironment {
			return nil, skipError("credential_source = Environment means the build container's environment, which the agent cannot see")
		}
		l := Link{Kind: KindStatic, Profile: "\x00env", keyID: b.env("AWS_ACCESS_KEY_ID"), secret: b.env("AWS_SECRET_ACCESS_KEY"), session: b.env("AWS_SESSION_TOKEN")}
		if l.keyID == "" || l.secret == "" {
			return nil, errors.New("credential_source = Environment, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
		}
		return b.intern(l), nil
	}
	return nil, fmt.Errorf("credential_source %q is unknown; use EcsContainer, Ec2InstanceMetadata or Environment", s)
}

// duration reads duration_seconds; what the CLI would drop silently is dropped
// with a warning.
func (b *planner) duration(p *Profile) *int {
	s := p.get("duration_seconds")
	if s == "" {
		return nil
	}
	n, ok := pythonInt(s)
	switch {
	case !ok:
		b.warnf(p, "duration_seconds = %q is not a whole number of seconds; it is ignored, as the AWS CLI does", s)
		return nil
	case n < 900 || n > 43200:
		b.warnf(p, "duration_seconds = %d is outside 900 … 43200, which STS allows; asking for the nearest", n)
	case n == 900:
		b.warnf(p, "duration_seconds = 900: the AWS CLI never uses a cached credential with 15 minutes left or less, so it will ask STS itself; use more")
	}
	return &n
}

// region picks the STS region: environment, the profile's, its source's, else a
// home of the role's partition.
func (b *planner) region(partition string, p *Profile, src *Link) string {
	for _, n := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if r := b.env(n); r != "" && isRegion(r) && partitionOf(r) == partition {
			return r
		}
	}
	if p != nil && p.has("region") {
		if r := p.get("region"); !isRegion(r) {
			b.warnf(p, "region = %q is not a region; it is ignored", r)
		} else if partitionOf(r) == partition {
			return r
		}
	}
	if src != nil && src.Region != "" && partitionOf(src.Region) == partition {
		return src.Region
	}
	switch partition {
	case "aws-cn":
		return "cn-north-1"
	case "aws-us-gov":
		return "us-gov-west-1"
	case "aws-iso":
		return "us-iso-east-1"
	case "aws-iso-b":
		return "us-isob-east-1"
	case "aws-iso-e":
		return "eu-isoe-west-1"
	case "aws-iso-f":
		return "us-isof-south-1"
	case "aws-eusc":
		return "eusc-de-east-1"
	}
	if p != nil {
		b.warnf(p, "no region is set (AWS_REGION, or region in the profile): using us-east-1 for STS")
	}
	return "us-east-1"
}

// isRegion keeps what is not one label of a host name out of the endpoint.
func isRegion(r string) bool {
	for _, c := range []byte(r) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return r != "" && len(r) <= 63
}

func partitionOf(region string) string {
	for _, p := range [][2]string{{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"}, {"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"}} {
		if strings.HasPrefix(region, p[0]) {
			return p[1]
		}
	}
	return "aws"
}
