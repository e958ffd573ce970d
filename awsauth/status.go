package awsauth

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// ProfileStatus is one profile's state, without any secret.
type ProfileStatus struct {
	Profile string     `json:"profile"`
	Chain   []string   `json:"chain,omitempty"`
	Role    string     `json:"role,omitempty"`
	Caller  string     `json:"caller,omitempty"` // the assumed role's ARN with its session name
	State   string     `json:"state"`            // fresh, pending, failing, expired, defect, left
	Detail  string     `json:"detail,omitempty"`
	KeyID   string     `json:"keyId,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
	Next    *time.Time `json:"next,omitempty"`
	Renewed int        `json:"renewed,omitempty"`
}

// Status is the state of a Keeper.
type Status struct {
	Version  int               `json:"version"`
	Updated  time.Time         `json:"updated"`
	Profiles []ProfileStatus   `json:"profiles"`
	Problems []Problem         `json:"problems,omitempty"`
	Skew     float64           `json:"clockAheadSeconds,omitempty"` // of the node against STS
	Calls    map[string]int    `json:"calls,omitempty"`
	Dirs     map[string]string `json:"directories,omitempty"` // path → error, "" if fine
	Files    []string          `json:"files,omitempty"`
}

// Status reports the state now.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := Status{Version: 1, Updated: time.Now().UTC().Truncate(time.Second), Skew: k.skew.Seconds(), Calls: map[string]int{}, Dirs: map[string]string{}}
	for n, c := range k.calls {
		st.Calls[n] = c
	}
	for _, s := range k.stores {
		st.Dirs[s.dir.Path] = k.dirErrs[s.dir.Path]
	}
	if k.plan == nil {
		return st
	}
	st.Problems = k.plan.Problems
	for _, t := range k.plan.Targets {
		st.Profiles = append(st.Profiles, k.profileStatus(t))
	}
	return st
}

func (k *Keeper) profileStatus(t *Target) ProfileStatus {
	p := planned(t)
	n := k.nodeOf(t)
	if n == nil {
		return p
	}
	p.State = "pending"
	err := k.blame(n)
	if err != nil {
		p.State, p.Detail = "failing", targetErr(t, err).Error()
	}
	if n.have {
		p.KeyID, p.Caller, p.Renewed = n.grant.KeyID, n.grant.AssumedRoleARN, n.renewed
		if !n.grant.Expires.IsZero() {
			e := n.grant.Expires.UTC()
			p.Expires = &e
		}
		switch {
		case !k.fresh(n):
			p.State = "expired"
		case err == nil:
			p.State = "fresh"
		}
	}
	if !n.due.IsZero() {
		d := n.due.UTC().Truncate(time.Second)
		p.Next = &d
	}
	return p
}

// planned is a target's status before anything was asked.
func planned(t *Target) ProfileStatus {
	p := ProfileStatus{Profile: t.Name(), State: "planned"}
	switch {
	case t.Err != nil:
		p.State, p.Detail = "defect", t.Err.Error()
	case t.Leaf == nil:
		p.State, p.Detail = "left", t.Skip
	default:
		p.Role = t.Leaf.RoleARN
		for _, l := range t.Leaf.Chain() {
			name := l.Profile
			if l == t.Leaf {
				name = t.Profile
			}
			p.Chain = append(p.Chain, describeLink(l, name))
		}
		if t.Pod {
			p.Detail = t.Skip + " and acts as the pod"
		}
	}
	return p
}

func describeLink(l *Link, profile string) string {
	switch {
	case l.Kind == KindWebIdentity && profile == "":
		return "pod token"
	case l.Kind == KindWebIdentity:
		return profile + " (token)"
	case l.Kind == KindAssumeRole:
		return displayName(profile)
	case l.Kind == KindStatic && strings.HasPrefix(profile, "\x00"):
		return "environment keys"
	case l.Kind == KindStatic:
		return profile + " (static keys)"
	}
	return l.Kind
}

// statusFile is Status for a Dir, with the names of our files so that a
// successor knows what it may delete. Times that would change the content at
// each write are left out.
func (k *Keeper) statusFile(files []string) []byte {
	st := k.Status()
	st.Files = files
	st.Updated = time.Time{}
	for i := range st.Profiles {
		if st.Profiles[i].State == "fresh" {
			continue
		}
		st.Profiles[i].Next = nil
	}
	b, _ := json.MarshalIndent(st, "", " ")
	return append(b, '\n')
}

// readStatusFiles lists what a predecessor wrote into a directory.
func readStatusFiles(s *store) []string {
	data, err := s.read(statusName)
	if err != nil {
		return nil
	}
	var st Status
	if json.Unmarshal(data, &st) != nil {
		return nil
	}
	var names []string
	for _, n := range st.Files {
		if cleanName(n) && len(names) < 10000 {
			names = append(names, n)
		}
	}
	return names
}

// WriteMetrics writes the state in Prometheus text form.
func (k *Keeper) WriteMetrics(w io.Writer) error {
	st := k.Status()
	var b strings.Builder
	gauge := func(name, help, typ string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, typ) }
	gauge("footman_awsauth_fresh", "1 if the profile's files are usable.", "gauge")
	for _, p := range st.Profiles {
		if p.Role != "" {
			v := 0
			if p.Expires != nil && time.Now().Before(*p.Expires) || p.State == "fresh" {
				v = 1
			}
			fmt.Fprintf(&b, "footman_awsauth_fresh{%s} %d\n", labels(p), v)
		}
	}
	gauge("footman_awsauth_expiry_timestamp_seconds", "When the profile's credentials expire.", "gauge")
	for _, p := range st.Profiles {
		if p.Expires != nil {
			fmt.Fprintf(&b, "footman_awsauth_expiry_timestamp_seconds{%s} %d\n", labels(p), p.Expires.Unix())
		}
	}
	gauge("footman_awsauth_renewals_total", "Times the profile's credentials were obtained.", "counter")
	for _, p := range st.Profiles {
		if p.Role != "" {
			fmt.Fprintf(&b, "footman_awsauth_renewals_total{%s} %d\n", labels(p), p.Renewed)
		}
	}
	gauge("footman_awsauth_calls_total", "Calls for credentials by kind and outcome.", "counter")
	for _, key := range sortedKeys(st.Calls) {
		kind, code, _ := strings.Cut(key, "|")
		fmt.Fprintf(&b, "footman_awsauth_calls_total{kind=%q,code=%q} %d\n", strings.ReplaceAll(kind, " ", "_"), code, st.Calls[key])
	}
	gauge("footman_awsauth_clock_ahead_seconds", "The node's clock less that of STS.", "gauge")
	fmt.Fprintf(&b, "footman_awsauth_clock_ahead_seconds %g\n", st.Skew)
	gauge("footman_awsauth_directory_errors", "Directories that cannot be written.", "gauge")
	bad := 0
	for _, e := range st.Dirs {
		if e != "" {
			bad++
		}
	}
	fmt.Fprintf(&b, "footman_awsauth_directory_errors %d\n", bad)
	_, err := io.WriteString(w, b.String())
	return err
}

func labels(p ProfileStatus) string { return fmt.Sprintf("profile=%q,role=%q", p.Profile, p.Role) }
