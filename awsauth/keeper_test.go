package awsauth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func throttled() error { return &IssueError{Code: "Throttling", Message: "Rate exceeded", Retry: true} }
func denied(role string) error {
	return &IssueError{Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole on resource: " + role}
}

func TestOnce(t *testing.T) {
	p := newPod(t, chainConfig)
	k := p.keeper(t)
	require.NoError(t, k.Once(t.Context()))
	require.Equal(t, 3, p.sts.count(""), "one call a link: prod, nonprod and deep share theirs")

	for _, c := range []struct {
		profile string
		args    CacheArgs
	}{
		{"prod", CacheArgs{RoleARN: arnProd}},
		{"prod", CacheArgs{RoleARN: arnProd, Token: "h." + secretMark + ".1"}},
		{"nonprod", CacheArgs{RoleARN: arnNonprod, SessionName: "jenkinssession"}},
		{"deep", CacheArgs{RoleARN: arnDeep}},
		{"", CacheArgs{RoleARN: arnProd}},
	} {
		proc, ok := p.process(t, c.profile)
		require.True(t, ok, c.profile)
		cache, ok := p.cached(t, c.args)
		require.True(t, ok, "%s: %v", c.profile, c.args)
		require.Equal(t, 1, proc.Version)
		require.Equal(t, proc.SecretKey, cache.Credentials.SecretKey)
		require.Equal(t, proc.SessionToken, cache.Credentials.SessionToken)
		require.Equal(t, accountOf(c.args.RoleARN), cache.Credentials.AccountID)
		require.Equal(t, 5*time.Minute, expiry(t, cache.Credentials.Expiration).Sub(expiry(t, proc.Expiration)), "early in the process file alone")
		require.True(t, strings.HasSuffix(cache.Credentials.Expiration, "Z"), "a zone")
	}
	f, _ := p.cached(t, CacheArgs{RoleARN: arnDeep})
	require.Equal(t, "arn:aws:sts::333333333333:assumed-role/sandbox-role/jenkins-pod-1", f.User.ARN, "a generated name for the audit log, not in the key")
	for _, x := range p.sts.calls {
		if x.role == arnProd {
			require.Zero(t, x.seconds)
		} else {
			require.Equal(t, int32(3600), x.seconds)
		}
	}
	entries, err := os.ReadDir(p.path("cli/cache"))
	require.NoError(t, err)
	require.Len(t, entries, 4)
}

func TestOnceReportsEachProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig+"[profile loop]\nrole_arn="+arnDeep+"\nsource_profile=loop\n[profile person]\nsso_session=x\n")
		p.sts.setFault(func(_ int, r Request) (time.Duration, error) {
			if r.RoleARN == arnNonprod {
				return 0, denied(arnNonprod)
			}
			return 0, nil
		})
		k := p.keeper(t)
		err := k.Once(t.Context())
		require.ErrorContains(t, err, "profile loop: cycle of source_profile: loop → loop")
		require.ErrorContains(t, err, "profile nonprod: assume role "+arnNonprod+" (STS in eu-west-1): AccessDenied")
		require.ErrorContains(t, err, "profile deep: source nonprod: assume role "+arnNonprod)
		require.ErrorContains(t, err, "the role's trust policy must allow "+arnProd)
		require.NotContains(t, err.Error(), "person", "left to the tools, and not named")
		_, ok := p.process(t, "prod")
		require.True(t, ok, "the others are written")
		_, ok = p.process(t, "deep")
		require.False(t, ok)
		require.Equal(t, 1, p.sts.count(arnNonprod), "a refusal is not repeated")

		o := p.options()
		o.Profiles = []string{"prod"}
		k, err = New(o)
		require.NoError(t, err)
		require.NoError(t, k.Once(t.Context()), "only what was named counts")
		o.Profiles = []string{"prod", "person"}
		k, err = New(o)
		require.NoError(t, err)
		require.ErrorContains(t, k.Once(t.Context()), "profile person is left to the tools")
	})
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(n int, r Request) (time.Duration, error)
		max   time.Duration
		calls int // at most
	}{
		"throttled five times": {func(n int, _ Request) (time.Duration, error) {
			if n <= 5 {
				return 0, throttled()
			}
			return 0, nil
		}, 25 * time.Second, 8},
		"ten seconds late once": {func(n int, _ Request) (time.Duration, error) {
			if n == 1 {
				return 10 * time.Second, nil
			}
			return 0, nil
		}, 12 * time.Second, 3},
		"server errors": {func(n int, _ Request) (time.Duration, error) {
			if n <= 3 {
				return 0, &IssueError{Code: "InternalFailure", Message: "STS answered HTTP 500", Retry: true}
			}
			return 0, nil
		}, 10 * time.Second, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, chainConfig)
				p.sts.setFault(c.fault)
				o := p.options()
				o.Timing.First = time.Minute
				k, err := New(o)
				require.NoError(t, err)
				start := time.Now()
				require.NoError(t, k.Once(t.Context()))
				require.LessOrEqual(t, time.Since(start), c.max+10*time.Second)
				require.LessOrEqual(t, p.sts.count(""), c.calls)
			})
		})
	}
}

