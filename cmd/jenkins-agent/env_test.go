package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The cases follow the script jenkins-agent of jenkinsci/docker-agent and what
// the kubernetes plugin puts into a pod.
func TestEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		env  string // words KEY=value, _ for a blank
		args string
		want string
		warn string
	}{
		"nothing": {},
		"kubernetes, WebSocket": {
			env:  "JENKINS_SECRET=0a JENKINS_AGENT_NAME=n JENKINS_NAME=n JENKINS_AGENT_WORKDIR=/home/jenkins/agent JENKINS_URL=http://j/ JENKINS_WEB_SOCKET=true REMOTING_OPTS=-noReconnectAfter_1d",
			want: "-secret 0a -name n -url http://j/ -workDir /home/jenkins/agent -webSocket -noReconnectAfter 1d",
		},
		"kubernetes, direct": {
			env:  "JENKINS_SECRET=0a JENKINS_NAME=n JENKINS_DIRECT_CONNECTION=j:50000 JENKINS_PROTOCOLS=JNLP4-connect JENKINS_INSTANCE_IDENTITY=MII=",
			want: "-secret 0a -name n -direct j:50000 -protocols JNLP4-connect -instanceIdentity MII=",
		},
		"kubernetes, tunnel": {
			env:  "JENKINS_SECRET=0a JENKINS_NAME=n JENKINS_TUNNEL=t:1 JENKINS_URL=http://j/",
			want: "-secret 0a -name n -tunnel t:1 -url http://j/",
		},
		"pod template with the old arguments": {
			env:  "JENKINS_SECRET=0a1b JENKINS_NAME=node-1 JENKINS_URL=http://j/",
			args: "0a1b node-1", want: "-url http://j/ 0a1b node-1",
			warn: "Warning: SECRET is defined twice in command-line arguments and the environment variable\n" +
				"Warning: AGENT_NAME is defined twice in command-line arguments and the environment variable",
		},
		"JENKINS_NAME wins":             {env: "JENKINS_AGENT_NAME=a JENKINS_NAME=b", want: "-name b"},
		"only JENKINS_AGENT_NAME":       {env: "JENKINS_AGENT_NAME=a", want: "-name a"},
		"WebSocket is true or nothing":  {env: "JENKINS_NAME=n JENKINS_WEB_SOCKET=1", want: "-name n"},
		"arguments win over the option": {env: "JENKINS_NAME=n JENKINS_AGENT_WORKDIR=/a", args: "-workDir /b", want: "-name n -workDir /b", warn: "Warning: Work directory is defined twice in command-line arguments and the environment variable"},
		"arguments come after REMOTING_OPTS": {
			env: "JENKINS_NAME=n REMOTING_OPTS=-workDir_/opts", args: "-workDir /args", want: "-name n -workDir /opts -workDir /args"},
		"tunnel and URL of the arguments": {env: "JENKINS_NAME=n JENKINS_TUNNEL=a:1 JENKINS_URL=http://a/", args: "-tunnel b:1 -url http://b/",
			want: "-name n -tunnel b:1 -url http://b/"},
		"JVM variables mean nothing":              {env: "JENKINS_JAVA_OPTS=-Xmx1g JAVA_OPTS=-Xmx2g JENKINS_JAVA_BIN=/java JENKINS_AGENT_FILE=/a.jar"},
		"a command launcher's URL is for scripts": {env: "JENKINS_URL=http://j/", args: "-text", want: "-text"},
		"URL for arguments":                       {env: "JENKINS_URL=http://j/", args: "-secret 0a -name n", want: "-url http://j/ -secret 0a -name n"},
		"URL for REMOTING_OPTS":                   {env: "JENKINS_URL=http://j/ REMOTING_OPTS=-secret_@f_-name_n", want: "-url http://j/ -secret @f -name n"},
		"a secret file in the variable":           {env: "JENKINS_SECRET=@/run/secret JENKINS_NAME=n", want: "-secret @/run/secret -name n"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			for _, kv := range strings.Fields(c.env) {
				k, v, _ := strings.Cut(kv, "=")
				env[k] = strings.ReplaceAll(v, "_", " ")
			}
			var warned []string
			got, err := withEnvironment(newApp(nil, nil), func(k string) string { return env[k] }, strings.Fields(c.args),
				func(s string) { warned = append(warned, s) })
			require.NoError(t, err)
			require.Equal(t, c.want, strings.Join(got, " "))
			require.Equal(t, c.warn, strings.Join(warned, "\n"))
		})
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           nil,
		"  ":                         nil,
		"-noReconnectAfter 1d":       {"-noReconnectAfter", "1d"},
		" a\t b \n c ":               {"a", "b", "c"},
		`-name "an agent"`:           {"-name", "an agent"},
		`-name 'it is "me"'`:         {"-name", `it is "me"`},
		`a\ b c\\d`:                  {"a b", `c\d`},
		`"a\"b\$c\d"`:                {`a"b$c\d`},
		`''`:                         {""},
		`pre"mid"'post'`:             {"premidpost"},
		"$(touch /tmp/x) `id` $HOME": {"$(touch", "/tmp/x)", "`id`", "$HOME"}, // never evaluated
	} {
		got, err := splitWords(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, bad := range []string{`"s3cr3t`, `'s3cr3t`, `s3cr3t\`} {
		_, err := splitWords(bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cr3t")
	}
}

func FuzzSplitWords(f *testing.F) {
	for _, s := range []string{"", "a b", `"a b" 'c'`, `a\ b`, `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := splitWords(s)
		if err != nil {
			return
		}
		n := 0
		for _, w := range words {
			n += len(w)
		}
		require.LessOrEqual(t, n, 3*len(s)+3) // a bad byte becomes U+FFFD
	})
}

func TestEnvironmentOfBuilds(t *testing.T) {
	require.Equal(t, []string{"PATH=/bin", "JENKINS_URL=http://j/", "REMOTING_OPTS=-noReconnect", "EMPTY="},
		buildEnvironment([]string{"PATH=/bin", "JENKINS_SECRET=0a1b", "JENKINS_URL=http://j/", "REMOTING_OPTS=-noReconnect", supervisedEnv + "=1", "EMPTY="}))
	require.Empty(t, buildEnvironment([]string{"REMOTING_OPTS=-secret 0a1b"}))
}
