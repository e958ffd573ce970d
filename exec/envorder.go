package exec

import (
	"maps"
	"slices"
	"strings"
)

// orderWork bounds the steps spent on ordering references. A launch has some
// dozens of them; a hostile one may have millions, in cycles, and each cut cycle
// starts the sort anew. Beyond the bound, variables are taken in map order.
const orderWork = 200_000

// maxCycles bounds the cycles that are reported.
const maxCycles = 16

// referenceSet is the set of names that one value refers to, in sorted order
// (Java: TreeSet with the map's comparator, so without case, first case kept).
type referenceSet struct{ *EnvVars }

// overrideOrder gives the keys of all in the order in which they have to
// override target, after hudson.EnvVars$OverrideOrderCalculator and
// hudson.util.CyclicGraphDetector. Some of its bookkeeping compares with case
// and some without, which shows when names differ in case; that is kept.
func overrideOrder(target, all *EnvVars) (order, cycles []string) {
	refs := map[string]referenceSet{} // folded key → names
	var nodes, extending []string
	for k, v := range all.All() {
		if strings.IndexByte(k, '+') > 0 {
			extending = append(extending, k)
			continue
		}
		set := referenceSet{NewEnvVars()}
		Expand(v, func(name string) (string, bool) {
			set.Put(name, "")
			return "", true
		})
		set.Remove(k)
		refs[foldKey(k)] = set
		nodes = append(nodes, k)
	}

	s := sorter{refs: refs, work: orderWork}
	for {
		cycle := s.run(nodes)
		if s.work <= 0 {
			return append(nodes, extending...), append(cycles, "too many references, order given up")
		}
		if cycle == nil {
			break
		}
		from, to := cutCycle(target, refs, cycle)
		if len(cycles) < maxCycles {
			cycles = append(cycles, strings.Join(cycle, " -> ")+", cut "+from+" -> "+to)
		}
	}

	// A name that others refer to in another case occurs here in that case; its
	// last mention counts.
	seen := map[string]bool{}
	for _, k := range slices.Backward(s.sorted) {
		if _, ok := all.Get(k); ok && !seen[k] {
			seen[k] = true
			order = append(order, k)
		}
	}
	slices.Reverse(order)
	return append(order, extending...), cycles
}

// cutCycle removes one reference of the cycle, given as referrer → referred, the
// first name repeated at the end.
func cutCycle(target *EnvVars, refs map[string]referenceSet, cycle []string) (from, to string) {
	to = cycle[0]
	for _, name := range cycle {
		if _, ok := target.Get(name); ok {
			to = name
			break
		}
	}
	last := len(cycle) - 1
	for last > 0 && cycle[last] != to {
		last--
	}
	from = cycle[max(last-1, 0)]
	refs[foldKey(from)].Remove(to)
	return from, to
}

// sorter is a depth first topological sort that stops at the first cycle.
type sorter struct {
	refs     map[string]referenceSet
	work     int
	visited  map[string]bool // exact names, as Java's HashSet
	visiting map[string]int  // name → its place in path
	path     []string
	sorted   []string
}

// run sorts from scratch and returns the first cycle found, or nil.
func (s *sorter) run(nodes []string) []string {
	s.visited, s.visiting = map[string]bool{}, map[string]int{}
	s.path, s.sorted = nil, nil
	for _, n := range nodes {
		if cycle := s.visit(n); cycle != nil {
			return cycle
		}
	}
	return nil
}

func (s *sorter) visit(n string) []string {
	if s.visited[n] {
		return nil
	}
	s.visited[n] = true
	s.visiting[n] = len(s.path)
	s.path = append(s.path, n)
	if set, ok := s.refs[foldKey(n)]; ok {
		for name := range set.All() {
			if s.work--; s.work <= 0 {
				return nil
			}
			if at, ok := s.visiting[name]; ok {
				return append(slices.Clone(s.path[at:]), name)
			}
			if cycle := s.visit(name); cycle != nil {
				return cycle
			}
		}
	}
	delete(s.visiting, n)
	s.path = s.path[:len(s.path)-1]
	s.sorted = append(s.sorted, n)
	return nil
}

// javaGetenvOrder splits environ and orders it as iterating System.getenv()
// does: java.lang.ProcessEnvironment puts the entries back to front into a
// HashMap of initial capacity count+3, keyed by the name's bytes.
func javaGetenvOrder(environ []string) []envVar {
	vars := make([]envVar, 0, len(environ))
	at := map[string]int{}
	for _, s := range slices.Backward(environ) {
		if s == "" {
			continue
		}
		i := strings.IndexByte(s[1:], '=') + 1 // a leading '=' belongs to the name
		if i == 0 {
			continue
		}
		v := envVar{s[:i], s[i+1:]}
		if j, ok := at[v.key]; ok {
			vars[j].value = v.value
			continue
		}
		at[v.key] = len(vars)
		vars = append(vars, v)
	}
	buckets := uint32(1)
	for int(buckets) < len(vars)+3 {
		buckets *= 2
	}
	for len(vars)*4 > int(buckets)*3 {
		buckets *= 2
	}
	byBucket := make(map[uint32][]envVar, len(vars))
	for _, v := range vars {
		var h int32
		for _, c := range []byte(v.key) {
			h = 31*h + int32(int8(c))
		}
		b := (uint32(h) ^ uint32(h)>>16) & (buckets - 1)
		byBucket[b] = append(byBucket[b], v)
	}
	out := vars[:0:0]
	for _, b := range slices.Sorted(maps.Keys(byBucket)) {
		out = append(out, byBucket[b]...)
	}
	return out
}
