package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestFilesOfArguments(t *testing.T) {
	dir := t.TempDir()
	put := func(name, content string) string {
		f := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(f, []byte(content), 0o600))
		return f
	}
	secret, crlf := put("secret", "0a1b\n"), put("crlf", "0a1b\r\n")
	lines := put("lines", "-url\nhttp://j/\n-name\nan agent\n")
	empty, blank, two := put("empty", ""), put("blank", "s3cr3t with blanks\n"), put("two", "s3cr3t\ns3cr3t2\n")
	for name, c := range map[string]struct{ args, want []string }{
		"none":             {[]string{"-url", "http://j/"}, []string{"-url", "http://j/"}},
		"secret":           {[]string{"-secret", "@" + secret, "-name", "n"}, []string{"-secret", "0a1b", "-name", "n"}},
		"CRLF":             {[]string{"-secret", "@" + crlf}, []string{"-secret", "0a1b"}},
		"positional":       {[]string{"@" + secret, "n"}, []string{"0a1b", "n"}},
		"lines":            {[]string{"@" + lines, "-webSocket"}, []string{"-url", "http://j/", "-name", "an agent", "-webSocket"}},
		"cert keeps its @": {[]string{"-cert", "@" + secret, "--cert", "@x"}, []string{"-cert", "@" + secret, "--cert", "@x"}},
		"an address":       {[]string{"-credentials", "me@example:pw", "@"}, []string{"-credentials", "me@example:pw", "@"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := expandFiles(c.args)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, f := range []string{empty, blank, two} {
		_, err := expandFiles([]string{"-secret", "@" + f})
		require.ErrorContains(t, err, "in one line of hex digits, and it does not")
		require.NotContains(t, err.Error(), "s3cr3t")
	}
	_, err := expandFiles([]string{"@" + filepath.Join(dir, "missing")})
	require.ErrorContains(t, err, "can't be read")
}

func TestInThePlaceOfJava(t *testing.T) {
	for line, want := range map[string]string{
		// ssh-slaves, and with JVM options and a suffix
		"-jar remoting.jar -workDir D -jar-cache D/remoting/jarCache":       "-workDir D -jar-cache D/remoting/jarCache",
		"-Xmx1g -Dhudson.x=y -XX:+UseG1GC -jar /h/remoting.jar -workDir /h": "-workDir /h",
		"-jar /tmp/remoting.jar -workDir /home/ec2-user":                    "-workDir /home/ec2-user", // EC2
		"-jar slave.jar -text":                                  "-text",
		"-jar agent-3352.jar -url http://j/ -secret ab -name n": "-url http://j/ -secret ab -name n",
		"-cp a.jar:b.jar --add-opens java.base/java.lang=ALL-UNNAMED -server hudson.remoting.jnlp.Main -version": "",
		`-jar C:\j\agent.jar`: "",
	} {
		t.Run(line, func(t *testing.T) {
			if strings.HasSuffix(line, "Main -version") {
				line, want = strings.TrimSuffix(line, " -version")+" -headless", "-headless"
			}
			rest, done, err := asJVM(strings.Fields(line), nil)
			require.NoError(t, err)
			require.False(t, done)
			require.Equal(t, want, strings.Join(rest, " "))
		})
	}
	for _, line := range []string{"-jar app.jar", "-jar", "com.example.Main", "", "-Xmx1g", "-cp x Main hudson.remoting.Launcher"} {
		_, done, err := asJVM(strings.Fields(line), nil)
		require.Error(t, err, line)
		require.False(t, done)
	}
}

// What hudson.plugins.sshslaves.JavaVersionChecker looks for: a line that
// starts so, whose quoted number, up to its second dot, is no less than 1.8.
func TestJavaVersionSatisfiesLaunchers(t *testing.T) {
	code, stdout, stderr := quietly("java", "-Xmx512m", "-version")
	require.Zero(t, code)
	require.Empty(t, stdout)
	line, _, _ := strings.Cut(strings.ToLower(stderr), "\n")
	version, ok := strings.CutPrefix(line, `openjdk version "`)
	require.True(t, ok, line)
	version = strings.TrimSuffix(version, `"`)
	parts := strings.SplitN(version, ".", 3)
	n, err := strconv.ParseFloat(strings.Join(parts[:2], "."), 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 17.0)

	code, _, stderr = quietly("java", "-fullversion") // EC2 wants the exit code
	require.Zero(t, code)
	require.Contains(t, stderr, "full version")

	code, _, stderr = quietly("java", "-jar", "app.jar", "serve")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "app.jar")
}

func TestOptionsBehindPositionalArguments(t *testing.T) {
	app := newApp(nil, nil)
	for line, want := range map[string]string{
		"":                                   "",
		"-url http://j/ 0a1b n":              "-url http://j/ -- 0a1b n",
		"0a1b n -url http://j/ -webSocket":   "-url http://j/ -webSocket -- 0a1b n",
		"0a1b n -url=http://j/ -noReconnect": "-url=http://j/ -noReconnect -- 0a1b n",
		"-noReconnect 0a1b n":                "-noReconnect -- 0a1b n",
		"--secret 0a1b -h":                   "--secret 0a1b -h",
		"-workDir -- x":                      "-workDir -- -- x",
		"-- -strange name":                   "-- -strange name",
		"callables -x":                       "callables -x",
	} {
		require.Equal(t, want, strings.Join(reorder(app, strings.Fields(line)), " "), line)
	}
}

func TestWhatIsACommandOfSomebodyElse(t *testing.T) {
	app := newApp(nil, nil)
	for line, want := range map[string]bool{
		"bash": true, "/bin/sh": true, "callables": false, "help": false, "-version": false, "": false, "bash -c": false, "@file": false,
	} {
		_, got := foreignCommand(app, strings.Fields(line))
		require.Equal(t, want, got, line)
	}
}
