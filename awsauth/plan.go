package awsauth

import (
	"errors"
	"slices"
)

// Target is one name a build can ask for.
type Target struct {
	// Profile is the name; "" is the identity of tools run without a profile.
	Profile string
	// Leaf is the identity to obtain; nil if Err or Skip says why not.
	Leaf *Link
	// Err is a defect of the configuration.
	Err error
	// Skip is the reason to leave a sound profile to the tools themselves.
	Skip string
	// Pod marks a profile without credentials of its own (a region, say): it
	// acts as the pod does.
	Pod bool
}

// DefaultName is how the identity of tools run without a profile is written
// on command lines.
const DefaultName = "-"

// Name is the profile's name, or "-" for the identity without one.
func (t *Target) Name() string {
	if t.Profile == "" {
		return DefaultName
	}
	return t.Profile
}

// Plan is what a configuration asks for.
type Plan struct {
	Targets  []*Target
	Problems []Problem
	Config   *Config
	// Default is the identity of tools run without any profile, nil if none.
	Default *Target
}

// Env looks up environment variables; an empty value counts as unset, as it
// does in every AWS tool.
type Env func(name string) string

// PlanOptions select what to plan.
type PlanOptions struct {
	Profiles []string // empty: all
	// AllowEnvironment lets credential_source = Environment use the agent's own
	// keys. Off by default: a build container's environment differs.
	AllowEnvironment bool
}

// NewPlan works out the chain of every wanted profile. A defect stays with its
// profile; the others are planned all the same.
func NewPlan(c *Config, env Env, o PlanOptions) *Plan {
	b := &planner{c: c, env: env, o: o, links: map[string]*Link{}, done: map[string]outcome{}}
	p := &Plan{Config: c}
	pod := b.podTarget()
	all := len(o.Profiles) == 0
	names := o.Profiles
	if all {
		names = c.order
	}
	seen := map[string]bool{}
	for _, n := range names {
		if p := c.profiles[n]; p != nil && p.credKeys && p.has("role_arn") {
			b.warnf(p, "static keys in the credentials file beside role_arn: tools disagree on which of the two counts")
		}
		if seen[n] || n == DefaultName {
			continue
		}
		seen[n] = true
		t := b.target(n)
		if t.Pod && pod != nil {
			t.Leaf = pod.Leaf
			t.Err = pod.Err
		}
		p.Targets = append(p.Targets, t)
	}
	// Without a profile the CLI takes [default] if that assumes a role from a
	// source, else the IRSA variables, else whatever [default] holds.
	def := pod
	if c.profiles["default"] != nil {
		if d := b.target("default"); pod == nil || d.Leaf != nil && d.Leaf.Kind == KindAssumeRole || d.Err != nil {
			if !d.Pod {
				def = d
			}
		} else if d.Leaf != nil && pod.Leaf != nil && d.Leaf != pod.Leaf {
			b.warnf(c.profiles["default"], "[default] has %s, AWS_ROLE_ARN %s: tools without a profile act as the latter, and so does [default] of the generated config", d.Leaf.RoleARN, pod.Leaf.RoleARN)
		}
	}
	if def != nil {
		t := *def
		t.Profile = ""
		wanted := all || slices.Contains(names, DefaultName) || slices.Contains(names, "default")
		shared := t.Leaf != nil && slices.ContainsFunc(p.Targets, func(o *Target) bool { return o.Leaf != nil && slices.Contains(o.Leaf.Chain(), t.Leaf) })
		if wanted || shared {
			p.Default = &t
			p.Targets = append(p.Targets, &t)
		}
	} else if slices.Contains(names, DefaultName) {
		p.Targets = append(p.Targets, &Target{Err: errors.New("no identity without a profile: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not both set and the config has no [default] with a role")})
	}
	p.Problems = append(slices.Clone(c.Problems), b.problems...)
	for _, t := range p.Targets {
		if t.Err != nil {
			p.Problems = append(p.Problems, Problem{Profile: t.Name(), Text: t.Err.Error()})
		}
	}
	p.Problems = slices.CompactFunc(p.Problems, func(a, b Problem) bool { return a == b })
	return p
}
