// Command gen collects the requests of the embedded controller from the recorded
// sessions of a real one. Run it with `go generate ./test/controller`.
//
// Each line of the output is one recorded command, unchanged, with the names of
// the class loaders that its session knew by oid.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/footman-ci/footman/remoting/jser"
)

// wanted names one command of a recording: the first one of that callable (or
// class, for commands that are no requests) that contains a text.
type wanted struct{ name, scenario, class, contains string }

const durable = "org.jenkinsci.plugins.durabletask."

var list = []wanted{
	{"SlaveVersion", "01-connect-init", "hudson.slaves.SlaveComputer$SlaveVersion", ""},
	{"CommunicationProtocol", "01-connect-init", "hudson.slaves.SlaveComputer$CommunicationProtocol", ""},
	{"DetectOS", "01-connect-init", "hudson.slaves.SlaveComputer$DetectOS", ""},
	{"DetectDefaultCharset", "01-connect-init", "hudson.slaves.SlaveComputer$DetectDefaultCharset", ""},
	{"SlaveInitializer", "01-connect-init", "hudson.slaves.SlaveComputer$SlaveInitializer", ""},
	{"SetUpRemotePing", "01-connect-init", "hudson.slaves.ChannelPinger$SetUpRemotePing", ""},
	{"ChannelSwapper", "01-connect-init", "jenkins.slaves.StandardOutputSwapper$ChannelSwapper", ""},
	{"Ping", "01-connect-init", "hudson.remoting.PingThread$Ping", ""},
	{"CopySystemProperties", "01-connect-init", "jenkins.util.SystemProperties$AgentCopier$CopySystemProperties", ""},
	{"FindEffectiveRestarters", "01-connect-init", "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters", ""},
	{"GetArchTask", "01-connect-init", "hudson.node_monitors.ArchitectureMonitor$GetArchTask", ""},
	{"GetClockDifference2", "01-connect-init", "hudson.model.Slave$GetClockDifference2", ""},
	{"GetUsableSpace", "01-connect-init", "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", ""},
	{"SwapSpace", "01-connect-init", "hudson.node_monitors.SwapSpaceMonitor$MonitorTask", ""},
	{"GetTempSpace", "01-connect-init", "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", ""},
	{"ResponseTime", "01-connect-init", "hudson.node_monitors.ResponseTimeMonitor$Step2", ""},

	{"GetEnvVars", "02-freestyle-shell-archive", "hudson.EnvVars$GetEnvVars", ""},
	{"Shellinterpreter", "02-freestyle-shell-archive", "hudson.tasks.Shell$DescriptorImpl$Shellinterpreter", ""},
	{"CreateTextTempFile", "02-freestyle-shell-archive", "hudson.FilePath$CreateTextTempFile", ""},
	{"LaunchFreestyle", "02-freestyle-shell-archive", "hudson.Launcher$RemoteLaunchCallable", ""},
	{"getIOtriplet", "02-freestyle-shell-archive", "hudson.remoting.RemoteInvocationHandler$UserRPCRequest", "getIOtriplet"},
	{"join", "02-freestyle-shell-archive", "hudson.remoting.RemoteInvocationHandler$UserRPCRequest", "t\x00\x04join"},
	{"isAlive", "02-freestyle-shell-archive", "hudson.remoting.RemoteInvocationHandler$UserRPCRequest", "t\x00\x07isAlive"},
	{"KillTaskEnv", "02-freestyle-shell-archive", "hudson.Launcher$RemoteLauncher$KillTask", ""},
	{"Cancel", "27-freestyle-abort", "hudson.remoting.Request$Cancel", ""},

	{"GetAgentInfo", "04-sh-abort", durable + "AgentInfo$GetAgentInfo", ""},
	{"LaunchDurable", "04-sh-abort", "hudson.Launcher$RemoteLaunchCallable", ""},
	{"LaunchDurableStdout", "03-pipeline-sh", "hudson.Launcher$RemoteLaunchCallable", "output.txt"},
	{"TranscodingCharset", "04-sh-abort", durable + "FileMonitoringTask$FileMonitoringController$TranscodingCharsetForSystemDefault", ""},
	{"WriteLog", "04-sh-abort", durable + "FileMonitoringTask$FileMonitoringController$WriteLog", ""},
	{"StatusCheck", "04-sh-abort", durable + "FileMonitoringTask$FileMonitoringController$StatusCheck", ""},
	{"GetOutput", "03-pipeline-sh", durable + "FileMonitoringTask$FileMonitoringController$GetOutput", ""},
	{"KillTask", "04-sh-abort", "hudson.Launcher$RemoteLauncher$KillTask", ""},
	{"InputEOF", "04-sh-abort", "hudson.remoting.ProxyInputStream$EOF", ""},

	{"Exists", "01-connect-init", "hudson.FilePath$Exists", ""},
	{"Mkdirs", "02-freestyle-shell-archive", "hudson.FilePath$Mkdirs", ""},
	{"Delete", "02-freestyle-shell-archive", "hudson.FilePath$Delete", ""},
	{"DeleteRecursive", "04-sh-abort", "hudson.FilePath$DeleteRecursive", ""},
	{"IsDirectory", "04-sh-abort", "hudson.FilePath$IsDirectory", ""},
	{"Write", "04-sh-abort", "hudson.FilePath$Write", ""},
	{"Chmod", "03-pipeline-sh", "hudson.FilePath$Chmod", ""},
	{"WritePipe", "06-files", "hudson.FilePath$WritePipe", ""},
	{"Read", "06-files", "hudson.FilePath$Read", ""},
	{"ListGlob", "06-files", "hudson.FilePath$ListGlob", ""},
	{"Length", "06-files", "hudson.FilePath$Length", ""},
	{"LastModified", "06-files", "hudson.FilePath$LastModified", ""},
	{"Touch", "06-files", "hudson.FilePath$Touch", ""},
	{"OutputEOF", "06-files", "hudson.remoting.ProxyOutputStream$EOF", ""},
	{"Archive", "31-big-transfer", "hudson.FilePath$Archive", ""},
	{"UntarRemote", "31-big-transfer", "hudson.FilePath$UntarRemote", ""},
	{"Close", "20-disconnect", "hudson.remoting.Channel$CloseCommand", ""},
}

