package awsauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Reader looks at directories that an agent filled, from any container of the
// pod. It makes no STS call and writes nothing.
type Reader struct {
	Env Env // nil takes the process environment
	// Dirs to look in; empty takes that of AWS_CONFIG_FILE, AWSAUTH_DIR,
	// HOME/.aws, /run/jenkins-aws, /root/.aws and /home/jenkins/.aws, the first
	// that an agent filled.
	Dirs []string
}

func (r Reader) env(name string) string {
	if r.Env == nil {
		return os.Getenv(name)
	}
	return r.Env(name)
}

func (r Reader) candidates() []string {
	if len(r.Dirs) > 0 {
		return r.Dirs
	}
	var c []string
	inUse, ok := strings.CutSuffix(r.env("AWS_CONFIG_FILE"), "/"+configName)
	if !ok {
		inUse = ""
	}
	for _, d := range []string{inUse, r.env("AWSAUTH_DIR"), filepath.Join(homeOf(r.env), ".aws"), "/run/jenkins-aws", "/root/.aws", "/home/jenkins/.aws"} {
		if d != "" && !slices.Contains(c, d) {
			c = append(c, d)
		}
	}
	return c
}

// Find returns the first directory that holds a generated config.
func (r Reader) Find() (string, error) {
	for _, d := range r.candidates() {
		if _, err := os.Stat(filepath.Join(d, configName)); err == nil {
			return d, nil
		}
	}
	return "", fmt.Errorf("awsauth: no agent/config in %s: has the agent started with -awsauth, and is its volume mounted here? (--aws-dir names the directory)", strings.Join(r.candidates(), ", "))
}

// Get returns a profile's credentials in credential_process form, as the agent
// wrote them, or an error if they are missing or expired.
func (r Reader) Get(profile string) ([]byte, error) {
	dir, err := r.Find()
	if err != nil {
		return nil, err
	}
	if profile == DefaultName {
		profile = ""
	}
	name := filepath.Join(dir, processName(profile))
	data, err := readLimited(name, maxFileBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("awsauth: profile %s has no credentials now%s", displayName(profile), r.why(dir, profile))
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("awsauth: profile %s: uid %d may not read %s: set fsGroup in the pod's securityContext", displayName(profile), os.Getuid(), name)
	case err != nil:
		return nil, fmt.Errorf("awsauth: profile %s: %w", displayName(profile), err)
	}
	if e := expiryOf(data); !time.Now().Before(e) {
		return nil, fmt.Errorf("awsauth: profile %s: the credentials in %s expired at %s%s", displayName(profile), name, stsTime(e), r.why(dir, profile))
	}
	return data, nil
}

// why gives the reason the agent left in its status file.
func (r Reader) why(dir, profile string) string {
	st, err := readStatus(dir)
	if err != nil {
		return "; is the agent running?"
	}
	for _, p := range st.Profiles {
		if p.Profile == displayName(profile) && p.Detail != "" {
			return ": " + p.Detail
		}
	}
	if slices.ContainsFunc(st.Profiles, func(p ProfileStatus) bool { return p.Profile == displayName(profile) }) {
		return "; is the agent running?"
	}
	return "; the agent does not know this profile"
}

func readStatus(dir string) (Status, error) {
	var st Status
	data, err := readLimited(filepath.Join(dir, statusName), maxFileBytes)
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	return st, err
}

// EnvVar is one variable to set, or to unset if Unset is true.
type EnvVar struct {
	Name, Value string
	Unset       bool
}

// Environment is what makes every AWS tool act as profile: the generated
// config, and empty IRSA variables, since with them set the Go and Java SDKs
// and Terraform ignore AWS_PROFILE. With keys it is the keys themselves, for
// tools that know nothing else; those do not follow a refresh.
func (r Reader) Environment(profile string, keys bool) ([]EnvVar, error) {
	data, err := r.Get(profile)
	if err != nil {
		return nil, err
	}
	dir, err := r.Find()
	if err != nil {
		return nil, err
	}
	vars := []EnvVar{{Name: "AWS_ROLE_ARN"}, {Name: "AWS_WEB_IDENTITY_TOKEN_FILE"}, {Name: "AWS_EC2_METADATA_DISABLED", Value: "true"}}
	if keys {
		var f processFile
		if err := json.Unmarshal(data, &f); err != nil {
			return nil, fmt.Errorf("awsauth: profile %s: the file is broken: %w", profile, err)
		}
		vars = append(vars, EnvVar{Name: "AWS_ACCESS_KEY_ID", Value: f.AccessKeyID}, EnvVar{Name: "AWS_SECRET_ACCESS_KEY", Value: f.SecretKey},
			EnvVar{Name: "AWS_SESSION_TOKEN", Value: f.SessionToken}, EnvVar{Name: "AWS_PROFILE", Unset: true})
	} else {
		vars = append(vars, EnvVar{Name: "AWS_CONFIG_FILE", Value: filepath.Join(dir, configName)})
		for _, n := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"} {
			if r.env(n) != "" {
				vars = append(vars, EnvVar{Name: n, Unset: true})
			}
		}
		vars = append(vars, EnvVar{Name: "AWS_PROFILE", Value: profile, Unset: profile == "" || profile == DefaultName})
	}
	// The webhook sets AWS_REGION to the cluster's region, which would beat the
	// profile's in every tool.
	if conf, err := readLimited(filepath.Join(dir, configName), maxConfigBytes); err == nil {
		if p := ParseConfig(conf, nil).Profile(profile); p != nil && p.has("region") {
			vars = append(vars, EnvVar{Name: "AWS_REGION", Value: p.get("region")}, EnvVar{Name: "AWS_DEFAULT_REGION", Value: p.get("region")})
		}
	}
	return vars, nil
}

