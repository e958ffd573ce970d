package hold

import (
	"log/slog"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/test/output"
)

func TestKillsOfTheKernel(t *testing.T) {
	log := &output.Buffer{}
	h := &Hold{Name: "maven", Log: slog.New(slog.NewTextHandler(log, nil))}
	facts := exec.MemoryFacts{Limit: 512 << 20, OOMKills: 1}
	h.oom.kills = 1
	require.Empty(t, h.oomReport(facts, ""))
	facts.OOMKills = 2
	require.Equal(t, `the kernel killed 1 process(es) of container "maven" for lack of memory (limit 512 MiB): its name is in the log of the node`, h.oomReport(facts, ""))
	require.Empty(t, h.oomReport(facts, ""), "told once")

	facts.OOMKills = 3
	h.noteOrphan(exec.Orphan{ProcessRef: exec.ProcessRef{Pid: 7, Comm: "polite"}, Status: syscall.WaitStatus(syscall.SIGTERM)})
	h.noteOrphan(exec.Orphan{ProcessRef: exec.ProcessRef{Pid: 8, Comm: "cc1plus"}, Status: syscall.WaitStatus(syscall.SIGKILL)})
	require.Contains(t, h.oomReport(facts, ""), ": 8 (cc1plus)")
	facts.OOMKills = 4
	h.oom.biggest = process{pid: 9, comm: "java", rss: 1 << 16}
	require.Contains(t, h.oomReport(facts, ""), ": most likely 9 (java), ")
	facts.OOMKills = 6
	require.Contains(t, h.oomReport(facts, "10 (sh) or what it ran"), "killed 2 process(es)")
	require.Contains(t, log.String(), "10 (sh) or what it ran")
	facts.OOMKills = 0 // another group: nothing to say
	require.Empty(t, h.oomReport(facts, ""))
}
