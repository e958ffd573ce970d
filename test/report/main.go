// Command report reads `go test -json` on stdin and prints what matters:
//
//	ok    package  time                    as go test does
//	FAIL  package  and the whole output of the tests that failed
//	SKIP  package  test: the reason        go test is silent about these
//
// Its exit code is 1 when anything failed, or when nothing was tested.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of go test -json, see `go doc test2json` and, for builds,
// `go help buildjson`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// maxOutput bounds what is kept of one test, in bytes.
const maxOutput = 1 << 20

type report struct {
	out    io.Writer
	text   map[[2]string]*strings.Builder // by package and test
	skips  []string
	tested int
	failed []string
}

func main() {
	r := &report{out: os.Stdout, text: map[[2]string]*strings.Builder{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	os.Exit(r.end())
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil:
			r.take(e)
		case line != "":
			fmt.Fprint(r.out, line) // of the go command itself
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) take(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed = append(r.failed, e.ImportPath+" (build)")
	case "output":
		b := r.text[key]
		if b == nil {
			b = &strings.Builder{}
			r.text[key] = b
		}
		if b.Len() < maxOutput {
			b.WriteString(e.Output)
		}
	case "skip":
		if e.Test != "" {
			r.skips = append(r.skips, fmt.Sprintf("SKIP\t%s\t%s: %s", e.Package, e.Test, r.reason(key)))
		}
		r.forget(e)
	case "fail":
		if b := r.text[key]; b != nil {
			fmt.Fprint(r.out, b)
		}
		if e.Test != "" {
			r.failed = append(r.failed, e.Package+" "+e.Test)
		} else {
			r.tested++
			r.failed = append(r.failed, e.Package)
			fmt.Fprintf(r.out, "FAIL\t%s\t%.1fs\n", e.Package, e.Elapsed)
		}
		r.forget(e)
	case "pass":
		if e.Test == "" {
			r.tested++
			fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
		}
		r.forget(e)
	}
}

// reason is what a skipped test said, on one line.
func (r *report) reason(key [2]string) string {
	b := r.text[key]
	if b == nil {
		return "no reason given"
	}
	var said []string
	for _, l := range strings.Split(b.String(), "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "=== ") && !strings.HasPrefix(l, "--- ") {
			said = append(said, l)
		}
	}
	return strings.Join(said, " ")
}

// forget drops the output of what has ended; that of a test's package stays
// until the package ends.
func (r *report) forget(e event) {
	if e.Test != "" {
		delete(r.text, [2]string{e.Package, e.Test})
		return
	}
	for k := range r.text {
		if k[0] == e.Package {
			delete(r.text, k)
		}
	}
}

func (r *report) end() int {
	slices.Sort(r.skips)
	for _, s := range r.skips {
		fmt.Fprintln(r.out, s)
	}
	switch {
	case len(r.failed) > 0:
		fmt.Fprintf(r.out, "FAIL: %s\n", strings.Join(r.failed, ", "))
		return 1
	case r.tested == 0:
		fmt.Fprintln(r.out, "FAIL: nothing was tested")
		return 1
	}
	fmt.Fprintf(r.out, "%d packages passed, %d tests skipped\n", r.tested, len(r.skips))
	return 0
}
