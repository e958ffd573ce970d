// Package house guards the layout of the project: which package may import
// which, what must not get into the binary, and how big it may be.
package house

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/footman-ci/footman/"

// allowed lists what of ours each package may import; tests are free. A
// package that is not here may import nothing of ours.
var allowed = map[string][]string{
	"cmd/jenkins-agent": {"remoting", "remoting/", "exec", "exec/", "awsauth"},
	"remoting":          {"remoting/jser"},
	"remoting/callable": {"remoting", "remoting/jser"},
	"remoting/hudson": {"remoting", "remoting/callable", "remoting/classfile", "remoting/jser", "exec", "exec/",
		"remoting/hudson/ant", "remoting/hudson/archive", "remoting/hudson/git", "remoting/hudson/junit"},
	"remoting/hudson/archive": {"remoting/hudson/ant"},
	"remoting/hudson/git":     {"exec"},
	"remoting/hudson/junit":   {"remoting/hudson/ant"},
	"remoting/jvm":            {"remoting", "remoting/callable", "remoting/jser", "remoting/transport", "remoting/wire", "exec"},
	"remoting/remotingtest":   {"remoting", "remoting/jser"},
	"remoting/transport":      {"remoting/wire"},
	"exec/hold":               {"exec"},
	"exec/container":          {"exec", "exec/hold"},
	"cmd/jenkins-shell":       {"exec/shell"},
}

// forbidden must never be linked into the agent.
var forbidden = []string{
	"k8s.io/", "github.com/stretchr/testify", "go.uber.org/goleak", "github.com/prometheus/", "testing", "net/rpc", "expvar",
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []pkg {
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pkgs []pkg
	for d := json.NewDecoder(out); ; {
		var p pkg
		err := d.Decode(&p)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
	require.NoError(t, cmd.Wait())
	return pkgs
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "test/") {
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			if !ok {
				continue
			}
			fine := false
			for _, a := range allowed[name] {
				fine = fine || ours == a || strings.HasSuffix(a, "/") && strings.HasPrefix(ours, a)
			}
			require.True(t, fine, "%s must not import %s", name, ours)
		}
	}
}

func TestTheBinaryIsFreeOfWhatItDoesNotNeed(t *testing.T) {
	for _, p := range list(t, "./cmd/jenkins-agent") {
		for _, dep := range p.Deps {
			for _, f := range forbidden {
				require.False(t, dep == f || strings.HasPrefix(dep, f) && strings.HasSuffix(f, "/"), "the agent links %s", dep)
			}
		}
	}
}
