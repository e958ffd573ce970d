package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// A balancer forwards connections and ends them in its own way.
type balancer struct {
	idle time.Duration // without traffic, 0 for ever
	age  time.Duration // whatever the traffic, 0 for ever
	end  string        // FIN, RST, or silence: it forgets the connection
}

// before starts a balancer in front of to and returns its address.
func (b balancer) before(t *testing.T, to string) string {
	return accepting(t, func(c net.Conn) {
		up, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer up.Close()
		var mu sync.Mutex
		gone := false
		var idle *time.Timer
		cut := func() {
			mu.Lock()
			defer mu.Unlock()
			gone = true
			switch b.end {
			case "RST":
				_ = c.(*net.TCPConn).SetLinger(0)
				c.Close()
			case "FIN":
				_ = c.(*net.TCPConn).CloseWrite()
			}
		}
		if b.idle > 0 {
			idle = time.AfterFunc(b.idle, cut)
			defer idle.Stop()
		}
		if b.age > 0 {
			defer time.AfterFunc(b.age, cut).Stop()
		}
		forward := func(to, from net.Conn) {
			buf := make([]byte, 16<<10)
			for {
				n, err := from.Read(buf)
				mu.Lock()
				if idle != nil && n > 0 && !gone {
					idle.Reset(b.idle)
				}
				if !gone && n > 0 {
					_, _ = to.Write(buf[:n])
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}
		var both sync.WaitGroup
		both.Go(func() { forward(c, up) })
		forward(up, c)
		up.Close()
		both.Wait()
	})
}

// pinging is a server of WebSockets that pings as Jenkins does, only sooner.
func pinging(t *testing.T, every time.Duration) string {
	return strings.TrimPrefix(strings.TrimSuffix(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil && every > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(every):
					_ = ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
				}
			}
		}()
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	})), "/"), "http://")
}

func TestDoctorHoldsAWebSocket(t *testing.T) {
	for name, c := range map[string]struct {
		b     balancer
		pings time.Duration
		idle  time.Duration
		cut   string
	}{
		"survives":            {balancer{}, 30 * time.Millisecond, 300 * time.Millisecond, ""},
		"survives in silence": {balancer{}, 0, 200 * time.Millisecond, ""},
		"FIN":                 {balancer{idle: 150 * time.Millisecond, end: "FIN"}, 0, 20 * time.Second, "FIN"},
		"RST":                 {balancer{idle: 150 * time.Millisecond, end: "RST"}, 0, 20 * time.Second, "RST"},
		"silence":             {balancer{idle: 100 * time.Millisecond, end: "silence"}, 0, 300 * time.Millisecond, cutSilently},
		"age":                 {balancer{age: 300 * time.Millisecond, end: "FIN"}, 30 * time.Millisecond, 20 * time.Second, "FIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said output.Buffer
			d := &doctor{times: hurried, idle: c.idle, progress: &said}
			w := d.wayTo("http://" + c.b.before(t, pinging(t, c.pings)))
			ws, a, err := w.webSocketAt(within(t, 20*time.Second), "wsagents/", nil)
			require.NoError(t, err, a)
			defer ws.Close()
			h := d.holdWebSocket(within(t, 25*time.Second), ws)
			require.Equal(t, c.cut, h.cut, "%+v", h)
			require.Greater(t, h.after, 80*time.Millisecond)
			require.Equal(t, c.pings > 0, h.pings > 0)
			require.Contains(t, said.String(), "alive; Jenkins pinged")
		})
	}
}

