package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/footman-ci/footman/remoting/wire"
)

// What --idle can measure:
//
//	WebSocket   The connection of the agent, without pings of ours. Jenkins pings
//	            after 15 s and then every 30 s, and is answered: that is the
//	            traffic which the official agent has, too. So idle timeouts below
//	            30 s are found, and limits on a connection's age.
//	TCP         A connection to the port for agents on which nothing is sent, by
//	            nobody, and no keep-alive probes: any idle timeout is found. It
//	            needs neither secret nor name.
//
// In the end something is sent that must be answered, so that a flow which was
// forgotten without a word counts as cut, too.

// held is how holding a connection went.
type held struct {
	after    time.Duration // from the start to the end
	silence  time.Duration // without anything from the other side before that
	survived time.Duration // the longest silence before that one that was borne
	pings    int           // that came
	cut      string        // by what, "" when it is alive
}

// cutBy names what ended a connection.
func cutBy(err error) string {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return strings.TrimSpace(fmt.Sprintf("a close frame (%d %s)", closed.Code, oneLine(closed.Text)))
	case errorIs(err, syscall.ECONNRESET, syscall.EPIPE):
		return "RST"
	case errors.As(err, &closed), errorIs(err, io.EOF, io.ErrUnexpectedEOF):
		return "FIN"
	case timedOut(err), errors.Is(err, syscall.ETIMEDOUT):
		return cutSilently
	}
	return err.Error()
}

const cutSilently = "silence: what is sent gets no answer"

// idleWebSocket holds a connection of the agent. Jenkins asks things on it at
// once, and gets no answer, so the node does not come online for this.
func (d *doctor) idleWebSocket(ctx context.Context, w *way) {
	ws, err := d.ownWebSocket(ctx, w)
	if err != nil {
		d.warn("idle", "try again in a minute; does the agent itself run?", "there is no connection to hold: %v", err)
		return
	}
	h := d.holdWebSocket(ctx, ws)
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	ws.Close()
	if ctx.Err() != nil {
		d.warn("idle", "let it run to its end", "stopped after %s", h.after.Round(time.Second))
		return
	}
	d.judgeWebSocket(h, w.front)
}

// ownWebSocket connects as the agent does, with the cookie of the connection
// before, so that Jenkins lets go of that one.
func (d *doctor) ownWebSocket(ctx context.Context, w *way) (*websocket.Conn, error) {
	header := http.Header{"Node-Name": {d.o.name}, "Secret-Key": {d.o.secret}, "Connection-Cookie": {d.cookie},
		wire.CapabilityHeader: {wire.CapDefault.Base64()}}
	for name, values := range d.o.headers {
		header[http.CanonicalHeaderKey(name)] = values
	}
	ws, a, err := w.webSocketAt(ctx, "wsagents/", header)
	if err == nil && ws == nil {
		err = errors.New(strings.TrimSpace(statusText(a) + " " + a.said()))
	}
	return ws, err
}

// lifeSigns is what the reader of a connection has seen.
type lifeSigns struct {
	begin   time.Time
	last    atomic.Int64 // since begin, of the last sign of life
	longest atomic.Int64 // silence that ended with a sign of life
	pings   atomic.Int64
}

func (t *lifeSigns) heard() {
	now := int64(time.Since(t.begin))
	gap := now - t.last.Swap(now)
	for {
		old := t.longest.Load()
		if gap <= old || t.longest.CompareAndSwap(old, gap) {
			return
		}
	}
}

func (t *lifeSigns) held() held {
	after := time.Since(t.begin)
	return held{after: after, silence: after - time.Duration(t.last.Load()), survived: time.Duration(t.longest.Load()), pings: int(t.pings.Load())}
}

