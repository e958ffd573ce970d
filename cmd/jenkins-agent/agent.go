package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/awsauth"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/remoting/wire"
)

// remotingVersion is the version of Remoting that we stand for: controllers
// refuse agents that report less than their minimum.
const remotingVersion = "3352.v17a_fb_4b_2773f"

// runAgent connects to a controller, or serves one on stdin and stdout.
func runAgent(c *cli.Context) error {
	switch {
	case c.Bool("help"):
		return cli.ShowAppHelp(c)
	case c.Bool("version"):
		_, err := fmt.Fprintln(c.App.Writer, remotingVersion)
		return err
	}
	o, err := readOptions(c)
	if err != nil {
		return err
	}
	if c.IsSet("jnlpUrl") {
		args, err := jnlpArguments(c.Context, c, c.App.Metadata[argsKey].([]string), slog.New(o.logHandler(c.App.ErrWriter)))
		if err != nil {
			return err
		}
		return runApp(c.Context, newApp(c.App.Writer, c.App.ErrWriter), args)
	}
	dir, err := o.openWorkDir()
	if err != nil {
		return err
	}
	if o.inbound() && supervised() {
		if code := supervise(os.Args, slog.New(o.logHandler(c.App.ErrWriter))); code != exitOK {
			return &codeError{code: code}
		}
		return nil
	}
	logFile, err := o.openLog(dir)
	if err != nil {
		return err
	}
	defer logFile.Close()
	logs := hudson.NewLogBuffer(o.logHandler(io.MultiWriter(c.App.ErrWriter, logFile)), 256)
	a := &agent{o: o, log: slog.New(logs), logs: logs, supervised: os.Getenv(supervisedEnv) != ""}
	a.systemd = newSystemd(a.log)
	if dir != "" {
		a.log.Info("Using " + dir + " as a remoting work directory")
	}
	if c.Bool("awsauth") {
		aws, err := awsauthOptions(c, nil)
		if err != nil {
			return usagef("%v", err)
		}
		a.aws = &aws
	}
	if o.inbound() {
		return a.connect(c.Context)
	}
	return a.serveStdio(c.Context)
}

// settled is when a node that came online has been through what the controller
// asks at once, and through its monitors after 5 s.
var settled = []time.Duration{500 * time.Millisecond, 8 * time.Second}

// agent is one run of the program as an agent.
type agent struct {
	o        options
	log      *slog.Logger
	logs     *hudson.LogBuffer
	protocol atomic.Pointer[string]
	http     *http.Client // with the proxy and the CAs of the options
	builds   *hudson.Agent
	aws      *awsauth.Options // nil without -awsauth
	calls    *callable.Table
	watch    *watch                 // nil without -http
	systemd  *systemd               // nil unless it wants to hear
	notices  chan notice            // of the machine's end; made by stopOnSignal
	place    atomic.Pointer[string] // the task of ECS, nil elsewhere

	supervised bool                     // by our PID 1: everything ends with the container
	channel    func() *remoting.Channel // of the current connection, or nil
}

// table is what the agent executes; leave is called when the controller wants
// it not to come back.
func (a *agent) table(leave func()) *callable.Table {
	a.builds = &hudson.Agent{
		Log: a.log, Version: remotingVersion, WorkDir: a.o.workDir, Logs: a.logs,
		Environ: buildEnvironment(os.Environ()), NoReconnect: leave, Containers: a.containers(), HTTP: a.http,
		NativeGit: a.nativeGit,
		Protocol: func() string {
			if p := a.protocol.Load(); p != nil {
				return *p
			}
			return ""
		},
	}
	a.calls = hudson.NewTable(a.builds)
	a.watch = a.newWatch()
	return a.calls
}

// connect runs an inbound agent until it is told to stop.
func (a *agent) connect(ctx context.Context) error {
	defer a.systemd.keep(a.alive)()
	if err := a.o.fetchSecret(ctx, a.log); err != nil {
		return err
	}
	dial, err := a.dialer()
	if err != nil {
		return err
	}
	companion, err := a.companion(a.http)
	if err != nil {
		return err
	}
	defer companion.Close()
	engine := &remoting.Engine{
		Dial: dial, Log: a.log, NoReconnect: a.o.noReconnect, NoReconnectAfter: a.o.noReconnectAfter,
		Permanent: transport.IsPermanent, PermanentGrace: a.o.giveUpAfter,
		Online: func(ch *remoting.Channel, conn remoting.Connection) {
			p := conn.Protocol()
			a.protocol.Store(&p)
			companion.Attach(ch)
			a.prefetch(companion, ch)
			a.watch.connected(ch, p)
			a.systemd.online(p)
			for _, d := range settled {
				time.AfterFunc(d, forgetStartup)
			}
		},
	}
	engine.Offline = func(error) {
		a.watch.disconnected()
		a.systemd.offline()
	}
	if a.o.giveUpAfter <= 0 {
		engine.PermanentGrace = -1
	}
	engine.Channel = remoting.Config{Handler: withCompanion(a.table(engine.Leave), companion), Relay: companion, Log: a.log}
	a.channel = engine.Current
	ctx, stop := a.stopOnSignal(ctx)
	defer stop()
	if err := a.observe(ctx); err != nil {
		return err
	}
	defer a.startAWS(ctx)()
	a.log.Info("Setting up agent: " + a.o.name)
	a.log.Info("Using Remoting version: " + remotingVersion)
	err = engine.Run(ctx)
	if errors.Is(err, errSignalled) {
		a.awaitKilled()
		return nil
	}
	if err != nil && transport.IsPermanent(err) {
		return &codeError{exitRefused, err}
	}
	return err
}

