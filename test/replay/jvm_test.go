package replay

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/jvm"
	"github.com/footman-ci/footman/remoting/transport"
)

// relayed lists classes that are for the companion JVM. There is no JVM here:
// this program stands in for it and says what the recorded agent said. That
// proves the relay (requests, answers, calls of the JVM's objects, its streams
// and references), not git. Remove a class once it is native.
var relayed = map[string]string{
	"org.jenkinsci.plugins.gitclient.Git$GitAPIMasterToSlaveFileCallable": "git: what comes after it is for the object that it answers",
	"hudson.util.RemotingDiagnostics$Script":                              "Groovy",
}

// isRelayed knows such requests in a recording, which writes git commands with
// builders as "git:CloneCommand[…]", and calls of objects that they gave away.
func (c *command) isRelayed() bool {
	k := c.key()
	return relayed[k] != "" || strings.HasPrefix(k, "git:") || strings.HasPrefix(k, "org.jenkinsci.plugins.gitclient.")
}

// withoutFiles are the scenarios whose scripts need what git brought.
var withoutFiles = map[string]bool{"10-git-checkout": true, "29-multibranch": true,
	"10-git-checkout" + nativeSuffix: true, "29-multibranch" + nativeSuffix: true}

// onlyRelayed lets nothing but these classes through to the companion: a class
// that is not native by mistake must not get its answer from the recording.
type onlyRelayed struct{ *jvm.Companion }

func (f onlyRelayed) Handle(ctx context.Context, call *remoting.Call, why error) (jser.Value, error) {
	var u *callable.Unsupported
	if !errors.As(why, &u) || relayed[u.Class] == "" {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "%v", why)
	}
	usedMu.Lock()
	usedRelayed[u.Class]++
	usedMu.Unlock()
	return f.Companion.Handle(ctx, call, why)
}

// jvmEnv makes this program the JVM of a scenario.
const jvmEnv = "REPLAY_JVM"

// recordedCompanion is a companion whose JVM is this program.
func recordedCompanion(t *testing.T, name string, table *callable.Table) *jvm.Companion {
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	jar := filepath.Join(dir, "agent.jar")
	f, err := os.Create(jar)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	w, err := z.Create("hudson/remoting/Launcher.class")
	require.NoError(t, err)
	_, err = io.WriteString(w, "\xCA\xFE\xBA\xBE\x00\x00\x00\x34")
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	fixtures, err := filepath.Abs(fixturesDir())
	require.NoError(t, err)
	c := jvm.New(jvm.Config{Java: self, JarFile: jar, Dir: dir, WorkDir: dir, Environ: []string{jvmEnv + "=" + name, "REPLAY_FIXTURES=" + fixtures}})
	table.Fallback, table.Observe = onlyRelayed{c}, c.Observe
	t.Cleanup(c.Close)
	return c
}

// initialises are requests that are native and played to a JVM at its start.
var initialises = map[string]bool{
	"hudson.slaves.SlaveComputer$SlaveInitializer":                   true,
	"jenkins.util.SystemProperties$AgentCopier$CopySystemProperties": true,
}

// script is what the JVM writes once it has read a request.
type script struct {
	id    int32
	write [][]byte
}

// recordedJVM serves stdin and stdout.
func recordedJVM(name string) error {
	s, err := loadSession(name)
	if err != nil {
		return err
	}
	scripts, setUp := map[int32]*script{}, map[int32]bool{}
	for ; s != nil; s = s.next {
		for id, c := range s.requests {
			setUp[id] = setUp[id] || initialises[c.key()]
		}
		for _, x := range s.scripts() {
			scripts[x.id] = x
		}
	}
	t := &transport.Stdio{In: os.Stdin, Out: os.Stdout, Mode: transport.ModeBinary}
	conn, err := t.Dial(context.Background())
	if err != nil {
		return err
	}
	for {
		raw, err := conn.ReadCommand()
		if err != nil {
			return nil // the agent is done with us
		}
		o, err := decodeCommand(raw)
		if err != nil {
			return err
		}
		if class := o.Class.Name; class != cUserRequest && class != cRPCRequest && class != cUserRPCRequest {
			continue // acknowledgements, references given back
		}
		x := scripts[o.Int("id")]
		if x == nil {
			if !setUp[o.Int("id")] {
				return fmt.Errorf("request %d is not for a JVM: %s", o.Int("id"), o.Str("toString"))
			}
			x = &script{write: [][]byte{encodeCommand(nullAnswer(o.Int("id"), true))}}
		}
		for _, b := range x.write {
			if err := conn.WriteCommand(b); err != nil {
				return fmt.Errorf("answering %d: %w", o.Int("id"), err)
			}
		}
	}
}

// scripts divides what the recorded agent wrote for relayed requests among
// them. What comes late on their streams goes with the request before it. The
// last one gives everything back: when the recorded JVM did so was up to its
// garbage collector.
func (s *session) scripts() []*script {
	var all []*script
	byID := map[int32]*script{}
	streams := map[int32]bool{}  // oids of the controller that relayed requests named
	back := map[int32][][]byte{} // what gives an oid back, once for each reference
	for _, c := range s.commands {
		switch {
		case c.Dir == "c2a" && c.isRequest() && c.isRelayed():
			x := &script{id: *c.ID}
			all = append(all, x)
			byID[x.id] = x
			v, err := decodePayload(mustBytes(c.obj.Get("request")))
			if err != nil {
				panic(err)
			}
			for oid, n := range references(v) {
				streams[oid] = true
				for range n {
					back[oid] = append(back[oid], encodeCommand(giveBack(v, oid)))
				}
			}
		case c.Dir != "a2c" || len(all) == 0:
		case c.Class == cResponse && byID[*c.ID] != nil:
			x := byID[*c.ID]
			x.write = append(x.write, c.raw)
		case strings.HasPrefix(c.Class, outStream), strings.HasPrefix(c.Class, writerStream):
			oid, last := c.obj.Int("oid"), all[len(all)-1]
			switch {
			case !streams[oid], strings.HasSuffix(c.Class, "$Unexport"), strings.HasSuffix(c.Class, "$Ack"):
			case strings.HasSuffix(c.Class, "$EOF"):
				back[oid] = back[oid][1:]
				last.write = append(last.write, c.raw)
			default:
				last.write = append(last.write, c.raw)
			}
		}
	}
	for _, oid := range sortedKeys(back) {
		last := all[len(all)-1]
		last.write = append(last.write, back[oid]...)
	}
	return all
}

// giveBack is the command that gives back what v refers to by oid.
func giveBack(v jser.Value, oid int32) *jser.Object {
	command := jser.New(unexportDesc, nil, oid)
	walk(v, func(o *jser.Object) {
		switch n, ok := jser.BlockInt32(o.Extra(o.Class.Name), 0); {
		case o.Class.Name == cRemoteOut && ok && n == oid:
			command = jser.New(outUnexport, nil, int32(0), oid)
		case o.Class.Name == cRemoteWriter && ok && n == oid:
			command = jser.New(writerUnexport, nil, int32(0), oid)
		}
	})
	return command
}

var writerUnexport = jser.Serializable(writerStream+"Unexport", 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))
