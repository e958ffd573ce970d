package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errGenerated says that the input is our own output.
var errGenerated = errors.New("this is the config that awsauth generates, not its input: give the ConfigMap's file with --config")

// configPath finds the config file; must tells whether it has to exist.
func (k *Keeper) configPath() (name string, must bool) {
	if k.o.ConfigFile != "" {
		return k.o.ConfigFile, true
	}
	if f := k.o.Env("AWS_CONFIG_FILE"); f != "" {
		return f, false
	}
	for _, d := range k.o.Dirs {
		if b, err := readLimited(filepath.Join(d.Path, userConfig), maxConfigBytes); err == nil && len(strings.TrimSpace(string(b))) > 0 && !strings.HasPrefix(string(b), generatedMark) {
			return filepath.Join(d.Path, userConfig), false
		}
	}
	return filepath.Join(homeOf(k.o.Env), ".aws", "config"), false
}

// load reads the config files and replaces the plan if they changed. On an
// error the old plan stays in force.
func (k *Keeper) load() error {
	name, must := k.configPath()
	config, err := readLimited(name, maxConfigBytes)
	if err != nil && (must || !errors.Is(err, os.ErrNotExist)) {
		return fmt.Errorf("awsauth: config: %w", err)
	}
	credName := k.o.CredentialsFile
	if credName == "" {
		credName = k.o.Env("AWS_SHARED_CREDENTIALS_FILE")
	}
	if credName == "" {
		credName = filepath.Join(homeOf(k.o.Env), ".aws", "credentials")
	}
	creds, err := readLimited(credName, maxConfigBytes)
	if err != nil {
		creds = nil
		if k.o.CredentialsFile != "" {
			return fmt.Errorf("awsauth: credentials: %w", err)
		}
	}
	input := CacheArgs{RoleARN: string(config), ExternalID: string(creds)}.Key()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plan != nil && k.input == input {
		return nil
	}
	c := ParseConfig(config, creds)
	if c.Generated {
		return fmt.Errorf("awsauth: %s: %w", name, errGenerated)
	}
	again := k.plan != nil
	k.plan, k.input = NewPlan(c, k.o.Env, PlanOptions{Profiles: k.o.Profiles, AllowEnvironment: k.o.AllowEnvironment}), input
	k.log.Info("profiles planned", "config", name, "profiles", len(k.plan.Targets), "again", again)
	for _, p := range k.plan.Problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		k.log.Log(context.Background(), level, "config problem", "config", name, "problem", p.String())
	}
	// Nodes live on by identity: a profile that did not change keeps its grant.
	keep := map[string]bool{}
	start := time.Now().Add(rand.N(k.t.Start + 1))
	for _, t := range k.plan.Targets {
		if t.Leaf == nil {
			continue
		}
		var src *node
		for _, l := range t.Leaf.Chain() {
			keep[l.id] = true
			n := k.nodes[l.id]
			if n == nil {
				n = &node{due: start}
				k.nodes[l.id] = n
			}
			n.link, n.source = l, src
			src = n
		}
	}
	for id := range k.nodes {
		if !keep[id] {
			delete(k.nodes, id)
		}
	}
	return nil
}
