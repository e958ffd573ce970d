package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// goOnline is what SlaveComputer.setChannel and the computer listeners do with
// a new channel, in the order of recording 01-connect-init.
func (n *Node) goOnline(c *conn) {
	if err := n.initialize(c); err != nil {
		n.c.log.Warn("the agent did not come online", "node", n.name, "err", err)
		c.end(err)
		return
	}
	if n.c.opts.MonitorDelay < 0 {
		return
	}
	t := time.NewTimer(n.c.opts.MonitorDelay)
	defer t.Stop()
	select {
	case <-t.C:
		_ = n.runMonitors(c.ctx, c)
	case <-c.ctx.Done():
	}
}

func (n *Node) initialize(c *conn) error {
	ctx, o := c.ctx, n.c.opts
	var info Info
	var err error
	ask := func(name string, fill func(*jser.Object)) jser.Value {
		if err != nil {
			return nil
		}
		var v jser.Value
		v, err = c.call(ctx, name, fill)
		return v
	}
	text := func(v jser.Value) string { s, _ := v.(string); return s }

	info.Version = text(ask("SlaveVersion", nil))
	info.Protocol = text(ask("CommunicationProtocol", nil))
	info.Unix, _ = jser.Unbox(ask("DetectOS", nil)).(bool)
	info.Charset = text(ask("DetectDefaultCharset", nil))
	ask("SlaveInitializer", nil)
	ask("SetUpRemotePing", func(p *jser.Object) {
		set(p, "pingIntervalSeconds", int32(o.RemotePing/time.Second))
		set(p, "pingTimeoutSeconds", int32(o.RemotePingTimeout/time.Second))
	})
	if err != nil {
		return err
	}
	var ping sync.WaitGroup
	ping.Go(func() { _, _ = c.call(ctx, "Ping", nil) }) // the controller's own PingThread starts now
	defer ping.Wait()
	ask("ChannelSwapper", nil)
	ask("CopySystemProperties", nil)
	ask("Exists", func(p *jser.Object) { setPath(p, n.RemoteFS()+"/workspace/workspaces.txt") })
	if err != nil {
		return err
	}
	ping.Wait()
	stats := c.counters.snapshot()
	n.change(func() {
		if n.conn != c {
			return
		}
		n.online = true
		n.info.Version, n.info.Protocol, n.info.Charset, n.info.Unix = info.Version, info.Protocol, info.Charset, info.Unix
		n.info.Online, n.info.UntilOnline = time.Now(), stats
	})
	n.c.log.Info("online", "node", n.name, "version", info.Version, "protocol", info.Protocol)
	_, err = c.call(ctx, "FindEffectiveRestarters", nil)
	return err
}

// RunMonitors asks what the node monitors ask; see Info.
func (n *Node) RunMonitors(ctx context.Context) error {
	c, err := n.channel(ctx)
	if err != nil {
		return err
	}
	return n.runMonitors(ctx, c)
}

func (n *Node) runMonitors(ctx context.Context, c *conn) error {
	now := time.Now().UnixMilli()
	root := n.RemoteFS()
	monitors := []struct {
		name string
		fill func(*jser.Object)
	}{
		{"GetArchTask", nil},
		{"GetClockDifference2", func(o *jser.Object) { set(o, "startTime", now) }},
		{"GetUsableSpace", func(o *jser.Object) { setPath(o, root) }},
		{"SwapSpace", nil},
		{"GetTempSpace", func(o *jser.Object) { setPath(o, root) }},
		{"ResponseTime", func(o *jser.Object) { set(o, "start", now) }},
	}
	var wg sync.WaitGroup
	errs := make([]error, len(monitors))
	for i, m := range monitors {
		wg.Go(func() {
			v, err := c.call(ctx, m.name, m.fill)
			if err != nil {
				errs[i] = err
				return
			}
			text, ok := v.(string)
			if o, isObject := v.(*jser.Object); isObject && !ok {
				text = o.Class.Name
				for _, f := range []string{"size", "availablePhysicalMemory", "remoteTime"} {
					if _, has := o.Field(f); has {
						text = fmt.Sprint(o.Long(f))
					}
				}
			}
			n.mu.Lock()
			n.info.Monitors[m.name] = text
			n.mu.Unlock()
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
