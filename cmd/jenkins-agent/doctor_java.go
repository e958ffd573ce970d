package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/footman-ci/footman/awsauth"
	"github.com/footman-ci/footman/remoting/jvm"
	"github.com/footman-ci/footman/remoting/transport"
)

// javaNeeds is which Java the agent.jar of a Jenkins needs, newest first
// (https://www.jenkins.io/doc/book/platform-information/support-policy-java/).
var javaNeeds = []struct {
	jenkins string
	java    int
}{{"2.555", 21}, {"2.463", 17}, {"2.357", 11}, {"2.60", 8}}

func javaFor(jenkins string) int {
	for _, n := range javaNeeds {
		if jenkins != "" && transport.VersionAtLeast(jenkins, n.jenkins) {
			return n.java
		}
	}
	return 0
}

// java starts the runtime that the companion would use, since one for another
// libc or processor is found, too, but does not start.
func (d *doctor) java(ctx context.Context) {
	explicit := d.o.companion
	switch explicit {
	case "off":
		d.ok("java", "the companion is off: what is not native is refused")
		return
	case "auto", "eager":
		explicit = ""
	}
	path, err := jvm.FindJava(explicit)
	switch {
	case errors.Is(err, jvm.ErrNoJava) && d.o.companion == "eager":
		d.warn("java", "use an image with Java (footman/agent-java), or leave out -companion eager", "there is no Java for -companion eager")
		return
	case errors.Is(err, jvm.ErrNoJava):
		d.ok("java", "there is none: what is not native is refused (jenkins-agent callables lists what is)")
		return
	case err != nil:
		d.fail("java", "name a Java program, or the home of a runtime, with -companion; or auto", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*d.times.step)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-version")
	cmd.Env = buildEnvironment(os.Environ())
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	version := versionOfJava(string(out))
	need := javaFor(d.version)
	switch {
	case err != nil:
		d.warn("java", "put a runtime for this image's libc and processor there, or use -companion off", "%s does not start: %v: %s", path, err, oneLine(string(out)))
	case version == 0:
		d.warn("java", "name a Java runtime with -companion", "%s does not say which Java it is", path)
	case need > version:
		d.warn("java", "put Java "+strconv.Itoa(need)+" or newer into the image", "%s is Java %d, and the companion for Jenkins %s needs %d", path, version, d.version, need)
	default:
		d.ok("java", "the companion would use %s, Java %d", path, version)
	}
}

var javaSays = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// versionOfJava reads the feature version (8, 11, 17, …) out of java -version.
func versionOfJava(out string) int {
	if m := javaSays.FindStringSubmatch(out); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// tokenWarn is how long before its end a token should have been replaced: the
// kubelet does so when a fifth of its life is left.
const tokenWarn = 5 * time.Minute

// aws looks at the role of the pod, and at the files that -awsauth keeps. It
// asks nobody.
func (d *doctor) aws(getenv func(string) string) {
	f, role := getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), getenv("AWS_ROLE_ARN")
	switch {
	case f == "" && role == "":
	case f == "" || role == "":
		d.warn("aws", "both come from the service account's annotation eks.amazonaws.com/role-arn", "only one of AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE is set")
	default:
		d.webIdentity(f, role)
	}
	if getenv("AWS_ACCESS_KEY_ID") != "" && role != "" {
		d.warn("aws", "unset AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID is set beside AWS_ROLE_ARN: most tools take the keys")
	}
	reader := awsauth.Reader{Env: getenv}
	if _, err := reader.Find(); err != nil {
		return // nothing here is kept fresh by an agent
	}
	bad := 0
	for _, c := range reader.Doctor().Checks {
		if c.Level == levelOK {
			continue
		}
		bad++
		// Builds suffer from these, the agent does not.
		remedy := c.Remedy
		if remedy == "" {
			remedy = "see jenkins-agent awsauth doctor, and docs/awsauth.md"
		}
		d.warn("aws", remedy, "%s", c.Text)
	}
	if bad == 0 {
		d.ok("aws", "profiles are fresh and readable; who tools act as: jenkins-agent awsauth doctor")
	}
}

func (d *doctor) webIdentity(file, role string) {
	b, err := os.ReadFile(file)
	if err != nil {
		d.fail("aws", "set fsGroup in the pod's securityContext: the token is readable to that group only", "%v", err)
		return
	}
	switch left, ok := tokenLeft(string(b), time.Now()); {
	case !ok:
		d.warn("aws", "is AWS_WEB_IDENTITY_TOKEN_FILE the projected token of the service account?", "%s holds no token with an end", file)
	case left <= 0:
		d.fail("aws", "the kubelet replaces it: is this clock right, and is the volume a projected token rather than a copy?", "the token in %s ended %s ago", file, (-left).Round(time.Second))
	case left < tokenWarn:
		d.warn("aws", "the kubelet should have replaced it: is the volume a projected token rather than a copy?", "the token in %s ends in %s", file, left.Round(time.Second))
	default:
		d.ok("aws", "%s by web identity, token good for %s", role, left.Round(time.Minute))
	}
}

// tokenLeft reads the end of a JSON web token; its signature is for AWS to
// judge.
func tokenLeft(token string, now time.Time) (time.Duration, bool) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return 0, false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(b, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1e12 {
		return 0, false
	}
	return time.Unix(int64(claims.Exp), 0).Sub(now), true
}
