package jvm_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
	"github.com/footman-ci/footman/remoting/transport"
)

// standInEnv makes this test program behave like java -jar agent.jar; its value
// is the command line of java.
const standInEnv = "FOOTMAN_TEST_JAVA"

// muteEnv makes it never answer an initialising callable.
const muteEnv = "FOOTMAN_TEST_MUTE"

// standIn serves stdin and stdout like an agent.jar that knows test.Foreign,
// numbering from 2, or from the base that footman.Companion is told.
func standIn() {
	first := int32(2)
	if _, rest, ok := strings.Cut(os.Getenv(standInEnv), "footman.Companion "); ok {
		_, _ = fmt.Sscanf(rest, "%d", &first)
		fmt.Fprintln(os.Stderr, "footman: ready")
	}
	s := &transport.Stdio{In: os.Stdin, Out: os.Stdout, Mode: transport.ModeBinary}
	conn, err := s.Dial(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, errStandIn, err)
		os.Exit(1)
	}
	ch := remoting.NewChannel(conn, remoting.Config{Handler: remotingtest.HandlerFunc(standInCall), FirstID: first})
	_ = ch.Serve(context.Background())
}

var initialised atomic.Int32

func standInCall(ctx context.Context, call *remoting.Call) (jser.Value, error) {
	o := call.Callable
	if strings.Contains(o.Class.Name, "SlaveInitializer") {
		initialised.Add(1)
		if os.Getenv(muteEnv) != "" {
			<-ctx.Done()
		}
		return nil, nil
	}
	arg := o.Get("arg")
	switch o.Str("do") {
	case "echo":
		return fmt.Sprintf("echo: %v", arg), nil
	case "fail":
		return nil, remoting.Errorf(remoting.IllegalStateClass, "%v", arg)
	case "initialised":
		return fmt.Sprint(initialised.Load()), nil
	case "write":
		w, err := call.Writer(ctx, arg)
		if err != nil {
			return nil, err
		}
		for range 64 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return nil, err
			}
		}
		return nil, w.Close()
	case "read":
		r, err := call.Reader(ctx, arg)
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(io.Discard, r)
		return fmt.Sprint(n), err
	case "call":
		obj, err := call.RemoteObject(arg, false)
		if err != nil {
			return nil, err
		}
		return obj.Invoke(ctx, "test.Object", "hello", nil, nil, 0)
	case "export":
		return remoting.Proxy(call.Channel.Export(&counted{}), "test.Object"), nil
	case "sink": // an OutputStream that is slow, or never done
		return remoting.OutputStream(call.Channel.ExportWriter(&slowSink{stuck: arg == "stuck"})), nil
	case "sunk":
		return fmt.Sprint(sunk.Load()), nil
	case "garbage":
		_, _ = os.Stdout.WriteString("a native library says hello\n")
		<-ctx.Done()
	case "half": // the beginning of a command
		_, _ = os.Stdout.Write([]byte{0x10, 0, 0xAC, 0xED, 0, 5})
		<-ctx.Done()
	case "deaf":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-ctx.Done()
	case "close":
		_ = os.Stdin.Close()
		<-ctx.Done()
	case "leave": // dies and leaves somebody behind who holds its stdout open
		child := exec.Command("sleep", "4711")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return nil, err
		}
		fmt.Fprintln(os.Stderr, "left behind", child.Process.Pid)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "wait":
		fmt.Fprintln(os.Stderr, "stand-in: waiting")
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "stand-in: cancelled")
		return nil, ctx.Err()
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	}
	return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "%s", o.Str("do"))
}

var sunk atomic.Int64

// slowSink takes its time for each write.
type slowSink struct{ stuck bool }

func (s *slowSink) Write(p []byte) (int, error) {
	if s.stuck {
		time.Sleep(time.Hour)
	}
	time.Sleep(20 * time.Millisecond)
	sunk.Add(int64(len(p)))
	return len(p), nil
}

type counted struct{ n atomic.Int32 }

func (c *counted) Invoke(context.Context, *remoting.Invocation) (jser.Value, error) {
	return jser.Integer(c.n.Add(1)), nil
}
