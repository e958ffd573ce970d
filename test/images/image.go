package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// image is a built image with its root file system mounted in a container of
// buildah's, writable.
type image struct {
	name, container, root string
	arch                  string
	config                imageConfig
}

// imageConfig is what the checks and the runtime need of an image's config.
type imageConfig struct {
	User        string
	Env         []string
	Entrypoint  []string
	WorkingDir  string
	Labels      map[string]string
	Healthcheck *struct{ Test []string }
}

func buildah(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "buildah", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("buildah %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func openImage(ctx context.Context, name string) (*image, error) {
	im := &image{name: name}
	raw, err := buildah(ctx, "inspect", "--type", "image", name)
	if err != nil {
		return nil, err
	}
	var all struct {
		Docker struct {
			Architecture string
			Config       imageConfig
		}
	}
	if err := json.Unmarshal([]byte(raw), &all); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	im.config, im.arch = all.Docker.Config, all.Docker.Architecture
	if im.container, err = buildah(ctx, "from", "--pull-never", "--arch", im.arch, name); err != nil {
		return nil, err
	}
	if im.root, err = buildah(ctx, "mount", im.container); err != nil {
		im.close()
		return nil, err
	}
	return im, nil
}

// native is why a check that measures was left out, nil on the image's own
// architecture.
func (im *image) native() error {
	if im.arch == runtime.GOARCH {
		return nil
	}
	return &notRun{im.arch + " is emulated here, so there is nothing to measure"}
}

// close gives the container back.
func (im *image) close() {
	ctx := context.Background()
	_, _ = buildah(ctx, "umount", im.container)
	_, _ = buildah(ctx, "rm", im.container)
}

// uid is the image's user, which must be a number for runAsNonRoot.
func (im *image) uid() (int, error) {
	n, err := strconv.Atoi(im.config.User)
	if err != nil {
		return 0, fmt.Errorf("USER %q is not a number: runAsNonRoot refuses the image", im.config.User)
	}
	return n, nil
}