// ShellExports writes variables as POSIX sh commands for eval.
func ShellExports(vars []EnvVar) string {
	var b strings.Builder
	for _, v := range vars {
		if v.Unset {
			fmt.Fprintf(&b, "unset %s\n", v.Name)
		} else {
			fmt.Fprintf(&b, "export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
		}
	}
	return b.String()
}

// ApplyEnv returns environ with vars applied.
func ApplyEnv(environ []string, vars []EnvVar) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.ContainsFunc(vars, func(v EnvVar) bool { return v.Name == name })
	})
	for _, v := range vars {
		if !v.Unset {
			out = append(out, v.Name+"="+v.Value)
		}
	}
	return out
}

// ListEntry is one line of `awsauth list`: a profile's plan joined with what
// lies in the directory.
type ListEntry struct {
	ProfileStatus
	File     string `json:"file,omitempty"`
	Readable string `json:"readableBy,omitempty"`
}

// List plans the config as the agent would and looks at the files of the first
// filled directory, if there is one. Where the config is not mounted, as in
// build containers, it shows what the agent says.
func (r Reader) List(o Options) ([]ListEntry, []Problem, error) {
	if o.Env == nil {
		o.Env = r.env
	}
	for _, d := range r.Dirs {
		o.Dirs = append(o.Dirs, Dir{Path: d})
	}
	dir, findErr := r.Find()
	if len(o.Dirs) == 0 {
		o.Dirs = []Dir{{Path: r.candidates()[0]}}
	}
	k, err := New(o)
	if err != nil {
		return nil, nil, err
	}
	defer k.closer()
	known := map[string]ProfileStatus{}
	var st Status
	if findErr == nil {
		if st, err = readStatus(dir); err == nil {
			for _, p := range st.Profiles {
				known[p.Profile] = p
			}
		}
	}
	var out []ListEntry
	err = k.load()
	if len(known) > 0 && o.ConfigFile == "" && (errors.Is(err, errGenerated) || err == nil && len(k.plan.Config.order) == 0) {
		for _, p := range st.Profiles {
			e := ListEntry{ProfileStatus: p}
			if p.Role != "" {
				e.File = filepath.Join(dir, processName(strings.TrimPrefix(p.Profile, DefaultName)))
				e.look(p)
			}
			out = append(out, e)
		}
		return out, st.Problems, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, t := range k.plan.Targets {
		e := ListEntry{ProfileStatus: planned(t)}
		if t.Leaf != nil && findErr == nil {
			e.File = filepath.Join(dir, processName(t.Profile))
			e.look(known[t.Name()])
		}
		out = append(out, e)
	}
	return out, k.plan.Problems, nil
}

// look fills in what the process file says.
func (e *ListEntry) look(agent ProfileStatus) {
	e.Caller, e.KeyID, e.Renewed = agent.Caller, agent.KeyID, agent.Renewed
	st, err := os.Stat(e.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.State = "missing"
		if agent.Detail != "" {
			e.State, e.Detail = agent.State, agent.Detail
		}
		return
	case err != nil:
		e.State, e.Detail = "unreadable", err.Error()
		return
	}
	e.Readable = readableBy(st)
	data, err := readLimited(e.File, maxFileBytes)
	if err != nil {
		e.State, e.Detail = "unreadable", fmt.Sprintf("uid %d may not read it", os.Getuid())
		return
	}
	x := expiryOf(data)
	e.Expires = &x
	switch {
	case x.IsZero():
		e.State, e.Detail, e.Expires = "broken", "the file is not in credential_process form", nil
	case time.Now().After(x):
		e.State = "expired"
	case agent.State == "failing":
		e.State, e.Detail = "failing", agent.Detail
	default:
		e.State = "fresh"
	}
}

// readableBy says in words who may read a file.
func readableBy(st fs.FileInfo) string {
	m := st.Mode().Perm()
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || m&0o004 != 0 {
		return "all"
	}
	who := []string{"root"}
	if m&0o400 != 0 && sys.Uid != 0 {
		who = append(who, fmt.Sprintf("uid %d", sys.Uid))
	}
	if m&0o040 != 0 {
		who = append(who, fmt.Sprintf("gid %d", sys.Gid))
	}
	return strings.Join(who, ", ")
}
