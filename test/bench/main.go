// Command bench measures the agent, and beside it the official one.
//
//	go run ./test/bench -agent bin/jenkins-agent
//	AGENT_JAR=agent.jar AGENT_CLASSES='war/WEB-INF/lib/*.jar:…' go run ./test/bench
//
// Both run against the embedded controller (test/controller) on this machine,
// one after the other, by the same requests. The official agent loads classes
// from its controller: AGENT_CLASSES is a class path with Jenkins' jars and
// those of the plugins durable-task and workflow-api; see docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/test/controller"
)

// sizes say how much work is done.
type sizes struct {
	starts        int           // of which the median counts
	idle          time.Duration // before the memory of an idle agent is read
	calls         time.Duration // of each measurement of callables
	workers       int           // for parallel callables
	megabytes     int           // through each pipe
	stash         int           // megabytes of a file that is stashed
	lines         int           // of a log
	parallel      int           // steps at the same time
	fleet         int           // agents
	fleetOfficial int
}

func main() {
	agent := flag.String("agent", "bin/jenkins-agent", "`path` of our agent")
	jar := flag.String("jar", os.Getenv("AGENT_JAR"), "`path` of an official agent.jar (AGENT_JAR)")
	classes := flag.String("classes", os.Getenv("AGENT_CLASSES"), "class `path` for the official agent (AGENT_CLASSES)")
	java := flag.String("java", "java", "`path` of java")
	s := sizes{}
	flag.IntVar(&s.starts, "starts", 5, "how often an agent is started; the median counts")
	flag.DurationVar(&s.idle, "idle", 10*time.Second, "time online before the memory of an idle agent is read")
	flag.DurationVar(&s.calls, "calls", 3*time.Second, "time for each measurement of callables")
	flag.IntVar(&s.workers, "workers", 16, "callers at the same time for parallel callables")
	flag.IntVar(&s.megabytes, "mb", 256, "megabytes through each pipe")
	flag.IntVar(&s.stash, "stash-mb", 100, "megabytes of the file that is stashed and unstashed")
	flag.IntVar(&s.lines, "lines", 100_000, "lines of a log")
	flag.IntVar(&s.parallel, "parallel", 20, "big logs at the same time")
	flag.IntVar(&s.fleet, "fleet", 50, "agents of the fleet; 0 leaves it out")
	flag.IntVar(&s.fleetOfficial, "fleet-official", 20, "official agents of the fleet; 0 leaves it out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, *agent, *java, *jar, *classes); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, s sizes, agent, java, jar, classes string) error {
	if _, err := os.Stat(agent); err != nil {
		return fmt.Errorf("no agent at %s: build it with `make build` (%w)", agent, err)
	}
	fmt.Printf("%s\n%s\n", machine(), time.Now().UTC().Format(time.RFC3339))
	ours, err := measure(ctx, "ours", []string{agent}, nil, s, s.fleet)
	if err != nil {
		return err
	}
	var official results
	switch {
	case jar == "":
		fmt.Println("AGENT_JAR is not set: no comparison")
	case classes == "":
		fmt.Println("AGENT_CLASSES is not set: the official agent can't load Jenkins' classes, so no comparison (docs/benchmarks.md)")
	default:
		source, done, err := controller.Jars(classes)
		if err != nil {
			return err
		}
		defer done()
		// The options of the official images are left alone: a plain JVM.
		official, err = measure(ctx, "official", []string{java, "-jar", jar}, source, s, s.fleetOfficial)
		if err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "bench: official agent:", err)
		}
	}
	fmt.Println()
	printTable(ours, official)
	return nil
}

// machine is one line about where this ran.
func machine() string {
	field := func(file, key string) string {
		b, _ := os.ReadFile(file)
		for _, line := range strings.Split(string(b), "\n") {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return "?"
	}
	b, _ := os.ReadFile("/proc/cpuinfo")
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d × %s, %s of memory, load %s", strings.Count(string(b), "processor\t:"), field("/proc/cpuinfo", "model name"),
		field("/proc/meminfo", "MemTotal"), strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "))
}