func TestDoctorJudgesAWebSocket(t *testing.T) {
	s := time.Second
	for name, c := range map[string]struct {
		h    held
		o    options
		idle time.Duration
		wants
	}{
		"good":           {held{after: 400 * s, silence: 10 * s, survived: 30 * s, pings: 13}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelOK, "pinged 13 times, the longest silence was 30s", ""}},
		"no pings":       {held{after: 400 * s, silence: 400 * s}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelWarn, "not one ping", "-pingInterval"}},
		"short, no ping": {held{after: 20 * s, silence: 20 * s}, options{pingInterval: 20 * s}, 20 * s, wants{"idle", levelOK, "20s", ""}},
		"60 s, no ping":  {held{after: 60 * s, silence: 60 * s, cut: "FIN"}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelWarn, "after 1m0s the WebSocket was cut by FIN, 1m0s after", "pings every 20s prevent that"}},
		"25 s":           {held{after: 40 * s, silence: 25 * s, survived: 15 * s, pings: 1, cut: "RST"}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelWarn, "25s after the last", "idle_timeout.timeout_seconds"}},
		"10 s":           {held{after: 10 * s, silence: 10 * s, cut: "FIN"}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelFail, "10s after", "-pingInterval 5s"}},
		"pings off":      {held{after: 60 * s, silence: 60 * s, cut: "FIN"}, options{pingInterval: -1}, 400 * s, wants{"idle", levelFail, "1m0s after", "-pingInterval 30s"}},
		"age":            {held{after: 60 * s, silence: 15 * s, survived: 30 * s, pings: 2, cut: "FIN"}, options{pingInterval: 20 * s}, 400 * s, wants{"idle", levelFail, "its age is limited", "raise the limit"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: c.o, idle: c.idle}
			c.verify(t, visit(t, d, func(context.Context) { d.judgeWebSocket(c.h, "AWS ALB") }))
		})
	}
}

func TestCutBy(t *testing.T) {
	for want, err := range map[string]error{
		"FIN":                            &websocket.CloseError{Code: websocket.CloseAbnormalClosure, Text: io.ErrUnexpectedEOF.Error()},
		"a close frame (1001 Idle Time)": &websocket.CloseError{Code: 1001, Text: "Idle\nTime"},
		"RST":                            &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		cutSilently:                      &net.OpError{Op: "read", Err: syscall.ETIMEDOUT},
		"odd":                            errors.New("odd"),
	} {
		require.Equal(t, want, cutBy(err))
	}
}

// listener answers an HTTP request as TcpSlaveAgentListener does.
func listener(t *testing.T) string {
	return accepting(t, func(c net.Conn) {
		if n, _ := c.Read(make([]byte, 100)); n > 0 {
			_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nJenkins-Version: 2.541.2\r\n")
		}
	})
}

