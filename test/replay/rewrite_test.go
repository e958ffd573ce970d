package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// names maps strings of the recording to strings of this run and back. Both
// sides of a pair are equally long where that is possible, so that lengths and
// columns of recorded outputs stay.
type names struct {
	mu      sync.Mutex
	pairs   [][2]string // recorded, ours; longest first
	cookies string      // salt of this run
	git     string      // what stands in for the program git, "" for nothing

	recorded, started time.Time
}

func (n *names) add(recorded, ours string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		if p[0] == recorded {
			return
		}
	}
	n.pairs = append(n.pairs, [2]string{recorded, ours})
	sort.SliceStable(n.pairs, func(i, j int) bool { return len(n.pairs[i][0]) > len(n.pairs[j][0]) })
}

// Cookies find processes by their environment (KillTask), on the whole
// machine: each run has its own.
var cookie = regexp.MustCompile(`\b(durable-[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b`)

func (n *names) learnCookies(s string) {
	for _, c := range cookie.FindAllString(s, -1) {
		sum := sha256.Sum256([]byte(n.cookies + c))
		h := hex.EncodeToString(sum[:])
		if strings.HasPrefix(c, "durable-") {
			n.add(c, "durable-"+h)
		} else {
			n.add(c, h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:32])
		}
	}
}

// sshAgent finds what ssh-agent prints: later steps carry both in their
// environment, and "ssh-agent -k" ends the process of that id.
var sshAgent = regexp.MustCompile(`SSH_AUTH_SOCK=[^; ]+|SSH_AGENT_PID=\d+`)

// learnAgents pairs the ssh-agents that two outputs of the same command name.
func (n *names) learnAgents(recorded, ours []byte) {
	r, o := sshAgent.FindAllString(string(recorded), -1), sshAgent.FindAllString(string(ours), -1)
	for i := range r {
		if i < len(o) {
			n.add(r[i], o[i])
		}
	}
}

// ours rewrites a recorded string for this run.
func (n *names) ours(s string) string {
	n.learnCookies(s)
	return n.replace(s, 0, 1)
}

// theirs rewrites a string of this run as the recording would have it.
func (n *names) theirs(s string) string {
	if n.git != "" {
		s = strings.ReplaceAll(s, n.git, "git")
	}
	return n.replace(s, 1, 0)
}

func (n *names) replace(s string, from, to int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pairs {
		if strings.Contains(s, p[from]) {
			s = strings.ReplaceAll(s, p[from], p[to])
		}
	}
	return s
}

// rewrite changes all strings below v, in place.
func (n *names) rewrite(v jser.Value) {
	do := func(vs []jser.Value) {
		for i, e := range vs {
			if s, ok := e.(string); ok {
				if r := n.ours(s); r != s {
					vs[i] = r
				}
			}
		}
	}
	seen := map[*jser.Array]bool{}
	array := func(f jser.Value) {
		if a, ok := f.(*jser.Array); ok && !seen[a] {
			seen[a] = true
			if vs, ok := a.Elems.([]jser.Value); ok {
				do(vs)
			}
		}
	}
	walk(v, func(o *jser.Object) {
		for i := range o.Data {
			do(o.Data[i].Values)
			do(o.Data[i].Extra)
			for _, f := range o.Data[i].Values {
				array(f)
			}
			for _, f := range o.Data[i].Extra {
				array(f)
			}
		}
	})
}

// now reports whether a number is a time in milliseconds at which the session
// was recorded or is being replayed. Such times are equal to each other.
func (n *names) now(v int64) bool {
	t := time.UnixMilli(v)
	near := func(at time.Time) bool { d := t.Sub(at); return d > -2*time.Minute && d < 10*time.Minute }
	return near(n.recorded) || near(n.started)
}

// Times and process ids in texts; each is a plain word in both outputs.
var textPatterns = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d+Z?`), "TIME"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{6} common\.go`), "TIME common.go"}, // 21
	{regexp.MustCompile(`\b\d+notpid\b`), "PIDnotpid"},                         // 03: "$$notpid"
	{regexp.MustCompile(`(\+ kill -9) \d+`), "$1 PID"},                         // 22: "kill -9 $$"
	// What a shell prints when it reaps its command before its own SIGTERM
	// arrives: a matter of milliseconds.
	{regexp.MustCompile(`(?m)^Terminated\n`), ""},
	{regexp.MustCompile(`(?m)^([-dl][-rwxsStT]{9}\.? +\d+) \S+ \S+ `), "$1 USER GROUP "}, // ls -l: the recorded agent was root
	{regexp.MustCompile(`(Agent pid|SSH_AGENT_PID=) ?\d+`), "$1 PID"},                    // 12
}

// interleaved reports whether two texts are the same but for how the lines that
// several shells print with -x at the same moment are mixed: shells write such
// a line in pieces. Everything else must be in order.
func interleaved(a, b string) bool {
	if len(a) != len(b) || !strings.Contains(a, "+ ") {
		return false
	}
	sorted := func(s string) string {
		x := []byte(s)
		slices.Sort(x)
		return string(x)
	}
	// A piece of such a line that stands alone is the end of one.
	piece := func(l string) bool {
		for _, w := range strings.Split(a, "\n") {
			if strings.HasPrefix(w, "+ ") && strings.HasSuffix(w, l) {
				return true
			}
		}
		return false
	}
	others := func(s string) (out []string) {
		for _, l := range strings.Split(s, "\n") {
			if l != "" && !strings.HasPrefix(l, "+") && !piece(l) {
				out = append(out, l)
			}
		}
		return out
	}
	return sorted(a) == sorted(b) && slices.Equal(others(a), others(b))
}

// text takes times and process ids out of a text, and the order out of
// neighbouring lines that shells print with -x: those of parallel processes
// come as they like. The sizes of directories, which a script sorted by, go the
// same way: they are the file system's.
func text(s string) string {
	for _, p := range textPatterns {
		s = p.re.ReplaceAllString(s, p.to)
	}
	if strings.Contains(s, "\n+ ") {
		s = sortRuns(s, func(l string) bool { return strings.HasPrefix(l, "+ ") })
	}
	if directorySize.MatchString(s) {
		s = sortRuns(directorySize.ReplaceAllString(s, "$1 SIZE "), func(l string) bool { return strings.Contains(l, " d SIZE ") })
	}
	return s
}

// directorySize is what find -printf "%M %y %s …" prints of a directory.
var directorySize = regexp.MustCompile(`(?m)^(d[-rwxstST]{9} d) \d+ `)

// sortRuns sorts neighbouring lines of a kind.
func sortRuns(s string, kind func(line string) bool) string {
	ls := strings.SplitAfter(s, "\n")
	for i := 0; i < len(ls); i++ {
		j := i
		for j < len(ls) && kind(ls[j]) {
			j++
		}
		if j > i {
			sort.Strings(ls[i:j])
			i = j
		}
	}
	return strings.Join(ls, "")
}
