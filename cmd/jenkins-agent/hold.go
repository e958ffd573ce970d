package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/exec/container"
	"github.com/footman-ci/footman/exec/hold"
)

// holdCommand keeps a tool's container and runs steps in it.
func holdCommand() *cli.Command {
	return &cli.Command{
		Name:  "hold",
		Usage: "keep the container of a tool, in place of cat, and run steps in it",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "name of this container (FOOTMAN_CONTAINER_NAME, JENKINS_CONTAINER_NAME)"},
			&cli.StringFlag{Name: "dir", Usage: "the volume that the containers share, as this one sees it (FOOTMAN_WORK, the parent of JENKINS_CONTAINER_WORK, the current directory)"},
			&cli.DurationFlag{Name: "grace", Value: 10 * time.Second, Usage: "time between TERM and KILL when the container is stopped"},
			&cli.DurationFlag{Name: "drainTimeout", Usage: "how long to wait, when the container is stopped, for the agent of the pod, which lets builds finish (default: what the agent says)"},
			&cli.DurationFlag{Name: "poll", Value: time.Second, Usage: "how often files are looked at, beside the system's events"},
			&cli.BoolFlag{Name: "no-events", Usage: "do without inotify"},
			&cli.BoolFlag{Name: "check", Usage: "ask whether the hold of this container answers, for a livenessProbe"},
			&cli.BoolFlag{Name: "verbose", Usage: "log every command"},
		},
		Action: runHold,
	}
}

func runHold(c *cli.Context) error {
	cwd, _ := os.Getwd() // "" is said by FindPlace
	place, err := hold.FindPlace(os.Getenv, cwd)
	if d := c.String("dir"); d != "" {
		place, err = hold.Place{Root: d}, nil
	}
	if err != nil {
		return &usageError{err.Error()}
	}
	if place.Root, err = filepath.Abs(place.Root); err != nil {
		return err
	}
	name := c.String("name")
	if name == "" {
		name = hold.FindName(os.Getenv)
	}
	if c.Bool("check") {
		return checkHold(c, place, name)
	}
	level := slog.LevelInfo
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	h := &hold.Hold{
		Name: name, Place: place, Init: true, Grace: c.Duration("grace"), Drain: c.Duration("drainTimeout"), Poll: c.Duration("poll"), NoEvents: c.Bool("no-events"),
		Log:           slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level})),
		ContainerWork: os.Getenv("JENKINS_CONTAINER_WORK"),
	}
	if h.ContainerWork == "" {
		h.ContainerWork = filepath.Join(place.Root, "container-work")
	}
	h.Shell, h.ShellNames = embeddedShell()
	h.ShareUmask()
	err = h.Run(context.Background())
	var stopped *hold.ErrStopped
	if errors.As(err, &stopped) {
		// A step's heartbeat, a sleep of 3 s, is always left for a while: that it is
		// ended must not look like an error of the pod.
		if stopped.Killed == 0 {
			return nil
		}
		return &codeError{code: exitKilled}
	}
	return err
}

func checkHold(c *cli.Context, place hold.Place, name string) error {
	ctx, cancel := context.WithTimeout(c.Context, 5*time.Second)
	defer cancel()
	if err := hold.Check(ctx, place, name); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.App.Writer, "container %q answers in %s\n", name, place.Root)
	return err
}

// containers routes launches to the other containers of the pod; nil where there
// is no work directory to share with them.
func (a *agent) containers() *container.Router {
	if a.o.workDir == "" {
		return nil
	}
	if hold.ShareUmask(a.o.workDir) {
		a.log.Info("the work directory is shared with a group: files get a umask of 002", "dir", a.o.workDir)
	}
	r, err := container.New(a.o.workDir, buildEnvironment(os.Environ()), a.log)
	if err != nil {
		a.log.Warn("steps can't run in other containers of a pod", "err", err)
		return nil
	}
	r.Stay(a.o.drainTimeout)
	return r
}