// TestDown: STS is away for a while from the start. The start is bounded, and
// the files come as soon as STS does.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		p.sts.setFault(func(int, Request) (time.Duration, error) { return time.Hour, nil })
		start := time.Now()
		k, stop := p.start(t, p.options())
		<-k.Ready()
		require.Equal(t, 20*time.Second, time.Since(start), "the agent goes on after the bound")
		require.ErrorContains(t, k.Err(), "profile prod: web identity "+arnProd)
		time.Sleep(5 * time.Minute)
		p.sts.setFault(nil)
		time.Sleep(90 * time.Second)
		require.NoError(t, k.Err())
		_, ok := p.process(t, "deep")
		require.True(t, ok)
		stop()
	})
}

// TestTwelveHours runs a long build against one-hour sessions: at no moment
// does the CLI find less than 15 minutes or an SDK less than 20 in a file, and
// STS is asked about 24 times a profile.
func TestTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		k, stop := p.start(t, p.options())
		<-k.Ready()
		for end := time.Now().Add(12 * time.Hour); time.Now().Before(end); {
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, profile := range []string{"", "prod", "nonprod", "deep"} {
				f, ok := p.process(t, profile)
				require.True(t, ok)
				require.Greater(t, time.Until(expiry(t, f.Expiration)), 20*time.Minute)
			}
			for _, a := range []CacheArgs{{RoleARN: arnProd}, {RoleARN: arnProd, Token: "h." + secretMark + ".1"}, {RoleARN: arnNonprod, SessionName: "jenkinssession"}, {RoleARN: arnDeep}} {
				f, ok := p.cached(t, a)
				require.True(t, ok)
				require.Greater(t, time.Until(expiry(t, f.Credentials.Expiration)), 25*time.Minute)
			}
		}
		for _, role := range []string{arnProd, arnNonprod, arnDeep} {
			require.InDelta(t, 24, p.sts.count(role), 3, role)
		}
		require.NotContains(t, p.log.String(), "level=WARN")
		require.NotContains(t, p.log.String(), "level=ERROR")
		stop()
	})
}

// TestQuarterHourSessions has 15-minute sessions, three and more expiries of
// them, and a token that rotates in between, after which STS takes only the
// new one.
func TestQuarterHourSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, strings.ReplaceAll(chainConfig, "source_profile", "duration_seconds = 900\nsource_profile"))
		p.sts.life = 15 * time.Minute
		token := func(i int) string { return fmt.Sprintf("h.%s.%d", secretMark, i) }
		p.sts.tokens = map[string]bool{token(1): true}
		k, stop := p.start(t, p.options())
		<-k.Ready()
		for i := range 60 {
			if i%20 == 10 { // rotation: kubelet first, then the old one dies
				n := i/20 + 2
				p.sts.mu.Lock()
				p.sts.tokens[token(n)] = true
				p.sts.mu.Unlock()
				p.setToken(t, token(n))
				time.Sleep(11 * time.Second) // one look at the files
				synctest.Wait()
				_, ok := p.cached(t, CacheArgs{RoleARN: arnProd, Token: token(n)})
				require.True(t, ok, "under the new token's key at once")
				p.sts.mu.Lock()
				delete(p.sts.tokens, token(n-1))
				p.sts.mu.Unlock()
				time.Sleep(30 * time.Second)
				synctest.Wait()
				_, ok = p.cached(t, CacheArgs{RoleARN: arnProd, Token: token(n - 1)})
				require.False(t, ok, "the old token's file is gone")
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			for _, profile := range []string{"", "prod", "nonprod", "deep"} {
				f, ok := p.process(t, profile)
				require.True(t, ok)
				require.Greater(t, time.Until(expiry(t, f.Expiration)), time.Duration(0))
			}
			require.NoError(t, k.Err())
		}
		require.InDelta(t, 8, p.sts.count(arnProd), 2)
		stop()
	})
}

