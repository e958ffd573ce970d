// Command cmd is the embedded controller as a program.
//
//	go run ./test/controller/cmd -listen 127.0.0.1:8080            # wait for agents, run scripts typed in
//	go run ./test/controller/cmd -listen … -run 'make test'        # run one script on the first agent, exit with its code
//	go run ./test/controller/cmd -demo -agent bin/jenkins-agent    # the demo: starts the agent too
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/test/controller"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`host:port` of HTTP and WebSocket")
	tcp := flag.String("tcp", "", "`host:port` for JNLP4-connect as well")
	nodes := flag.String("nodes", "agent-1", "comma-separated `names` of nodes")
	root := flag.String("root", "", "root `directory` of the agents (Remote FS root); default: one in the temporary directory")
	run := flag.String("run", "", "run this `script` on the first node that comes online, then exit with its code")
	demo := flag.Bool("demo", false, "start an agent as well and show a small pipeline")
	agent := flag.String("agent", "bin/jenkins-agent", "`path` of the agent for -demo")
	classes := flag.String("classes", "", "`class path` (jars or patterns) to serve to an official agent: Jenkins' own jars and plugins")
	verbose := flag.Bool("v", false, "log what the controller sees")
	flag.Parse()

	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := controller.Options{Listen: *listen, TCP: *tcp != "", TCPListen: *tcp, Log: log}
	code, err := 0, error(nil)
	if *classes != "" {
		source, done, err := controller.Jars(*classes)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer done()
		o.Classes = source
	}
	if *demo {
		o.MonitorDelay = -1 // the demo runs them itself
		err = runDemo(ctx, o, *agent)
	} else {
		code, err = serve(ctx, o, strings.Split(*nodes, ","), *root, *run)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "controller:", err)
		code = max(code, 1)
	}
	stop()
	os.Exit(code)
}

// serve waits for agents and runs what is typed in.
func serve(ctx context.Context, o controller.Options, names []string, root, script string) (int, error) {
	c := controller.New(o)
	if err := c.Start(); err != nil {
		return 1, err
	}
	defer c.Close()
	if root == "" {
		root = filepath.Join(os.TempDir(), "footman-agents")
	}
	fmt.Printf("controller  %s\n", c.URL())
	if c.TCPAddr() != "" {
		fmt.Printf("tcp         %s  (JNLP4-connect)\n", c.TCPAddr())
	}
	var ns []*controller.Node
	for _, name := range names {
		n := c.Node(name, filepath.Join(root, name))
		ns = append(ns, n)
		transport := "-webSocket"
		if c.TCPAddr() != "" {
			transport = "[-webSocket]"
		}
		fmt.Printf("\nnode        %s\nsecret      %s\nrun         bin/jenkins-agent -url %s -secret %s -name %s %s -workDir %s\n",
			n.Name(), n.Secret(), c.URL(), n.Secret(), n.Name(), transport, n.RemoteFS())
	}
	fmt.Println("\nwaiting for an agent …")
	n, err := firstOnline(ctx, ns)
	if err != nil {
		return 1, err
	}
	i := n.Info()
	fmt.Printf("%s is online: Remoting %s, %s, %s after the upgrade\n", n.Name(), i.Version, i.Protocol, i.Online.Sub(i.Connected).Round(time.Millisecond))
	if script != "" {
		r, err := n.Sh(ctx, script, controller.ShOptions{Log: os.Stdout})
		return r.ExitCode, err
	}
	return 0, prompt(ctx, n)
}

func firstOnline(ctx context.Context, ns []*controller.Node) (*controller.Node, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := make(chan *controller.Node, len(ns))
	for _, n := range ns {
		go func() {
			if n.WaitOnline(ctx) == nil {
				found <- n
			}
		}()
	}
	select {
	case n := <-found:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prompt runs each line of standard input as a script.
func prompt(ctx context.Context, n *controller.Node) error {
	fmt.Println("type a line of shell to run it as a pipeline step; end of input or Ctrl-C ends the controller")
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		fmt.Printf("%s$ ", n.Name())
		select {
		case line, ok := <-lines:
			if !ok {
				fmt.Println()
				return nil
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			r, err := n.Sh(ctx, line, controller.ShOptions{Log: os.Stdout})
			if err != nil {
				return err
			}
			fmt.Printf("exit code %d after %s\n", r.ExitCode, r.Took.Round(time.Millisecond))
		case <-ctx.Done():
			fmt.Println()
			return ctx.Err()
		}
	}
}
