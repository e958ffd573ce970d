package awsauth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/test/output"
)

func TestMain(m *testing.M) {
	if name := os.Getenv("AWSAUTH_TEST_CHILD"); name != "" {
		os.Exit(childReader(name))
	}
	goleak.VerifyTestMain(m)
}

const secretMark = "SECRETMARK" // in every secret the fake gives out

// fakeSTS is an Issuer in memory. Its clock is time.Now plus ahead.
type fakeSTS struct {
	mu     sync.Mutex
	n      int
	life   time.Duration
	ahead  time.Duration
	calls  []call
	tokens map[string]bool // those it takes; nil takes all
	// fault, if not nil, is asked first.
	fault func(n int, r Request) (delay time.Duration, err error)
	live  map[string]time.Time // session → expiry
}

type call struct {
	at      time.Time
	role    string
	session string
	seconds int32
	ok      bool
}

func (f *fakeSTS) Issue(ctx context.Context, r Request) (Grant, error) {
	f.mu.Lock()
	f.n++
	n := f.n
	f.calls = append(f.calls, call{at: time.Now(), role: r.RoleARN, session: r.SessionName, seconds: r.Seconds})
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		delay, err := fault(n, r)
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return Grant{}, &IssueError{Message: "STS did not answer in time", Retry: true}
			}
		}
		if err != nil {
			return Grant{}, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now().Add(f.ahead)
	if r.Kind == KindWebIdentity && f.tokens != nil && !f.tokens[r.Token] {
		return Grant{}, &IssueError{Code: "ExpiredTokenException", Message: "Token expired"}
	}
	if r.Kind == KindAssumeRole && r.Source.session != "" && !now.Before(f.live[r.Source.session]) {
		return Grant{}, &IssueError{Code: "ExpiredToken", Message: "The security token included in the request is expired"}
	}
	life := f.life
	if life == 0 {
		life = time.Hour
	}
	if r.Seconds > 0 && time.Duration(r.Seconds)*time.Second < life {
		life = time.Duration(r.Seconds) * time.Second
	}
	c := NewCredentials(fmt.Sprintf("ASIA%08d", n), secretMark+"key"+fmt.Sprint(n), secretMark+"session"+fmt.Sprint(n), now.Add(life))
	if f.live == nil {
		f.live = map[string]time.Time{}
	}
	f.live[c.session] = c.Expires
	f.calls[n-1].ok = true
	acct, name := accountOf(r.RoleARN), r.RoleARN[strings.LastIndex(r.RoleARN, "/")+1:]
	c.Account = acct
	return Grant{Credentials: c, AssumedRoleARN: "arn:aws:sts::" + acct + ":assumed-role/" + name + "/" + r.SessionName, AssumedRoleID: "AROA:" + r.SessionName, ServerTime: now, Received: time.Now()}, nil
}

func (f *fakeSTS) count(role string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if role == "" || c.role == role {
			n++
		}
	}
	return n
}

func (f *fakeSTS) setFault(fn func(n int, r Request) (time.Duration, error)) {
	f.mu.Lock()
	f.fault = fn
	f.mu.Unlock()
}

// logBuffer collects log lines.
type logBuffer struct{ output.Buffer }

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// pod is a test's pod: a token, a config and an empty directory.
type pod struct {
	dir, aws, config, token string
	env                     map[string]string
	log                     *logBuffer
	sts                     *fakeSTS
}

const chainConfig = `
[profile prod]
role_arn = ` + arnProd + `
web_identity_token_file = TOKEN
[profile nonprod]
role_arn = ` + arnNonprod + `
source_profile = prod
role_session_name = jenkinssession
[profile deep]
role_arn = ` + arnDeep + `
source_profile = nonprod
`

func newPod(t testing.TB, config string) *pod {
	d := t.TempDir()
	p := &pod{dir: d, aws: filepath.Join(d, "aws"), config: filepath.Join(d, "config"), token: filepath.Join(d, "token"), log: &logBuffer{}, sts: &fakeSTS{}}
	p.setToken(t, "h."+secretMark+".1")
	p.setConfig(t, config)
	p.env = map[string]string{"AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": p.token, "AWS_REGION": "eu-west-1", "HOME": d, "HOSTNAME": "pod-1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
	return p
}

func (p *pod) setConfig(t testing.TB, config string) {
	require.NoError(t, os.WriteFile(p.config, []byte(strings.ReplaceAll(config, "TOKEN", p.token)), 0o644))
}

func (p *pod) setToken(t testing.TB, text string) {
	require.NoError(t, os.WriteFile(p.token+".new", []byte(text), 0o644))
	require.NoError(t, os.Rename(p.token+".new", p.token))
}

func (p *pod) options() Options {
	return Options{ConfigFile: p.config, Dirs: []Dir{{Path: p.aws}}, Env: envOf(p.env), Log: p.log.logger(), Issuer: p.sts, GID: -1}
}

func (p *pod) keeper(t testing.TB) *Keeper {
	k, err := New(p.options())
	require.NoError(t, err)
	return k
}

// start runs a Keeper until the returned function is called.
func (p *pod) start(t testing.TB, o Options) (*Keeper, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	k, done, err := Start(ctx, o)
	require.NoError(t, err)
	return k, func() { cancel(); <-done }
}

func (p *pod) path(name string) string { return filepath.Join(p.aws, name) }

// process reads a process file; ok is false if it is not there.
func (p *pod) process(t testing.TB, profile string) (f processFile, ok bool) {
	data, err := os.ReadFile(p.path(processName(profile)))
	if os.IsNotExist(err) {
		return f, false
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &f))
	return f, true
}

func (p *pod) cached(t testing.TB, a CacheArgs) (f cacheFile, ok bool) {
	data, err := os.ReadFile(p.path("cli/cache/" + a.Key() + ".json"))
	if os.IsNotExist(err) {
		return f, false
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &f))
	return f, true
}

func expiry(t testing.TB, s string) time.Time {
	x, err := time.Parse(time.RFC3339, s)
	require.NoError(t, err)
	return x
}

func (p *pod) state(k *Keeper, profile string) ProfileStatus {
	for _, s := range k.Status().Profiles {
		if s.Profile == profile {
			return s
		}
	}
	return ProfileStatus{State: "unknown"}
}