// TestOutage: refresh fails from the first half hour on. The files stay until
// they expire, the log says so at 20, 15 and 5 minutes, then they are deleted,
// and they come back.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		k, stop := p.start(t, p.options())
		<-k.Ready()
		p.sts.setFault(func(int, Request) (time.Duration, error) {
			return 0, &IssueError{Message: "STS not reached: connection refused", Retry: true}
		})
		time.Sleep(59 * time.Minute)
		f, ok := p.process(t, "deep")
		require.True(t, ok)
		require.Less(t, time.Until(expiry(t, f.Expiration)), time.Duration(0), "5 minutes early")
		require.Equal(t, "failing", p.state(k, "deep").State)
		for _, profile := range []string{"prod", "nonprod", "deep"} {
			n := 0
			for line := range strings.Lines(p.log.String()) {
				if strings.Contains(line, "not being refreshed") && strings.Contains(line, "profile="+profile+" ") {
					n++
					require.Contains(t, line, "connection refused")
				}
			}
			require.Equal(t, 3, n, "%s: one warning each at 20, 15 and 5 minutes", profile)
		}
		time.Sleep(2 * time.Minute)
		for _, profile := range []string{"", "prod", "nonprod", "deep"} {
			_, ok = p.process(t, profile)
			require.False(t, ok, "expired keys are deleted")
		}
		entries, err := os.ReadDir(p.path("cli/cache"))
		require.NoError(t, err)
		require.Empty(t, entries)
		require.ErrorContains(t, k.Err(), "connection refused")
		require.Contains(t, p.log.String(), "credentials expired, files deleted")
		failed := p.sts.count("")
		require.Less(t, failed, 300, "retries keep their distance")
		p.sts.setFault(nil)
		time.Sleep(4 * time.Minute)
		require.NoError(t, k.Err())
		_, ok = p.process(t, "deep")
		require.True(t, ok)
		stop()
	})
}

// TestDenied: one profile is refused for hours; the others are refreshed.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		p.sts.setFault(func(_ int, r Request) (time.Duration, error) {
			if r.RoleARN == arnDeep {
				return 0, denied(arnDeep)
			}
			return 0, nil
		})
		k, stop := p.start(t, p.options())
		<-k.Ready()
		time.Sleep(3 * time.Hour)
		require.Equal(t, "fresh", p.state(k, "nonprod").State)
		require.Equal(t, "failing", p.state(k, "deep").State)
		require.Contains(t, p.state(k, "deep").Detail, "AccessDenied")
		require.Less(t, p.sts.count(arnDeep), 180, "asked seldom")
		require.Equal(t, 1, strings.Count(p.log.String(), "level=WARN"), "said once")
		p.sts.setFault(nil) // the trust policy was mended
		time.Sleep(6 * time.Minute)
		require.NoError(t, k.Err())
		stop()
	})
}

// TestStorm starts 200 agents at once against one STS that takes 40 calls a
// second with a burst of 80: all are served, the calls wasted are few, and
// after the first second their rate does not spike.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents, rate, burst = 200, 40.0, 80.0
		var (
			mu     sync.Mutex
			level  = burst
			last   = time.Now()
			refuse int
		)
		sts := &fakeSTS{fault: func(int, Request) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			level = min(burst, level+rate*time.Since(last).Seconds())
			last = time.Now()
			if level < 1 {
				refuse++
				return 0, throttled()
			}
			level--
			return 30 * time.Millisecond, nil
		}}
		start := time.Now()
		var wg sync.WaitGroup
		errs := make([]error, agents)
		for i := range agents {
			p := newPod(t, chainConfig)
			o := p.options()
			o.Issuer, o.Timing.First = sts, 3*time.Minute
			k, err := New(o)
			require.NoError(t, err)
			wg.Go(func() { errs[i] = k.Once(t.Context()) })
		}
		wg.Wait()
		took := time.Since(start)
		for _, err := range errs {
			require.NoError(t, err)
		}
		perSecond := map[int]int{}
		for _, c := range sts.calls {
			perSecond[int(c.at.Sub(start).Seconds())]++
		}
		worst := 0
		for s, n := range perSecond {
			if s > 2 {
				worst = max(worst, n)
			}
		}
		total := len(sts.calls)
		t.Logf("200 agents, 600 grants: %d calls, %d throttled, all fresh after %s; busiest second after the third: %d calls", total, refuse, took.Round(time.Millisecond), worst)
		require.Equal(t, agents*3, total-refuse)
		require.Less(t, total, agents*3*3, "few calls are wasted")
		require.Less(t, worst, 150, "no thundering herd")
		require.Less(t, took, 2*time.Minute)
	})
}

