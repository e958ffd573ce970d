package git

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// commit is what a walk through history needs. JGit keeps times as 32 bits.
type commit struct {
	time    int32
	parents []ID
}

// commits reads the named commits, and with walk all that they reach.
func (c *Client) commits(ctx context.Context, ids []ID, walk bool) (map[ID]commit, error) {
	args := []string{"rev-list", "--stdin", "--timestamp", "--parents"}
	if !walk {
		args = append(args, "--no-walk=unsorted")
	}
	var in strings.Builder
	for _, id := range ids {
		in.WriteString(id.String() + "\n")
	}
	out, err := c.quietly(ctx, strings.NewReader(in.String()), args...)
	if err != nil {
		return nil, err
	}
	all := map[ID]commit{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			return nil, errors.New("git: rev-list printed something else")
		}
		seconds, err := strconv.ParseInt(words[0], 10, 64)
		var found []ID
		for _, w := range words[1:] {
			id, ok := parseID(w)
			if !ok || err != nil {
				return nil, errors.New("git: rev-list printed something else")
			}
			found = append(found, id)
		}
		all[found[0]] = commit{int32(seconds), found[1:]}
	}
	for _, id := range ids {
		if _, ok := all[id]; !ok {
			return nil, failf("Missing commit %s", id)
		}
	}
	return all, nil
}

// ByTime orders commits by their time, old ones first, and returns their indexes
// (DefaultBuildChooser, CommitTimeComparator).
func (c *Client) ByTime(ctx context.Context, ids []ID) ([]int, error) {
	all, err := c.commits(ctx, ids, false)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[ids[a]].time, all[ids[b]].time) })
	return order, nil
}

// Tips finds the commits that no other one reaches, as GitUtils.filterTipBranches
// does, and returns their indexes. It walks back from each in turn, newest first,
// up to a commit where it has been before; one that was taken for a tip until
// then is none.
func (c *Client) Tips(ctx context.Context, ids []ID) ([]int, error) {
	all, err := c.commits(ctx, ids, true)
	if err != nil {
		return nil, err
	}
	visited, tips := map[ID]bool{}, &hashMap{at: map[ID]int{}, size: 16}
	for i, id := range ids {
		if visited[id] {
			continue
		}
		tips.put(id, i)
		seen := map[ID]bool{id: true}
		for queue := []ID{id}; len(queue) > 0; {
			at := queue[0]
			queue = queue[1:]
			for _, p := range all[at].parents {
				if !seen[p] {
					seen[p] = true
					queue = enqueue(queue, p, all)
				}
			}
			if visited[at] {
				tips.remove(at)
				break
			}
			visited[at] = true
		}
	}
	return tips.values(), nil
}

// enqueue is add of JGit's DateRevPriorityQueue: the newest comes first, and of
// equal ones the first.
func enqueue(queue []ID, id ID, all map[ID]commit) []ID {
	i := len(queue)
	for i > 0 && all[queue[i-1]].time < all[id].time {
		i--
	}
	return slices.Insert(queue, i, id)
}

// hashMap has the order of a java.util.HashMap<RevCommit, …>.
type hashMap struct {
	keys []ID // in the order of insertion
	at   map[ID]int
	size int // of the table
}

func (m *hashMap) put(id ID, value int) {
	if _, ok := m.at[id]; !ok {
		m.keys = append(m.keys, id)
	}
	if m.at[id] = value; len(m.keys) > m.size*3/4 {
		m.size *= 2
	}
}

func (m *hashMap) remove(id ID) {
	delete(m.at, id)
	m.keys = slices.DeleteFunc(m.keys, func(k ID) bool { return k == id })
}

func (m *hashMap) values() []int {
	bucket := func(id ID) uint32 {
		h := binary.BigEndian.Uint32(id[4:]) // AnyObjectId.hashCode
		return (h ^ h>>16) & uint32(m.size-1)
	}
	slices.SortStableFunc(m.keys, func(a, b ID) int { return cmp.Compare(bucket(a), bucket(b)) })
	values := make([]int, len(m.keys))
	for i, k := range m.keys {
		values[i] = m.at[k]
	}
	return values
}
