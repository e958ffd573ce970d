package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/footman-ci/footman/remoting/wire"
)

const (
	// maxMessage bounds one WebSocket message in bytes; controllers send 8194 at
	// most, a header may name 32767.
	maxMessage = 1 << 20
	// closeGrace is what a polite close may cost, twice: to send our close frame,
	// and to see the other one.
	closeGrace = 250 * time.Millisecond
	// wakeGrace is the time to answer after the machine was asleep.
	wakeGrace = 10 * time.Second
)

type wsSettings struct {
	ping, silence, write time.Duration // 0 = off, for ping and silence
	maxCommand           int
	log                  *slog.Logger
	onPong               func(time.Duration) // nil for none
}

// wsConn carries commands over a WebSocket.
//
//	reader (caller)   NextReader → wire.Reader; every sign of life moves the deadline
//	writer (caller)   one binary message a frame
//	keeper            sends pings and the pongs that the reader asks for
type wsConn struct {
	ws  *websocket.Conn
	raw net.Conn // below TLS: closing it cannot block
	set wsSettings

	reader  *wire.Reader
	message io.Reader   // rest of the message being read; reader only
	reading atomic.Bool // a ReadCommand is under way
	readEnd chan struct{}
	readErr error // set before readEnd closes; reader only

	frame []byte // writer only

	// broken is why the keeper gave up; its closing of the socket must not look
	// like our own Close.
	broken atomic.Pointer[error]

	pong   chan string           // payload of the newest ping to be answered
	asked  atomic.Pointer[asked] // our newest ping
	done   chan struct{}
	once   sync.Once
	keeper sync.WaitGroup
}

func newWSConn(ws *websocket.Conn, raw net.Conn, set wsSettings) *wsConn {
	c := &wsConn{
		ws: ws, raw: raw, set: set,
		readEnd: make(chan struct{}), pong: make(chan string, 1), done: make(chan struct{}),
	}
	c.reader = wire.NewReader(byteStream{c}, set.maxCommand)
	ws.SetReadLimit(maxMessage)
	ws.SetPongHandler(func(data string) error { c.alive(); c.answered(data); return nil })
	ws.SetPingHandler(func(data string) error { c.alive(); c.askPong(data); return nil })
	c.alive()
	c.keeper.Go(c.keep)
	return c
}

// ReadCommand returns the next command. Every error but
// *wire.CommandTooLargeError is final.
func (c *wsConn) ReadCommand() ([]byte, error) {
	if c.readErr != nil {
		return nil, c.readErr
	}
	c.reading.Store(true)
	defer c.reading.Store(false)
	cmd, err := c.reader.ReadCommand()
	if err == nil {
		return cmd, nil
	}
	var tooLarge *wire.CommandTooLargeError
	if errors.As(err, &tooLarge) {
		return nil, err
	}
	c.readErr = c.explainRead(err)
	close(c.readEnd)
	return nil, c.readErr
}

// byteStream is the concatenation of all binary messages.
type byteStream struct{ c *wsConn }