// TestRestart: a successor uses what an init container left until it has
// its own, deletes what nobody asks for any more, and touches nothing else.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, p.keeper(t).Once(t.Context()))
		foreign := p.path("cli/cache/" + strings.Repeat("a", 40) + ".json")
		require.NoError(t, os.WriteFile(foreign, cacheEntry(Grant{Credentials: NewCredentials("A", "b", "c", time.Now())}), 0o600))

		p.setConfig(t, strings.Split(chainConfig, "[profile deep]")[0]) // deep is gone
		p.setToken(t, "h."+secretMark+".2")
		p.sts.setFault(func(int, Request) (time.Duration, error) { return 0, throttled() })
		k, stop := p.start(t, p.options())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		_, ok := p.process(t, "prod")
		require.True(t, ok, "the predecessor's file serves on")
		_, ok = p.process(t, "deep")
		require.False(t, ok)
		_, ok = p.cached(t, CacheArgs{RoleARN: arnProd, Token: "h." + secretMark + ".1"})
		require.False(t, ok, "the old token's key")
		require.FileExists(t, foreign)
		p.sts.setFault(nil)
		time.Sleep(2 * time.Minute)
		require.NoError(t, k.Err())
		_, ok = p.cached(t, CacheArgs{RoleARN: arnProd, Token: "h." + secretMark + ".2"})
		require.True(t, ok)
		stop()
	})
}

// TestConfigChanges: a new profile is resolved, a removed one deleted, a
// broken or missing file changes nothing.
func TestConfigChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, strings.Split(chainConfig, "[profile deep]")[0])
		k, stop := p.start(t, p.options())
		<-k.Ready()
		p.setConfig(t, chainConfig)
		time.Sleep(12 * time.Second)
		synctest.Wait()
		_, ok := p.process(t, "deep")
		require.True(t, ok)
		require.Equal(t, 1, p.sts.count(arnNonprod), "what is fresh is not asked for again")
		require.NoError(t, os.Remove(p.config))
		time.Sleep(time.Minute)
		_, ok = p.process(t, "deep")
		require.True(t, ok)
		require.Equal(t, 1, strings.Count(p.log.String(), "config cannot be read"))
		p.setConfig(t, strings.Split(chainConfig, "[profile nonprod]")[0])
		time.Sleep(12 * time.Second)
		synctest.Wait()
		_, ok = p.process(t, "nonprod")
		require.False(t, ok)
		_, ok = p.cached(t, CacheArgs{RoleARN: arnNonprod, SessionName: "jenkinssession"})
		require.False(t, ok)
		stop()
	})
}

func TestClockSkew(t *testing.T) {
	for _, ahead := range []time.Duration{-20 * time.Minute, 20 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			p := newPod(t, chainConfig)
			p.sts.ahead = ahead
			k, stop := p.start(t, p.options())
			<-k.Ready()
			time.Sleep(50 * time.Minute)
			require.Contains(t, p.log.String(), "the node's clock is wrong")
			require.Equal(t, -ahead.Seconds(), k.Status().Skew)
			require.Equal(t, 2, p.sts.count(arnProd), "refreshed by the life STS gave, not by the wrong clock")
			require.NoError(t, k.Err())
			stop()
		})
	}
}

// TestSourceExpired: STS says the source's keys are expired although they look
// well; they are fetched anew.
func TestSourceExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		k, stop := p.start(t, p.options())
		<-k.Ready()
		p.sts.mu.Lock()
		for s := range p.sts.live {
			p.sts.live[s] = time.Time{}
		}
		p.sts.mu.Unlock()
		time.Sleep(45 * time.Minute)
		require.NoError(t, k.Err())
		stop()
	})
}

