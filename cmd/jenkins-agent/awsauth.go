package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/footman-ci/footman/awsauth"
	"github.com/urfave/cli/v2"
)

// awsauthCommand is `jenkins-agent awsauth`: AWS credentials for build
// containers, resolved once and kept fresh. See docs/awsauth.md.
func awsauthCommand() *cli.Command {
	dirFlag := &cli.StringSliceFlag{Name: "aws-dir", Usage: "`DIR` filled by the agent (default: AWSAUTH_DIR, HOME/.aws, /root/.aws, /home/jenkins/.aws)"}
	jsonFlag := &cli.BoolFlag{Name: "json", Usage: "print JSON"}
	return &cli.Command{
		Name:  "awsauth",
		Usage: "resolve AWS profiles once and keep them fresh for all tools of the pod",
		Description: "Without a subcommand: resolve the profiles, write the files and keep them fresh until stopped (a sidecar).\n" +
			"With --once: resolve, write, exit; 0 when every named profile is fresh (an init container).",
		Flags:  append(awsauthFlags(), &cli.BoolFlag{Name: "once", Usage: "resolve, write and exit"}, &cli.BoolFlag{Name: "non-fatal", Usage: "with --once: log what failed, but exit with 0 (for init containers that must not stop the pod)"}, &cli.StringFlag{Name: "http", Usage: "serve /metrics and /status at `ADDR`, such as 127.0.0.1:9102"}),
		Action: runAWSAuth,
		Subcommands: []*cli.Command{
			{
				Name: "list", Usage: "show each profile: chain, role, state, expiry, who may read it",
				Flags:  []cli.Flag{dirFlag, jsonFlag, &cli.StringFlag{Name: "config", Usage: "shared config `FILE`"}, &cli.StringFlag{Name: "aws-profiles", Usage: "only these, comma-separated"}},
				Action: awsauthList,
			},
			{
				Name: "env", Usage: "print exports for sh: eval \"$(jenkins-agent awsauth env PROFILE)\"", ArgsUsage: "PROFILE",
				Flags:  []cli.Flag{dirFlag, &cli.BoolFlag{Name: "keys", Usage: "the keys themselves, for tools that know nothing else (they do not follow a refresh)"}},
				Action: awsauthEnv,
			},
			{
				Name: "exec", Usage: "run a command as a profile", ArgsUsage: "PROFILE -- COMMAND [ARG …]",
				Flags:  []cli.Flag{dirFlag, &cli.BoolFlag{Name: "keys", Usage: "give the keys themselves"}},
				Action: awsauthExec,
			},
			{
				Name: "get", Usage: "print a profile's credentials in credential_process form", ArgsUsage: "PROFILE",
				Flags: []cli.Flag{dirFlag},
				Action: func(c *cli.Context) error {
					profile, err := oneArg(c)
					if err != nil {
						return err
					}
					data, err := (awsauth.Reader{Dirs: c.StringSlice("aws-dir")}).Get(profile)
					if err != nil {
						return err
					}
					_, err = c.App.Writer.Write(data)
					return err
				},
			},
			{
				// For images without cat: --process-command "…/jenkins-agent awsauth cat".
				Name: "cat", Hidden: true, ArgsUsage: "FILE",
				Action: func(c *cli.Context) error {
					name, err := oneArg(c)
					if err != nil {
						return err
					}
					f, err := os.Open(name)
					if err != nil {
						return fmt.Errorf("awsauth: %w", err)
					}
					defer f.Close()
					_, err = io.Copy(c.App.Writer, f)
					return err
				},
			},
			{
				Name: "doctor", Usage: "inside a build container: which role each tool would act as, and what is wrong",
				Flags:  []cli.Flag{dirFlag, jsonFlag},
				Action: awsauthDoctor,
			},
		},
	}
}

// awsauthFlags are the flags that say what to resolve and where to write. The
// agent's own -awsauth mode uses the same ones.
func awsauthFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "aws-dir", Usage: "`DIR[=SEEN]` to fill, SEEN being its path in build containers; repeatable (default: AWSAUTH_DIR, else HOME/.aws)"},
		&cli.StringFlag{Name: "config", Aliases: []string{"aws-config"}, Usage: "shared config `FILE` (default: AWS_CONFIG_FILE, DIR/config, HOME/.aws/config)"},
		&cli.StringFlag{Name: "aws-profiles", EnvVars: []string{"AWSAUTH_PROFILES"}, Usage: "resolve only these, comma-separated; - is the identity without a profile (default: all)"},
		&cli.StringFlag{Name: "aws-share", Aliases: []string{"share"}, Value: "auto", Usage: "who may read the files: auto, group, world, owner or gid:N"},
		&cli.BoolFlag{Name: "aws-write-config", Usage: "also write the generated config as DIR/config, if that is missing, empty or ours"},
		&cli.StringFlag{Name: "process-command", Value: "cat", Usage: "what credential_process lines run before the file's path"},
		&cli.BoolFlag{Name: "allow-environment-source", Usage: "let credential_source = Environment use the agent's own keys"},
		&cli.DurationFlag{Name: "aws-duration", Usage: "session length to ask for web identity roles, up to the role's maximum (default: 1h)"},
		&cli.DurationFlag{Name: "aws-timeout", Value: 20 * time.Second, Usage: "bound of the first round"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log every attempt"},
	}
}