func TestDoctorHoldsATCPConnection(t *testing.T) {
	for name, c := range map[string]struct {
		b    balancer
		idle time.Duration
		cut  string
	}{
		"survives": {balancer{}, 200 * time.Millisecond, ""},
		"FIN":      {balancer{idle: 100 * time.Millisecond, end: "FIN"}, 20 * time.Second, "FIN"},
		"RST":      {balancer{idle: 100 * time.Millisecond, end: "RST"}, 20 * time.Second, "RST"},
		"silence":  {balancer{idle: 100 * time.Millisecond, end: "silence"}, 300 * time.Millisecond, cutSilently},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said output.Buffer
			d := &doctor{times: hurried, idle: c.idle, progress: &said}
			w := &way{addr: c.b.before(t, listener(t)), times: hurried}
			conn, err := w.dial(within(t, 20*time.Second))
			require.NoError(t, err)
			defer conn.Close()
			h := d.holdPort(within(t, 25*time.Second), conn)
			require.Equal(t, c.cut, h.cut)
			require.Greater(t, h.after, 80*time.Millisecond)
			require.Contains(t, said.String(), "alive")
		})
	}
	for name, c := range map[string]struct {
		h held
		o options
		wants
	}{
		"good":          {held{after: 400 * time.Second}, options{}, wants{"idle", levelOK, "held for 6m40s", ""}},
		"NLB":           {held{after: 350 * time.Second, cut: "RST"}, options{}, wants{"idle", levelWarn, "after 5m50s of silence", "keep-alive every 15s"}},
		"no keep-alive": {held{after: 350 * time.Second, cut: "RST"}, options{noKeepAlive: true}, wants{"idle", levelFail, "RST", "leave out -noKeepAlive"}},
		"short":         {held{after: 10 * time.Second, cut: "FIN"}, options{}, wants{"idle", levelFail, "10s", "tcp.idle_timeout.seconds"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: c.o, idle: 400 * time.Second}
			c.verify(t, visit(t, d, func(context.Context) { d.judgePort(c.h, &way{addr: "j:50000"}) }))
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A doctor that is told to stop does so at once, and says so.
func TestDoctorStopsWaiting(t *testing.T) {
	var stop context.CancelFunc
	d := &doctor{times: hurried, idle: time.Hour, o: options{name: "n", secret: "s"}, cookie: "ab"}
	d.progress = writerFunc(func(p []byte) (int, error) { stop(); return len(p), nil }) // it waits
	w := &way{addr: listener(t), times: hurried}
	for _, look := range []func(context.Context){
		func(ctx context.Context) { d.idlePort(ctx, w) },
		func(ctx context.Context) { d.idleWebSocket(ctx, d.wayTo("http://"+pinging(t, 10*time.Millisecond))) },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		stop = cancel
		look(ctx)
		cancel()
		wants{"idle", levelWarn, "stopped after", "to its end"}.verify(t, d.findings)
		d.findings = nil
	}
}

func TestDoctorOnThePort(t *testing.T) {
	c := controller.New(controller.Options{TCP: true})
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Close() })
	n := c.Node("n1", t.TempDir())
	whole := options{urls: []string{c.URL()}, name: "n1", secret: n.Secret(), companion: "off"}

	d := &doctor{complete: true, wantConnect: true, idle: 200 * time.Millisecond, o: whole}
	all := visit(t, d, d.network)
	wants{"port", levelOK, "identity SHA256:", ""}.verify(t, all)
	wants{"connect", levelOK, "JNLP4-connect as n1", ""}.verify(t, all)
	require.NotEmpty(t, worst(all, "idle").Level)

	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	stranger := base64.StdEncoding.EncodeToString(der)
	_, addr, ok := strings.Cut(strings.Fields(worst(all, "port").Text)[0], "")
	require.True(t, ok)
	for name, c := range map[string]struct {
		addr, identity string
		wants
	}{
		"another controller": {addr, stranger, wants{"port", levelFail, "not the expected controller", "-tunnel"}},
		"no identity":        {addr, "", wants{"port", levelFail, "publishes no identity", "instance-identity"}},
		"bad identity":       {addr, "!!", wants{"port", levelFail, "no RSA key", "X-Instance-Identity"}},
		"closed":             {freePort(t), stranger, wants{"port", levelFail, "refused", "-webSocket needs none"}},
		"no address":         {"jenkins", stranger, wants{"port", levelFail, "is not an address", "HOST:PORT"}},
		"web server": {accepting(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}), stranger, wants{"port", levelFail, "HTTP/1.1 400", "web server"}},
		"no such protocol": {accepting(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, "Unknown protocol:JNLP4-connect\n")
		}), stranger, wants{"port", levelFail, "Unknown protocol", "allow JNLP4-connect"}},
		"closes": {accepting(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) }), stranger, wants{"port", levelFail, "", "healthy target"}},
		"silent": {accepting(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), stranger, wants{"port", levelFail, "timeout", "without a target"}},
		"no TLS": {accepting(t, func(c net.Conn) { _, _ = io.WriteString(c, "\x00\x03ACKhello, world"); _, _ = io.Copy(io.Discard, c) }), stranger, wants{"port", levelFail, "no TLS", "port for agents"}},
	} {
		t.Run(name, func(t *testing.T) {
			times := hurried
			if name == "silent" {
				times.step = 200 * time.Millisecond
			}
			d := &doctor{complete: true, times: times, o: options{direct: c.addr, instanceIdentity: c.identity}}
			c.verify(t, visit(t, d, d.network))
		})
	}
	t.Run("tunnel", func(t *testing.T) {
		o := whole
		o.tunnel = freePort(t)
		d := &doctor{complete: true, o: o}
		wants{"port", levelFail, o.tunnel + " can't be reached", "-tunnel"}.verify(t, visit(t, d, d.network))
	})
	t.Run("already connected", func(t *testing.T) {
		d := &doctor{o: whole, idle: time.Second}
		d.o.webSocket = true
		all := visit(t, d, func(context.Context) { d.refused(alreadyConnected, "") })
		wants{"connect", levelWarn, "name and secret are right", "agent of this machine"}.verify(t, all)
		wants{"idle", levelWarn, "no connection to hold", "another node"}.verify(t, all)
	})
}