// TestLongSession: a role whose maximum is an hour refuses more; one hour is
// taken instead.
func TestLongSession(t *testing.T) {
	p := newPod(t, chainConfig)
	p.sts.fault = func(_ int, r Request) (time.Duration, error) {
		if r.Seconds > 3600 {
			return 0, &IssueError{Code: "ValidationError", Message: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
		}
		return 0, nil
	}
	o := p.options()
	o.Duration = 12 * time.Hour
	k, err := New(o)
	require.NoError(t, err)
	require.NoError(t, k.Once(t.Context()))
	require.Contains(t, p.log.String(), "asking for one hour")
}

// TestNoSecretsShown walks every way out but the files.
func TestNoSecretsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig+"[profile st]\nrole_arn="+arnDeep+"\nsource_profile=keys\n[profile keys]\naws_access_key_id=AKIA\naws_secret_access_key="+secretMark+"static\n")
		p.sts.setFault(func(n int, r Request) (time.Duration, error) {
			if n%3 == 1 {
				return 0, throttled()
			}
			if r.RoleARN == arnDeep {
				return 0, denied(arnDeep)
			}
			return 0, nil
		})
		k, stop := p.start(t, p.options())
		time.Sleep(time.Hour)
		var metrics strings.Builder
		require.NoError(t, k.WriteMetrics(&metrics))
		status, err := os.ReadFile(p.path("agent/status.json"))
		require.NoError(t, err)
		g := Grant{Credentials: NewCredentials("AKIA1", secretMark, secretMark, time.Now())}
		r := Request{Token: secretMark, Source: g.Credentials}
		p.log.logger().Info("x", "c", g.Credentials, "g", g, "p", &g, "r", r)
		all := p.log.String() + metrics.String() + string(status) + fmt.Sprint(k.Err()) + fmt.Sprintf("%v %+v %#v %s %q", g, g, g, g, g) + fmt.Sprintf("%v %+v %#v", g.Credentials, g.Credentials, g.Credentials) + fmt.Sprintf("%v %+v %#v", r, r, r)
		require.NotContains(t, all, secretMark)
		require.Contains(t, all, "AKIA1")
		require.Contains(t, metrics.String(), `footman_awsauth_fresh{profile="prod",role="`+arnProd+`"} 1`)
		stop()
	})
}

func TestSeveralDirs(t *testing.T) {
	p := newPod(t, chainConfig)
	o := p.options()
	second := filepath.Join(p.dir, "second")
	o.Dirs = append(o.Dirs, Dir{Path: second, Seen: "/root/.aws"})
	k, err := New(o)
	require.NoError(t, err)
	require.NoError(t, k.Once(t.Context()))
	a, err := os.ReadFile(p.path("cli/cache/" + CacheArgs{RoleARN: arnProd}.Key() + ".json"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(second, "cli/cache/"+CacheArgs{RoleARN: arnProd}.Key()+".json"))
	require.NoError(t, err)
	require.Equal(t, a, b)
	conf, err := os.ReadFile(filepath.Join(second, "agent/config"))
	require.NoError(t, err)
	require.Contains(t, string(conf), "cat /root/.aws/agent/prod.json")
}

// TestOneBadDir: a directory that cannot be written is named, and the others
// are served.
func TestOneBadDir(t *testing.T) {
	p := newPod(t, chainConfig)
	o := p.options()
	file := filepath.Join(p.dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	o.Dirs = slices.Insert(o.Dirs, 0, Dir{Path: filepath.Join(file, "x")})
	k, err := New(o)
	require.NoError(t, err)
	require.ErrorContains(t, k.Once(t.Context()), file)
	_, ok := p.process(t, "deep")
	require.True(t, ok)
}

func TestNew(t *testing.T) {
	_, err := New(Options{})
	require.ErrorContains(t, err, "no directory")
	_, err = New(Options{Dirs: []Dir{{Path: "/x"}}, Duration: time.Minute})
	require.ErrorContains(t, err, "outside 15m")
	k, err := New(Options{Dirs: []Dir{{Path: t.TempDir()}}, ConfigFile: "/nonexistent/config"})
	require.NoError(t, err)
	require.ErrorContains(t, k.Once(t.Context()), "config: open /nonexistent/config")
	p := newPod(t, generatedMark+"\n[default]\n")
	require.ErrorContains(t, p.keeper(t).Once(t.Context()), "not its input")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Run(ctx, newPod(t, chainConfig).options()))
}

// TestStartIsNeverFatal: whatever is wrong, an agent that starts with awsauth
// goes on at once, and awsauth begins when it can.
func TestStartIsNeverFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.Rename(p.config, p.config+".later"))
		begin := time.Now()
		k, stop := p.start(t, p.options())
		<-k.Ready()
		require.Zero(t, time.Since(begin), "nothing to wait for")
		require.ErrorContains(t, k.Err(), "no config was read")
		require.Contains(t, p.log.String(), "config not usable yet")
		require.NoError(t, os.Rename(p.config+".later", p.config))
		time.Sleep(12 * time.Second)
		require.NoError(t, k.Err())
		stop()
	})
	synctest.Test(t, func(t *testing.T) { // the directory is a file, later a directory
		p := newPod(t, chainConfig)
		require.NoError(t, os.WriteFile(p.aws, nil, 0o600))
		k, stop := p.start(t, p.options())
		<-k.Ready()
		require.ErrorContains(t, k.Err(), p.aws)
		require.NoError(t, os.Remove(p.aws))
		time.Sleep(12 * time.Second)
		require.NoError(t, k.Err())
		_, ok := p.process(t, "deep")
		require.True(t, ok)
		stop()
	})
}
