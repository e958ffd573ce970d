// Command images runs built images in containers, without an engine, and says
// what it saw. images/check.sh calls it.
//
//	buildah mount ─▶ root ─┐
//	image's config ────────┴▶ config.json ─▶ crun ─▶ jenkins-agent (PID 1)
//	                                                     │ loopback
//	              embedded controller ◀── WebSocket ─────┘
//	                   └ sh, writeFile, stash, …
//
// Every check fails the program when the image does not do what it should.
// Times are printed with a ratio and never judged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// checker is one run of the program.
type checker struct {
	out      io.Writer
	registry string // prefix of the images' names
	jar      string // the official agent, "" if there is none
	classes  string // class path that the official agent needs of its controller
	work     string // directory for bundles and volumes, gone at the end
	crun     []string
	cgroups  bool // memory limits work here
	serial   int
	left     int // checks that were not run
}

// notRun is why a check was left out: it is printed and is no failure.
type notRun struct{ reason string }

func (e *notRun) Error() string { return "NOT RUN: " + e.reason }

func main() {
	c := &checker{out: os.Stdout}
	flag.StringVar(&c.registry, "registry", "localhost/footman", "`prefix` of the images' names")
	flag.StringVar(&c.jar, "jar", os.Getenv("AGENT_JAR"), "the official `agent.jar` to compare with (AGENT_JAR)")
	flag.StringVar(&c.classes, "classes", os.Getenv("AGENT_CLASSES"), "class `path` of Jenkins for the official agent (AGENT_CLASSES)")
	must := flag.Bool("must", false, "what can't be run here fails")
	probe := flag.Bool("probe", false, "end at once")
	flag.Parse()
	if *probe {
		return
	}
	images := flag.Args()
	if len(images) == 0 {
		images = []string{"static", "agent"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := c.run(ctx, images)
	if err == nil && *must && c.left > 0 {
		err = fmt.Errorf("%d checks were not run", c.left)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func (c *checker) run(ctx context.Context, images []string) (err error) {
	if c.work, err = os.MkdirTemp("", "footman-images-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.work)
	if err := os.Chmod(c.work, 0o755); err != nil { // any uid goes through it
		return err
	}
	if err := c.probe(ctx); err != nil {
		c.left++
		fmt.Fprintf(c.out, "NOT RUN: all checks of %s: %v\n", strings.Join(images, ", "), err)
		return nil
	}
	var failed []string
	for _, name := range images {
		im, err := openImage(ctx, c.registry+"/"+name)
		if err != nil {
			return err
		}
		for _, k := range checksOf(name) {
			start := time.Now()
			note, err := k.run(c, ctx, im)
			var left *notRun
			switch {
			case errors.As(err, &left):
				c.left++
				fmt.Fprintf(c.out, "%-12s %-11s %v\n", name, k.name, left)
			case err != nil:
				fmt.Fprintf(c.out, "%-12s %-11s FAILED after %s: %v\n", name, k.name, since(start), err)
				failed = append(failed, name+" "+k.name)
			default:
				fmt.Fprintf(c.out, "%-12s %-11s ok: %s (%s)\n", name, k.name, note, since(start))
			}
		}
		im.close()
	}
	if failed != nil {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// probe finds out how crun works here: with control groups, without, or not. What
// it runs is this program, so that a broken image is not taken for a machine that
// can't run containers.
func (c *checker) probe(ctx context.Context) error {
	if _, err := exec.LookPath("crun"); err != nil {
		return errors.New("there is no crun")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	root := filepath.Join(c.work, "probe")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "probe"), program, 0o755); err != nil {
		return err
	}
	var first error
	for _, manager := range []string{"cgroupfs", "disabled"} {
		c.crun = []string{"crun", "--cgroup-manager=" + manager}
		var log strings.Builder
		k, err := c.start(ctx, &image{root: root}, spec{args: []string{"/probe", "-probe"}, log: &log})
		if err == nil {
			err = k.wait()
		}
		if err == nil {
			c.cgroups = manager == "cgroupfs"
			return nil
		}
		if first == nil {
			first = fmt.Errorf("crun: %w: %s", err, strings.TrimSpace(log.String()))
		}
	}
	return first
}

func since(t time.Time) string { return time.Since(t).Round(time.Millisecond).String() }
