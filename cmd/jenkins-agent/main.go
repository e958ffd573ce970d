// Command jenkins-agent is a Jenkins agent: it takes the place of agent.jar.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson"
	"github.com/footman-ci/footman/remoting/transport"
)

// remotingVersion is the version of Remoting that we stand for: controllers
// refuse agents that report less than their minimum.
const remotingVersion = "3352.v17a_fb_4b_2773f"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := &cli.App{
		Name: "jenkins-agent", Usage: "a small Jenkins agent",
		HideHelpCommand: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "url"}, &cli.StringFlag{Name: "secret"}, &cli.StringFlag{Name: "name"},
			&cli.BoolFlag{Name: "webSocket"}, &cli.StringFlag{Name: "workDir"}, &cli.BoolFlag{Name: "noReconnect"},
			&cli.DurationFlag{Name: "pingInterval", Value: 20 * time.Second},
		},
		Action: runAgent,
	}
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "jenkins-agent:", err)
		os.Exit(1)
	}
}

func runAgent(c *cli.Context) error {
	logs := hudson.NewLogBuffer(slog.NewTextHandler(os.Stderr, nil), 256)
	log := slog.New(logs)
	secret := c.String("secret")
	if f, ok := strings.CutPrefix(secret, "@"); ok {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		secret = strings.TrimSpace(string(b))
	}
	var protocol atomic.Value
	protocol.Store("")
	engine := &remoting.Engine{Log: log, NoReconnect: c.Bool("noReconnect"), Permanent: transport.IsPermanent}
	agent := &hudson.Agent{
		Log: log, Version: remotingVersion, WorkDir: c.String("workDir"), Environ: os.Environ(),
		Protocol: func() string { return protocol.Load().(string) }, NoReconnect: engine.Leave, Logs: logs,
	}
	ws := &transport.WebSocket{URL: c.String("url"), Name: c.String("name"), Secret: secret, PingInterval: c.Duration("pingInterval"),
		Proxy: transport.ProxyFromEnvironment(""), Version: remotingVersion, Cookies: &transport.Cookies{}, Log: log}
	engine.Dial = func(ctx context.Context) (remoting.Connection, error) {
		conn, err := ws.Dial(ctx)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	engine.Channel = remoting.Config{Handler: hudson.NewTable(agent), Log: log}
	engine.Online = func(_ *remoting.Channel, conn remoting.Connection) { protocol.Store(conn.Protocol()) }
	return engine.Run(c.Context)
}
