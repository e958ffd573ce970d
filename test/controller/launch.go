package controller

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// build is what steps of one build have in common.
type build struct {
	job, workspace, temp, cookie string
	number                       int
}

func (n *Node) newBuild(job string) build {
	if job == "" {
		job = "demo"
	}
	ws := n.RemoteFS() + "/workspace/" + job
	return build{job: job, workspace: ws, temp: ws + "@tmp", cookie: randomHex(16), number: 1}
}

// env is the environment of a launch as the controller computes it: the agent's
// own, the build's and the step's, sorted.
func (n *Node) env(b build, agent map[string]string, extra map[string]string) map[string]string {
	url := n.c.URL()
	m := map[string]string{}
	for k, v := range agent {
		m[k] = v
	}
	for k, v := range map[string]string{
		"BUILD_DISPLAY_NAME": fmt.Sprintf("#%d", b.number), "BUILD_ID": fmt.Sprint(b.number), "BUILD_NUMBER": fmt.Sprint(b.number),
		"BUILD_TAG": fmt.Sprintf("jenkins-%s-%d", b.job, b.number), "BUILD_URL": fmt.Sprintf("%sjob/%s/%d/", url, b.job, b.number),
		"CI": "true", "CLASSPATH": "", "EXECUTOR_NUMBER": "0",
		"HUDSON_HOME": "/var/jenkins_home", "HUDSON_SERVER_COOKIE": n.c.cookie, "HUDSON_URL": url,
		"JENKINS_HOME": "/var/jenkins_home", "JENKINS_NODE_COOKIE": b.cookie, "JENKINS_SERVER_COOKIE": n.c.cookie, "JENKINS_URL": url,
		"JOB_BASE_NAME": b.job, "JOB_NAME": b.job, "JOB_URL": url + "job/" + b.job + "/",
		"NODE_LABELS": n.name, "NODE_NAME": n.name, "WORKSPACE": b.workspace, "WORKSPACE_TMP": b.temp,
	} {
		m[k] = v
	}
	for k, v := range extra {
		m[k] = v
	}
	return m
}

func envArray(o *jser.Object, m map[string]string) *jser.Array {
	list := make([]jser.Value, 0, len(m))
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].(string) < list[j].(string) })
	return &jser.Array{Class: o.Get("env").(*jser.Array).Class, Elems: list}
}

// setList changes the elements of a recorded ArrayList.
func setList(o *jser.Object, elems []string) {
	d := &o.Data[len(o.Data)-1]
	for i, f := range d.Desc.Fields {
		if f.Name == "size" {
			d.Values[i] = int32(len(elems))
		}
	}
	extra := []jser.Value{jser.Block{0, 0, 0, byte(len(elems))}}
	for _, e := range elems {
		extra = append(extra, e)
	}
	d.Extra = extra
}

// remoteEnv asks for the environment of the agent (EnvVars.getRemote).
func (c *conn) remoteEnv(ctx context.Context) (map[string]string, error) {
	v, err := c.call(ctx, "GetEnvVars", nil)
	if err != nil {
		return nil, err
	}
	m, err := jser.StringMap(v)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for k, v := range m {
		if v != nil {
			env[k] = *v
		}
	}
	return env, nil
}

// process is a Launcher$RemoteProcess on the agent.
type process struct {
	c       *conn
	oid     int32
	streams []int32 // RemoteInputStreams of getIOtriplet
}

// launch sends a RemoteLaunchCallable and asks for its streams, as
// Launcher.RemoteLauncher does for every launch.
func (c *conn) launch(ctx context.Context, template string, fill func(*jser.Object)) (*process, error) {
	v, err := c.call(ctx, template, fill)
	if err != nil {
		return nil, err
	}
	h := (*jser.Object)(nil)
	if o, ok := v.(*jser.Object); ok && o.Class.Proxy {
		h = o.Obj("h")
	}
	if h == nil {
		return nil, &jser.TypeError{Want: "a proxy of Launcher$RemoteProcess", Got: v}
	}
	p := &process{c: c, oid: h.Int("oid")}
	io, err := p.invoke(ctx, "getIOtriplet")
	if err != nil {
		return nil, err
	}
	if o, ok := io.(*jser.Object); ok {
		for _, f := range []string{"stdout", "stderr"} {
			if oid, ok := streamOID(o.Get(f)); ok {
				p.streams = append(p.streams, oid)
			}
		}
	}
	return p, nil
}

// invoke calls a method without arguments: a UserRPCRequest inside a
// UserRequest.
func (p *process) invoke(ctx context.Context, method string) (jser.Value, error) {
	return p.c.call(ctx, method, func(o *jser.Object) {
		set(o, "oid", p.oid)
		set(o, "id", p.c.newID(nil))
	})
}

// release gives the process and its streams back to the agent; Java's garbage
// collector does it some time later.
func (p *process) release() {
	for _, oid := range p.streams {
		_ = p.c.writePlain("InputEOF", "oid", oid)
	}
	_ = p.c.write(encodePlain(jser.New(unexportDesc, nil, p.oid)))
}

// killTask ends the processes that have these variables in their environment
// (Launcher$RemoteLauncher$KillTask).
func (c *conn) killTask(ctx context.Context, key, value string) error {
	_, err := c.call(ctx, "KillTask", func(o *jser.Object) {
		m := o.Obj("modelEnvVars")
		set(m, "k", key)
		set(m, "v", value)
	})
	return err
}

// killTaskEnv is killTask with the variables of a build, an EnvVars.
func (c *conn) killTaskEnv(ctx context.Context, vars map[string]string) error {
	_, err := c.call(ctx, "KillTaskEnv", func(o *jser.Object) {
		m := o.Obj("modelEnvVars")
		keys := make([]string, 0, len(vars))
		for k := range vars {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool { return strings.ToUpper(keys[i]) < strings.ToUpper(keys[j]) })
		extra := []jser.Value{jser.Block{0, 0, 0, byte(len(keys))}}
		for _, k := range keys {
			extra = append(extra, k, vars[k])
		}
		for i := range m.Data {
			if m.Data[i].Desc.Name == "java.util.TreeMap" {
				m.Data[i].Extra = extra
			}
		}
	})
	return err
}