func (s byteStream) Read(p []byte) (int, error) {
	c := s.c
	for {
		if c.message == nil {
			kind, r, err := c.ws.NextReader()
			if err != nil {
				return 0, orderlyEnd(err)
			}
			c.alive()
			if kind != websocket.BinaryMessage {
				return 0, errors.New("a text message where only binary ones belong")
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// orderlyEnd: close codes 1000 and 1001, or none at all, are io.EOF.
func orderlyEnd(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
		return io.EOF
	}
	if websocket.IsCloseError(err, websocket.CloseAbnormalClosure) {
		return io.ErrUnexpectedEOF // gorilla's word for a plain FIN
	}
	return err
}

func (c *wsConn) explainRead(err error) error {
	switch {
	case c.isClosed():
		return fmt.Errorf("transport: read: %w", net.ErrClosed)
	case err == io.EOF:
		return io.EOF
	case c.broken.Load() != nil:
		return fmt.Errorf("transport: the connection cannot be written any more: %v", *c.broken.Load())
	case isTimeout(err):
		return fmt.Errorf("transport: no sign of life from the controller for %v: %w", c.set.silence, os.ErrDeadlineExceeded)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("transport: the connection ended without a close frame: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("transport: read: %w", err)
}

// WriteCommand sends one command, a message a frame, each within the write
// timeout.
func (c *wsConn) WriteCommand(cmd []byte) error {
	for first := true; first || len(cmd) > 0; first = false {
		n := min(len(cmd), wire.FramePayload)
		c.frame = wire.MakeHeader(n, n < len(cmd)).Append(c.frame[:0])
		c.frame = append(c.frame, cmd[:n]...)
		cmd = cmd[n:]
		_ = c.ws.SetWriteDeadline(time.Now().Add(c.set.write))
		if err := c.ws.WriteMessage(websocket.BinaryMessage, c.frame); err != nil {
			if c.isClosed() || errors.Is(err, websocket.ErrCloseSent) {
				err = net.ErrClosed
			}
			return fmt.Errorf("transport: write: %w", err)
		}
	}
	return nil
}

// alive moves the read deadline after a sign of life.
func (c *wsConn) alive() {
	if c.set.silence > 0 {
		_ = c.ws.SetReadDeadline(time.Now().Add(c.set.silence))
	}
}

// askPong leaves the answer to the keeper: a reader that waited for the write
// side could not see the peer's data any more. Only the newest ping counts
// (RFC 6455, 5.5.3).
func (c *wsConn) askPong(data string) {
	for {
		select {
		case c.pong <- data:
			return
		default:
		}
		select {
		case <-c.pong:
		default:
		}
	}
}

// keep sends pings and pongs until the connection ends.
func (c *wsConn) keep() {
	var tick <-chan time.Time
	if c.set.ping > 0 {
		t := time.NewTicker(c.set.ping)
		defer t.Stop()
		tick = t.C
	}
	last := time.Now()
	for {
		var err error
		select {
		case <-c.done:
			return
		case <-c.readEnd:
			return
		case data := <-c.pong:
			err = c.control(websocket.PongMessage, data)
		case <-tick:
			now := time.Now()
			c.afterSleep(last, now)
			last = now
			err = c.control(websocket.PingMessage, c.ask(now))
		}
		if err != nil {
			c.broken.Store(&err)
			c.raw.Close() // ends the reader, who tells the Engine
			return
		}
	}
}

// asked is a ping that waits for its pong.
type asked struct {
	data string
	at   time.Time
}

// ask makes the payload of the next ping. It is a number, so that a late pong
// for an earlier one is not taken for a quick one.
func (c *wsConn) ask(now time.Time) string {
	n := 0
	if last := c.asked.Load(); last != nil {
		n, _ = strconv.Atoi(last.data)
	}
	next := &asked{strconv.Itoa(n + 1), now}
	c.asked.Store(next)
	return next.data
}

// answered is for pongs; only the newest ping counts, and only once.
func (c *wsConn) answered(data string) {
	p := c.asked.Load()
	if p == nil || p.data != data || p.at.IsZero() || !c.asked.CompareAndSwap(p, &asked{data: data}) {
		return
	}
	if c.set.onPong != nil {
		c.set.onPong(time.Since(p.at))
	}
}

// afterSleep looks for a suspended machine. The peer has most likely given us
// up; it gets wakeGrace to answer the ping that follows.
func (c *wsConn) afterSleep(last, now time.Time) {
	if asleep := sleptFor(last, now); suspicious(asleep, c.set.ping, c.set.silence) {
		c.set.log.Info("the machine was asleep or its clock was set, checking the connection", "for", asleep.Round(time.Second).String())
		_ = c.ws.SetReadDeadline(time.Now().Add(wakeGrace))
	}
}

// sleptFor: while a machine sleeps the wall clock goes on, the monotonic one
// does not.
func sleptFor(last, now time.Time) time.Duration {
	return now.Round(0).Sub(last.Round(0)) - now.Sub(last)
}

func suspicious(asleep, ping, silence time.Duration) bool {
	return asleep > 2*ping && silence > wakeGrace
}

func (c *wsConn) control(kind int, data string) error {
	err := c.ws.WriteControl(kind, []byte(data), time.Now().Add(c.set.write))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// Close says goodbye, gives the other end a moment to answer, and closes the
// socket. A reader and a writer return; a stuck peer costs half a second.
func (c *wsConn) Close() error {
	c.once.Do(func() {
		select {
		case <-c.readEnd:
		default:
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			err := c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(closeGrace))
			if err == nil && c.reading.Load() {
				// Closing with unread data in the socket would send a reset, and the
				// peer might lose our last command to it.
				select {
				case <-c.readEnd:
				case <-time.After(closeGrace):
				}
			}
		}
		close(c.done)
		c.raw.Close()
		c.ws.Close()
	})
	c.keeper.Wait()
	return nil
}

func (c *wsConn) isClosed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
