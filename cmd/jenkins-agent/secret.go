package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/footman-ci/footman/awsauth"
)

// A secret in AWS is read by the agent itself, so that user data of an instance
// needs no AWS CLI and no file ever holds it.
const (
	secretAttempt  = 30 * time.Second // for one attempt, credentials included
	secretMaxPause = 15 * time.Second
)

// fetchSecret replaces a -secret that names a place in AWS by what is kept
// there. A new instance's role and a new pod's token take a moment to work, so
// every refusal is tried again, for as long as a controller's would be.
func (o *options) fetchSecret(ctx context.Context, log *slog.Logger) error {
	ref, ok, err := awsauth.ParseSecretRef(o.secret)
	if !ok || err != nil {
		return err
	}
	start := time.Now()
	for pause := time.Second; ; pause = min(2*pause, secretMaxPause) {
		secret, err := readSecret(ctx, ref)
		if err == nil {
			log.Info("Secret read from " + ref.String())
			o.secret = secret
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case o.noReconnect || o.giveUpAfter > 0 && time.Since(start)+pause > o.giveUpAfter:
			return err
		}
		log.Warn("The secret can't be read; trying again", "in", pause, "err", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readSecret makes one attempt.
func readSecret(ctx context.Context, ref awsauth.SecretRef) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, secretAttempt)
	defer cancel()
	secret, err := awsauth.ReadSecret(ctx, os.Getenv, ref)
	if err == nil && strings.ContainsAny(secret, " \t\r\n") {
		err = errors.New(ref.String() + " is to hold the secret of the agent, one line of hex digits, and it does not")
	}
	return secret, err
}
