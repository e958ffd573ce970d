package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/footman-ci/footman/awsauth"
	"github.com/footman-ci/footman/remoting/transport"
)

// connect does what the agent would, up to the point where the controller
// begins to ask, and closes. front is who answers for Jenkins, "" for itself.
func (d *doctor) connect(ctx context.Context, front string) {
	if !d.secretFromAWS(ctx) {
		return
	}
	a := &agent{o: d.o, log: slog.New(slog.DiscardHandler)}
	dial, err := a.dialer()
	if err != nil {
		d.fail("connect", "look at the options that it names", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 6*d.times.step)
	defer cancel()
	begin := time.Now()
	conn, err := dial(ctx)
	if err != nil {
		d.refused(err, front)
		return
	}
	d.ok("connect", "%s as %s in %s: name and secret are right", conn.Protocol(), d.o.name, since(begin))
	if c, ok := conn.(*transport.Conn); ok {
		d.cookie = c.Cookie()
	}
	_ = conn.Close()
}

func (d *doctor) refused(err error, by string) {
	text := strings.TrimPrefix(err.Error(), "transport: ")
	var refused *transport.RefusedError
	if !errors.As(err, &refused) {
		d.fail("connect", "see the lines above; try again with the load balancer left out", "%s", text)
		return
	}
	if strings.Contains(strings.ToLower(refused.Reason), "already connected") {
		// Both kinds of connection look at name and secret first.
		d.warn("connect", "all is well if that is the agent of this machine; else another one uses the same name", "name and secret are right, but %s has a connection already", d.o.name)
		if d.idle > 0 && d.o.webSocket {
			d.warn("idle", "stop the agent, or give the name and secret of another node", "there is no connection to hold: that of %s is in use", d.o.name)
		}
		return
	}
	remedy := refused.Advice
	if strings.Contains(refused.Reason, saysNoUpgrade) {
		f := frontNamed(by)
		d.fail("connect", f.webSocket, "%s drops the header Upgrade: Jenkins gets a plain request", f.name)
		return
	}
	if remedy == "" {
		remedy = "compare with the page of the node in Jenkins, and look at the controller's log"
	}
	d.fail("connect", remedy, "%s", refused.Reason)
}

// secretFromAWS reads a secret that is kept in AWS, as the agent does.
func (d *doctor) secretFromAWS(ctx context.Context) bool {
	ref, ok, err := awsauth.ParseSecretRef(d.o.secret)
	if !ok {
		return true
	}
	if err == nil {
		d.o.secret, err = readSecret(ctx, ref)
	}
	if err != nil {
		d.fail("secret", "the role of this machine needs ssm:GetParameter or secretsmanager:GetSecretValue (and kms:Decrypt) for it, and a way to the service", "%v", err)
		return false
	}
	d.ok("secret", "read from %s", ref.String())
	d.secretFormat()
	return true
}