func (d *doctor) holdWebSocket(ctx context.Context, ws *websocket.Conn) held {
	t := &lifeSigns{begin: time.Now()}
	pong := make(chan struct{}, 1)
	ws.SetPingHandler(func(data string) error {
		t.heard()
		t.pings.Add(1)
		_ = ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(d.times.answer)) // the reader sees what is broken
		return nil
	})
	ws.SetPongHandler(func(string) error {
		select {
		case pong <- struct{}{}:
		default:
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() {
		for {
			_, r, err := ws.NextReader()
			if err == nil {
				t.heard()
				_, err = io.Copy(io.Discard, r)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	stop := func(by string) held {
		h := t.held()
		h.cut = by
		return h
	}
	tick := time.NewTicker(d.times.progress)
	defer tick.Stop()
	end := time.NewTimer(d.idle)
	defer end.Stop()
	var answer <-chan time.Time
	var whole held
	for {
		select {
		case err := <-ended:
			return stop(cutBy(err))
		case <-ctx.Done():
			return stop("")
		case <-tick.C:
			if h := t.held(); answer == nil {
				d.report("idle: %s of %s, alive; Jenkins pinged %d times, the last sign of life %s ago", h.after.Round(time.Second), d.idle, h.pings, h.silence.Round(time.Second))
			}
		case <-end.C:
			whole = t.held()
			if err := ws.WriteControl(websocket.PingMessage, []byte("doctor"), time.Now().Add(d.times.answer)); err != nil {
				return stop(cutBy(err))
			}
			answer = time.After(d.times.answer)
		case <-pong:
			if answer != nil {
				return whole
			}
		case <-answer:
			return stop(cutSilently)
		}
	}
}

// withinPings is the slack of "about as long as".
const withinPings = 2 * time.Second

func (d *doctor) judgeWebSocket(h held, front string) {
	f := frontNamed(front)
	ping := d.o.pingInterval
	silence, survived := h.silence.Round(time.Second), h.survived.Round(time.Second)
	switch {
	case h.cut == "" && h.pings == 0 && d.idle > 2*time.Minute:
		d.warn("idle", "keep -pingInterval on; is jenkins.websocket.pingInterval 0 on the controller, or does "+f.name+" answer pings itself?", "the WebSocket was held for %s, but not one ping of Jenkins came", d.idle)
	case h.cut == "":
		d.ok("idle", "the WebSocket was held for %s without pings of ours; Jenkins pinged %d times, the longest silence was %s", d.idle, h.pings, max(silence, survived))
	case h.silence <= h.survived+withinPings && h.pings > 0:
		// A silence that long was borne before: it is not what cut this one.
		d.fail("idle", "raise the limit of "+f.name+": "+f.idle, "after %s the WebSocket was cut by %s, though only %s had been silent: its age is limited", h.after.Round(time.Second), h.cut, silence)
	case ping > 0 && ping < h.silence-withinPings:
		d.warn("idle", fmt.Sprintf("the agent's pings every %s prevent that; better raise the limit of %s: %s", ping, f.name, f.idle), "after %s the WebSocket was cut by %s, %s after the last sign of life", h.after.Round(time.Second), h.cut, silence)
	default:
		half := max(h.silence/2, time.Second).Round(time.Second)
		d.fail("idle", fmt.Sprintf("give -pingInterval %s, or raise the limit of %s: %s", half, f.name, f.idle), "after %s the WebSocket was cut by %s, %s after the last sign of life", h.after.Round(time.Second), h.cut, silence)
	}
}

// idlePort holds a connection to the TCP port.
func (d *doctor) idlePort(ctx context.Context, w *way) {
	conn, err := w.dial(ctx)
	if err != nil {
		d.warn("idle", "see the lines above", "there is no connection to hold: %s", plainNetError(err))
		return
	}
	defer conn.Close()
	h := d.holdPort(ctx, conn)
	if ctx.Err() != nil {
		d.warn("idle", "let it run to its end", "stopped after %s", h.after.Round(time.Second))
		return
	}
	d.judgePort(h, w)
}

func (d *doctor) holdPort(ctx context.Context, conn net.Conn) held {
	begin := time.Now()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	one := make([]byte, 1)
	for {
		left := d.idle - time.Since(begin)
		if left <= 0 {
			break
		}
		_ = conn.SetReadDeadline(time.Now().Add(min(left, d.times.progress)))
		_, err := conn.Read(one)
		after := time.Since(begin)
		switch {
		case ctx.Err() != nil:
			return held{after: after, silence: after}
		case err == nil:
			return held{after: after, silence: after, cut: "an answer to nothing: that is not the port for agents"}
		case !timedOut(err):
			return held{after: after, silence: after, cut: cutBy(err)}
		case after < d.idle:
			d.report("idle: %s of %s, alive", after.Round(time.Second), d.idle)
		}
	}
	// The listener answers a request by HTTP with a page of text
	// (hudson.TcpSlaveAgentListener.ConnectionHandler).
	h := held{after: time.Since(begin), silence: time.Since(begin)}
	_ = conn.SetDeadline(time.Now().Add(d.times.answer))
	_, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	if err == nil {
		_, err = conn.Read(one)
	}
	if err != nil && ctx.Err() == nil {
		h.cut = cutBy(err)
	}
	return h
}

// keepAlive is the time between the agent's TCP keep-alive probes
// (transport.tcpKeepAlive).
const keepAlive = 15 * time.Second

func (d *doctor) judgePort(h held, w *way) {
	after := h.after.Round(time.Second)
	raise := "raise the idle timeout on the way to " + w.addr + " (AWS NLB: tcp.idle_timeout.seconds, 350 s unless set; NAT gateway: 350 s; firewalls)"
	switch {
	case h.cut == "":
		d.ok("idle", "a silent connection to %s was held for %s", w.addr, d.idle)
	case d.o.noKeepAlive:
		d.fail("idle", "leave out -noKeepAlive; or "+raise, "after %s of silence the connection to %s was cut by %s", after, w.addr, h.cut)
	case h.after > keepAlive+withinPings:
		d.warn("idle", fmt.Sprintf("the agent's TCP keep-alive every %s prevents that where it is counted as traffic; better %s", keepAlive, raise), "after %s of silence the connection to %s was cut by %s", after, w.addr, h.cut)
	default:
		d.fail("idle", raise, "after %s of silence the connection to %s was cut by %s", after, w.addr, h.cut)
	}
}
