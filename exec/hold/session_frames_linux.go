package hold

import (
	"context"
	"slices"
	"syscall"
	"time"
)

// read handles the caller's frames while the command runs.
func (s *session) read(run runner) error {
	for {
		t, b, err := readFrame(s.r, &s.buf)
		if err != nil {
			return err
		}
		switch t {
		case frameData, frameWindow, frameBroken:
			err = s.stream(t, b)
		case frameResize, frameSignal, frameEnd:
			err = s.control(t, b, run)
		default:
			err = protocolf("frame %s while a command runs", t)
		}
		if err != nil {
			s.h.Log.Warn("a caller broke the protocol", "err", err)
			return err
		}
	}
}

func (s *session) stream(t frameType, b []byte) error {
	id, b, err := parseStream(b)
	if err != nil {
		return err
	}
	switch {
	case t == frameData && id == streamIn:
		if s.stdin == nil {
			return nil // it asked for no input and sends some
		}
		return s.stdin.push(b)
	case t == frameWindow && id != streamIn:
		n, err := parseWindow(b)
		if err != nil {
			return err
		}
		return s.outs[id].grant(n)
	case t == frameBroken && id != streamIn:
		s.outs[id].fail(errBroken)
		return nil
	}
	return protocolf("frame %s of stream %d", t, id)
}

func (s *session) control(t frameType, b []byte, run runner) error {
	rs, err := parseRecords(b)
	if err != nil {
		return err
	}
	switch t {
	case frameResize:
		size, err := parseSize(rs)
		if err != nil {
			return err
		}
		return run.resize(size)
	case frameSignal:
		n, err := rs.number("signal", 1, 64)
		if err != nil {
			return err
		}
		s.signal(run, syscall.Signal(n), rs.get("group") == "1")
	case frameEnd:
		opts, err := graceOf(rs)
		if err != nil {
			return err
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), opts.Grace+30*time.Second)
			defer cancel()
			if _, err := run.Kill(ctx, opts); err != nil {
				s.h.Log.Warn("a command can't be ended", "err", err)
			}
		}()
	}
	return nil
}

// signal may come too late, which is no error.
func (s *session) signal(run runner, sig syscall.Signal, group bool) {
	if group && slices.ContainsFunc(s.h.running(), func(c *command) bool { return c.pid == run.Pid() }) {
		// All commands lead a session, so the group has the pid as its number. It
		// stays taken while any member lives; Signal below is exact.
		_ = syscall.Kill(-run.Pid(), sig)
		return
	}
	_ = run.Signal(sig)
}
