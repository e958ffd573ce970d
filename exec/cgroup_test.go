package exec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemoryFacts(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  MemoryFacts
		fails bool
	}{
		{
			name: "version 2, own namespace",
			files: map[string]string{
				"proc/self/cgroup":         "0::/\n",
				"proc/self/mountinfo":      "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
				"sys/fs/cgroup/memory.max": "268435456\n", "sys/fs/cgroup/memory.current": "1000\n",
				"sys/fs/cgroup/memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n",
			},
			want: MemoryFacts{2, 268435456, 1000, 2},
		},
		{
			name: "version 2, limit above",
			files: map[string]string{
				"proc/self/cgroup":             "0::/a/b\n",
				"proc/self/mountinfo":          "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
				"sys/fs/cgroup/a/memory.max":   "5000\n",
				"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "7\n",
			},
			want: MemoryFacts{2, 5000, 7, 0},
		},
		{
			name: "version 1, mounted part of the hierarchy",
			files: map[string]string{
				"proc/self/cgroup": "9:name=systemd:/docker/x\n4:cpu,memory:/docker/x\n0::/\n",
				"proc/self/mountinfo": "30 23 0:1 / /proc rw - proc proc rw\nbroken\n" +
					"35 31 0:32 /docker/x /mem\\040ory ro - cgroup cgroup rw,cpu,memory\n",
				"mem ory/memory.limit_in_bytes": "9223372036854771712\n", "mem ory/memory.usage_in_bytes": "42\n",
				"mem ory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
			},
			want: MemoryFacts{1, 0, 42, 1},
		},
		{
			name: "group outside of the mount",
			files: map[string]string{
				"proc/self/cgroup":           "0::/../other\n",
				"proc/self/mountinfo":        "31 23 0:28 /x /cg rw - cgroup2 cgroup rw\n",
				"cg/memory.current":          "1\n",
				"other/memory.current":       "666\n",
				"cg/../other/memory.current": "666\n",
			},
			want: MemoryFacts{Version: 2, Current: 1},
		},
		{name: "nothing", fails: true},
		{name: "no mount", fails: true, files: map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": ""}},
		{name: "no controller", fails: true, files: map[string]string{"proc/self/cgroup": "0::/\n",
			"proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				p := filepath.Join(root, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
				require.NoError(t, os.WriteFile(p, []byte(text), 0o644))
			}
			got, err := memoryBelow(root)
			if c.fails {
				require.ErrorIs(t, err, ErrNoCgroup)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestMemoryHere(t *testing.T) {
	f, err := Memory()
	if err != nil {
		t.Skip("SKIPPED: this machine has no memory control group:", err)
	}
	require.NotZero(t, f.Current)
}