// record is a line of a session; see test/testdata/fixtures/README.md.
type record struct {
	N        int    `json:"n"`
	Dir      string `json:"dir"`
	Class    string `json:"class"`
	Callable string `json:"callable"`
	ID       int32  `json:"id"`
	For      string `json:"for"`
	B64      string `json:"b64"`
}

// template is a line of the output.
type template struct {
	Name     string           `json:"name"`
	Scenario string           `json:"scenario"`
	N        int              `json:"n"`
	Loaders  map[int32]string `json:"loaders,omitempty"`
	B64      string           `json:"b64"`
}

func main() {
	log.SetFlags(0)
	in := flag.String("fixtures", "../testdata/fixtures", "folder of the recorded sessions")
	out := flag.String("out", "templates.jsonl.gz", "file to write")
	flag.Parse()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	enc := json.NewEncoder(z)
	for _, w := range list {
		t, err := find(*in, w)
		if err == nil {
			err = enc.Encode(t)
		}
		if err != nil {
			log.Fatalf("gen: %s: %v", w.name, err)
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, b.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func find(dir string, w wanted) (t template, err error) {
	records, err := session(filepath.Join(dir, w.scenario, "session.jsonl.gz"))
	if err != nil {
		return t, err
	}
	t = template{Name: w.name, Scenario: w.scenario, Loaders: loaders(records)}
	for _, r := range records {
		if r.Dir != "c2a" || (r.Callable != w.class && r.Class != w.class) {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(r.B64)
		if err != nil {
			return t, err
		}
		if bytes.Contains(raw, []byte(w.contains)) {
			t.N, t.B64 = r.N, r.B64
			return t, nil
		}
	}
	return t, fmt.Errorf("no %s in %s", w.class, w.scenario)
}

func session(file string) (all []record, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for r := bufio.NewReader(z); ; {
		line, err := r.ReadBytes('\n')
		if len(line) == 0 {
			return all, nil
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, err
		}
		all = append(all, rec)
		if err != nil {
			return all, nil
		}
	}
}

// loaders reads the names that the controller gave to IClassLoader.getName.
func loaders(records []record) map[int32]string {
	asked, names := map[int32]int32{}, map[int32]string{}
	for _, r := range records {
		if r.Class != "hudson.remoting.RemoteInvocationHandler$RPCRequest" && !(r.Class == "hudson.remoting.Response" && r.Dir == "c2a") {
			continue
		}
		raw, _ := base64.StdEncoding.DecodeString(r.B64)
		v, err := jser.Decode(raw, jser.Options{})
		o, ok := v.(*jser.Object)
		if err != nil || !ok {
			continue
		}
		if r.Dir == "a2c" && o.Str("methodName") == "getName" {
			asked[r.ID] = o.Int("oid")
		} else if oid, ok := asked[r.ID]; ok && r.Dir == "c2a" {
			if name, ok := o.Get("returnValue").(string); ok {
				names[oid] = name
			}
		}
	}
	return names
}