// alive returns when the locks that everything needs could be had; it is called
// only after the agent was online.
func (a *agent) alive() {
	if ch := a.channel(); ch != nil {
		_ = ch.Requests()
	}
	_ = a.builds.Running()
}

// dialer makes the transport that the options ask for.
func (a *agent) dialer() (func(context.Context) (remoting.Connection, error), error) {
	o := a.o
	tlsConfig, err := transport.TLSOptions{Certificates: o.certs, NoCertificateCheck: o.noCertCheck}.Config()
	if err != nil {
		return nil, err
	}
	a.http = httpClient(tlsConfig)
	proxy := transport.ProxyFromEnvironment(o.proxyCredentials)
	cookies := cookieStore()
	if o.webSocket {
		ws := &transport.WebSocket{URL: o.urls[0], Name: o.name, Secret: o.secret, Headers: o.headers, Proxy: proxy, TLS: tlsConfig,
			PingInterval: o.pingInterval, Version: remotingVersion, Cookies: cookies, OwnCookie: true, Log: a.log,
			OnPong: func(rtt time.Duration) { a.watch.pong(rtt) }}
		return func(ctx context.Context) (remoting.Connection, error) { return connection(ws.Dial(ctx)) }, nil
	}
	tcp := &transport.TCP{URLs: o.urls, Name: o.name, Secret: o.secret, Tunnel: o.tunnel, Direct: o.direct,
		InstanceIdentity: o.instanceIdentity, Protocols: o.protocols, Credentials: o.credentials, Proxy: proxy, TLS: tlsConfig,
		NoKeepAlive: o.noKeepAlive, Version: remotingVersion, Cookies: cookies, Log: a.log}
	return func(ctx context.Context) (remoting.Connection, error) { return connection(tcp.Dial(ctx)) }, nil
}

// connection keeps a nil *Conn from becoming a Connection that is not nil.
func connection(c *transport.Conn, err error) (remoting.Connection, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// serveStdio serves the controller that started us, on stdin and stdout.
func (a *agent) serveStdio(ctx context.Context) error {
	in, out, err := takeStdio()
	if err != nil {
		return err
	}
	mode := transport.ModeBinary
	if a.o.text {
		mode = transport.ModeText
	}
	s := &transport.Stdio{In: in, Out: out, Mode: mode, Noise: os.Stderr,
		NextObject: func(r io.Reader) ([]byte, error) { return jser.NextObject(r, remoting.DecodeOptions()) }}
	a.http = httpClient(nil)
	companion, err := a.companion(a.http)
	if err != nil {
		return err
	}
	defer companion.Close()
	handler := withCompanion(a.table(func() {}), companion)
	var current atomic.Pointer[remoting.Channel]
	a.channel = current.Load
	ctx, stop := a.stopOnSignal(ctx)
	defer stop()
	if err := a.watchSpot(ctx); err != nil { // the plugin ec2 starts agents by SSH
		return err
	}
	conn, err := s.Dial(ctx)
	if errors.Is(err, errSignalled) {
		return nil
	}
	if err != nil {
		return err
	}
	protocol := "Standard in/out"
	a.protocol.Store(&protocol)
	peer := conn.RemoteCapability()
	ch := remoting.NewChannel(conn, remoting.Config{Handler: handler, Relay: companion, Log: a.log,
		UserResponses: !peer.Has(wire.CapProxyExceptionFallback), NoThrottling: !peer.Has(wire.CapPipeThrottling)})
	current.Store(ch)
	companion.Attach(ch)
	a.prefetch(companion, ch)
	defer context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.Background(), byeTime)
		defer cancel()
		_ = ch.Close(bye)
	})()
	if err := ch.Serve(context.Background()); err != nil {
		a.log.Info("Terminated", "reason", err)
	}
	if ctx.Err() != nil {
		a.awaitKilled()
	}
	return nil // the official agent ends with 0 whatever ended the stream
}

// takeStdio moves stdin and stdout out of the way: nothing that anybody prints
// may ever get into the stream of commands, and children get neither.
func takeStdio() (in, out *os.File, err error) {
	if in, err = dup(0, "stdin"); err != nil {
		return nil, nil, err
	}
	if out, err = dup(1, "stdout"); err != nil {
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := syscall.Dup3(int(null.Fd()), 0, 0); err != nil {
		return nil, nil, err
	}
	return in, out, syscall.Dup3(2, 1, 0)
}

func dup(fd int, name string) (*os.File, error) {
	n, err := syscall.Dup(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	syscall.CloseOnExec(n)
	return os.NewFile(uintptr(n), name), nil
}
