package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/footman-ci/footman/test/controller"
)

// containerCaps is what a container engine gives a root user by default.
var containerCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}

// scratchContext writes the smallest thing that can be built.
const scratchContext = `rm -rf ctx; mkdir ctx; echo hello >ctx/hello.txt
printf 'FROM scratch\nCOPY hello.txt /hello.txt\nLABEL a=b\n' >ctx/Dockerfile
`

// stagesContext writes a build of two stages with commands, upon base.
func stagesContext(base string) string {
	return `rm -rf ctx; mkdir ctx; echo hello >ctx/hello.txt
cat >ctx/Dockerfile <<'END'
FROM ` + base + ` AS one
USER 0
WORKDIR /src
COPY hello.txt .
RUN tr a-z A-Z <hello.txt >/tmp/loud && id -u && ls -l /bin/sh
RUN rm -f /etc/nsswitch.conf && chown 1234:5678 /tmp/loud
FROM ` + base + `
USER 0
COPY --from=one /tmp/loud /loud
RUN grep HELLO /loud
END
`
}

// kaniko builds in the container of the agent, whose root file system kaniko
// replaces meanwhile, and then goes on with the build.
func (c *checker) kaniko(ctx context.Context, im *image) (string, error) {
	base, stop, err := c.serveImage(ctx, c.registry+"/static")
	if err != nil {
		return "", err
	}
	defer stop()
	a, err := c.runAgent(ctx, im, spec{caps: containerCaps}, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	const executor = `/kaniko/executor --context "dir://$PWD/ctx" --no-push --destination example.org/made:1 --tar-path "$PWD/%s.tar"
`
	for _, step := range []struct{ name, context string }{{"scratch", scratchContext}, {"stages", stagesContext(base)}, {"again", stagesContext(base)}} {
		if _, err := a.sh(ctx, step.context+fmt.Sprintf(executor, step.name)); err != nil {
			return "", fmt.Errorf("%s: %w", step.name, err)
		}
		if err := a.build(ctx); err != nil {
			return "", fmt.Errorf("after %s: %w", step.name, err)
		}
	}
	// What lay in the container before must not be in the images.
	files, err := imageFiles(a.path("scratch.tar"))
	if err != nil || !slices.Equal(files, []string{"/hello.txt"}) {
		return "", errors.Join(err, fmt.Errorf("the image FROM scratch has %q", files))
	}
	for _, name := range []string{"stages.tar", "again.tar"} {
		files, err := imageFiles(a.path(name))
		foreign := slices.ContainsFunc(files, func(f string) bool {
			return strings.HasPrefix(f, "/kaniko/") || strings.HasPrefix(f, agentDir) || f == "/workspace"
		})
		if err != nil || foreign || !slices.Contains(files, "/loud") {
			return "", errors.Join(err, fmt.Errorf("%s has %q", name, files))
		}
	}
	if _, err := a.exec(ctx, im.config.Healthcheck.Test[1:]...); err != nil {
		return "", fmt.Errorf("HEALTHCHECK: %w", err)
	}
	return "FROM scratch, two stages with RUN, and the same again; after each the agent runs a whole build", a.close()
}

// buildkit builds rootless, in user namespaces inside the container.
func (c *checker) buildkit(ctx context.Context, im *image) (string, error) {
	uid, err := im.uid()
	if err != nil {
		return "", err
	}
	base, stop, err := c.serveImage(ctx, c.registry+"/static")
	if err != nil {
		return "", err
	}
	defer stop()
	cache, err := c.workspace(uid, uid, 0o755)
	if err != nil {
		return "", err
	}
	// The container's root is not privileged; newuidmap's is, in the container.
	a, err := c.runAgent(ctx, im, spec{uid: uid, gid: uid, grow: true, caps: containerCaps,
		volumes: []volume{{source: cache, target: "/home/user/.local/share/buildkit"}}}, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	const buildctl = `buildctl-daemonless.sh build --frontend dockerfile.v0 --local context=ctx --local dockerfile=ctx --output type=oci,dest=%s.tar
`
	for _, step := range []struct{ name, context string }{{"scratch", scratchContext}, {"stages", stagesContext(base)}} {
		out, err := a.sh(ctx, step.context+fmt.Sprintf(buildctl, step.name))
		if err != nil {
			if reason := noUserNamespace(out); reason != "" {
				return "", &notRun{reason}
			}
			return "", fmt.Errorf("%s: %w", step.name, err)
		}
		if st, err := os.Stat(a.path(step.name + ".tar")); err != nil || st.Size() == 0 {
			return "", errors.Join(err, fmt.Errorf("%s.tar is missing", step.name))
		}
		if err := a.build(ctx); err != nil {
			return "", fmt.Errorf("after %s: %w", step.name, err)
		}
	}
	return fmt.Sprintf("rootless as uid %d: FROM scratch, two stages with RUN; after each the agent runs a whole build", uid), a.close()
}

// noUserNamespace says why rootless containers can't run on this machine, "" if
// they can.
func noUserNamespace(log string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "rootlesskit:parent") && strings.Contains(line, "operation not permitted") {
			return "user namespaces are not allowed here: " + strings.TrimSpace(line)
		}
	}
	return ""
}
