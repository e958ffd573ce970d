package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/awsauth"
)

// agentAWSFlags are -awsauth and what it takes: awsauth inside the agent.
func agentAWSFlags() []cli.Flag {
	const group = "AWS credentials"
	flags := []cli.Flag{&cli.BoolFlag{Name: "awsauth", Usage: "resolve the AWS profiles and keep them fresh while the agent runs", EnvVars: []string{"JENKINS_AGENT_AWSAUTH"}}}
	for _, f := range awsauthFlags() {
		if f.Names()[0] != "verbose" { // the agent has -debug
			flags = append(flags, f)
		}
	}
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.BoolFlag:
			f.Category = group
		case *cli.StringFlag:
			f.Category = group
		case *cli.StringSliceFlag:
			f.Category = group
		case *cli.DurationFlag:
			f.Category = group
		}
	}
	return flags
}

// startAWS begins to keep AWS credentials if the options ask for it, and waits
// for the first round, which is bounded. No failure of it stops the agent. The
// returned function ends it.
func (a *agent) startAWS(ctx context.Context) (end func()) {
	if a.aws == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	a.aws.Log = a.log
	k, done, err := awsauth.Start(ctx, *a.aws)
	if err != nil {
		a.log.Error("awsauth can't run; builds have no AWS credentials of it", "err", err)
		return cancel
	}
	if w := a.watch; w != nil {
		w.mu.Lock()
		w.extra = append(w.extra, k.WriteMetrics)
		w.mu.Unlock()
	}
	select {
	case <-k.Ready():
	case <-ctx.Done():
	}
	return func() {
		cancel()
		<-done
	}
}
