package awsauth

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const childReads = 10_000

// childReader is another process of the pod: eight readers that, as the tools
// do, read the process files and look up cache files, 10 000 times in all, and
// complain about anything that would make a tool fail.
func childReader(dir string) int {
	token := os.Getenv("AWSAUTH_TEST_TOKEN")
	var reads, bad, waits atomic.Int64
	check := func(name string) error {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		var v struct {
			AccessKeyId, SecretAccessKey, SessionToken, Expiration string
			Credentials                                            *struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if v.Credentials != nil {
			v.AccessKeyId, v.SecretAccessKey, v.SessionToken, v.Expiration = v.Credentials.AccessKeyId, v.Credentials.SecretAccessKey, v.Credentials.SessionToken, v.Credentials.Expiration
		}
		id, ok := strings.CutPrefix(v.AccessKeyId, "ASIA")
		if n := strings.TrimLeft(id, "0"); !ok || v.SecretAccessKey != secretMark+"key"+n || v.SessionToken != secretMark+"session"+n {
			return fmt.Errorf("%s: the parts belong to different credentials", name)
		}
		x, err := time.Parse(time.RFC3339, v.Expiration)
		// Files give whole seconds; the fake's sessions are short.
		if err != nil || time.Now().After(x.Add(time.Second)) {
			return fmt.Errorf("%s: expired at %s: %v", name, v.Expiration, err)
		}
		return nil
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < childReads; i += 8 {
				var err error
				switch i / 8 % 5 {
				case 0:
					err = check(processName("nonprod"))
				case 1:
					err = check(processName(""))
				case 2:
					err = check("cli/cache/" + CacheArgs{RoleARN: arnNonprod, SessionName: "jenkinssession"}.Key() + ".json")
				case 3:
					err = check("cli/cache/" + CacheArgs{RoleARN: arnProd}.Key() + ".json")
				case 4: // CLI v1 from 1.46: the token is part of the key
					for try := range 200 {
						text, _ := os.ReadFile(token)
						if err = check("cli/cache/" + (CacheArgs{RoleARN: arnProd, Token: string(text)}).Key() + ".json"); !os.IsNotExist(err) {
							break
						}
						if try == 0 {
							waits.Add(1)
						}
						time.Sleep(5 * time.Millisecond)
					}
				}
				if reads.Add(1); err != nil {
					bad.Add(1)
					fmt.Println("BAD", err)
				}
				time.Sleep(8 * time.Millisecond) // spreads the reads over the sessions
			}
		})
	}
	wg.Wait()
	fmt.Printf("child: %d reads, %d bad, %d met a token just rotated\n", reads.Load(), bad.Load(), waits.Load())
	if bad.Load() > 0 {
		return 1
	}
	return 0
}

// TestReadsByAnotherProcess scales 15-minute sessions to three seconds: while
// they are renewed over more than three expiries and the token rotates, another
// process reads 10 000 times and never meets a partial, mixed or expired file.
func TestReadsByAnotherProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes 15 s")
	}
	p := newPod(t, strings.Split(chainConfig, "[profile deep]")[0])
	p.sts.life = 3 * time.Second
	o := p.options()
	o.Timing = Timing{Start: time.Millisecond, Base: 20 * time.Millisecond, Cap: 200 * time.Millisecond, Poll: 30 * time.Millisecond, Sweep: 100 * time.Millisecond, Early: time.Second}
	k, stop := p.start(t, o)
	defer stop()
	<-k.Ready()
	require.NoError(t, k.Err())
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "AWSAUTH_TEST_CHILD="+p.aws, "AWSAUTH_TEST_TOKEN="+p.token)
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	rotate := time.NewTicker(2 * time.Second)
	defer rotate.Stop()
	rotations := 0
	for {
		select {
		case <-rotate.C:
			rotations++
			p.setToken(t, fmt.Sprintf("h.rotated.%d", rotations))
			continue
		case err := <-ended:
			t.Log(strings.TrimSpace(out.String()))
			require.NoError(t, err)
		}
		break
	}
	took := time.Since(start)
	t.Logf("%s, %d sessions of prod, %d rotations", took.Round(time.Millisecond), p.sts.count(arnProd), rotations)
	require.Greater(t, took, 9*time.Second, "three expiries")
	require.GreaterOrEqual(t, p.sts.count(arnProd), 4)
}