// awsauthOptions reads awsauthFlags.
func awsauthOptions(c *cli.Context, log *slog.Logger) (awsauth.Options, error) {
	share, gid, err := awsauth.ParseShare(c.String("aws-share"))
	if err != nil {
		return awsauth.Options{}, err
	}
	o := awsauth.Options{ConfigFile: c.String("config"), Profiles: splitList(c.String("aws-profiles")), Share: share, GID: gid,
		WriteConfig: c.Bool("aws-write-config"), ProcessCommand: c.String("process-command"), AllowEnvironment: c.Bool("allow-environment-source"),
		Duration: c.Duration("aws-duration"), Timing: awsauth.Timing{First: c.Duration("aws-timeout")}, Log: log}
	dirs := c.StringSlice("aws-dir")
	if len(dirs) == 0 {
		d := os.Getenv("AWSAUTH_DIR")
		if d == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return o, errors.New("awsauth: HOME is not set; give --aws-dir")
			}
			d = filepath.Join(home, ".aws")
		}
		dirs = []string{d}
	}
	for _, s := range dirs {
		d, err := awsauth.ParseDir(s)
		if err != nil {
			return o, err
		}
		o.Dirs = append(o.Dirs, d)
	}
	return o, nil
}

func splitList(s string) []string {
	var out []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func runAWSAuth(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("awsauth: unknown subcommand %q; see jenkins-agent awsauth --help", c.Args().First())
	}
	level := slog.LevelInfo
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	o, err := awsauthOptions(c, log)
	if err != nil {
		return err
	}
	awsauth.HideMemory()
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	k, err := awsauth.New(o)
	if err != nil {
		return err
	}
	if c.Bool("once") {
		err := k.Once(ctx)
		if err == nil {
			for _, p := range k.Status().Profiles {
				if p.Expires != nil {
					fmt.Fprintf(c.App.Writer, "%s: %s until %s\n", p.Profile, p.Role, p.Expires.Format(time.RFC3339))
				}
			}
		}
		if err != nil && c.Bool("non-fatal") {
			log.Error("not every profile is fresh", "err", err)
			return nil
		}
		return err
	}
	if addr := c.String("http"); addr != "" {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if err := k.Serve(ctx, addr); err != nil {
			return err
		}
	}
	return k.Run(ctx)
}

func awsauthList(c *cli.Context) error {
	r := awsauth.Reader{Dirs: c.StringSlice("aws-dir")}
	entries, problems, err := r.List(awsauth.Options{ConfigFile: c.String("config"), Profiles: splitList(c.String("aws-profiles"))})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, struct {
			Profiles []awsauth.ListEntry `json:"profiles"`
			Problems []awsauth.Problem   `json:"problems,omitempty"`
		}{entries, problems})
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PROFILE\tCHAIN\tROLE\tSTATE\tLEFT\tREADABLE BY")
	for _, e := range entries {
		left := "-"
		if e.Expires != nil {
			left = time.Until(*e.Expires).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Profile, or(strings.Join(e.Chain, " → "), "-"), or(e.Role, "-"), e.State, left, or(e.Readable, "-"))
		if e.Detail != "" {
			fmt.Fprintf(w, "  %s\n", e.Detail)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range problems {
		if p.Warning { // errors are shown with their profile
			fmt.Fprintf(c.App.Writer, "warning: %s\n", p)
		}
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func awsauthEnv(c *cli.Context) error {
	profile, err := oneArg(c)
	if err != nil {
		return err
	}
	vars, err := awsauth.Reader{Dirs: c.StringSlice("aws-dir")}.Environment(profile, c.Bool("keys"))
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.App.Writer, awsauth.ShellExports(vars))
	return err
}

func awsauthExec(c *cli.Context) error {
	args := c.Args().Slice()
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 {
		return errors.New("awsauth: usage: awsauth exec PROFILE -- COMMAND [ARG …]")
	}
	vars, err := awsauth.Reader{Dirs: c.StringSlice("aws-dir")}.Environment(args[0], c.Bool("keys"))
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		return &codeError{exitNotFound, fmt.Errorf("awsauth: %w", err)}
	}
	if err := syscall.Exec(path, args[1:], awsauth.ApplyEnv(os.Environ(), vars)); err != nil {
		return &codeError{exitNotStarted, fmt.Errorf("awsauth: %s: %w", path, err)}
	}
	return nil
}

func awsauthDoctor(c *cli.Context) error {
	rep := awsauth.Reader{Dirs: c.StringSlice("aws-dir")}.Doctor()
	if c.Bool("json") {
		if err := printJSON(c.App.Writer, rep); err != nil {
			return err
		}
	} else {
		w := c.App.Writer
		fmt.Fprintf(w, "AWS_PROFILE %s: tools started here would act as\n", or(rep.Profile, "is not set"))
		for _, t := range rep.Tools {
			mark := "    "
			if t.Wrong {
				mark = "  ! "
			}
			fmt.Fprintf(w, "%s%s: %s (%s)\n", mark, t.Tools, t.Role, t.Via)
		}
		for _, k := range rep.Checks {
			fmt.Fprintf(w, "%-4s %-10s %s\n", k.Level, k.ID, k.Text)
			if k.Remedy != "" {
				fmt.Fprintf(w, "     %-10s → %s\n", "", k.Remedy)
			}
		}
	}
	if rep.Failed() {
		return &codeError{code: exitFailure}
	}
	return nil
}

func oneArg(c *cli.Context) (string, error) {
	if c.Args().Len() != 1 {
		return "", fmt.Errorf("awsauth: usage: awsauth %s %s", c.Command.Name, c.Command.ArgsUsage)
	}
	return c.Args().First(), nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
