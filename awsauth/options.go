package awsauth

import (
	"log/slog"
	"time"
)

// Timing holds the Keeper's durations; zero values take the defaults.
type Timing struct {
	First   time.Duration // bound of the first round, 20 s
	Attempt time.Duration // bound of one STS call, 15 s
	Base    time.Duration // first retry is within this, 1 s; doubles
	Cap     time.Duration // retries are at most this far apart, 60 s
	Denied  time.Duration // after a refusal that waiting does not cure, 5 min
	Start   time.Duration // the first call waits at random up to this, 300 ms
	Poll    time.Duration // token and config files are looked at, 10 s
	Sweep   time.Duration // directories are looked through, 30 s
	Early   time.Duration // taken off the expiry in process files, 5 min
	// Warn lists the remaining lifetimes at which a failing refresh is warned
	// of again, falling: 20, 15, 5 min.
	Warn []time.Duration
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.First, 20*time.Second)
	def(&t.Attempt, 15*time.Second)
	def(&t.Base, time.Second)
	def(&t.Cap, time.Minute)
	def(&t.Denied, 5*time.Minute)
	def(&t.Start, 300*time.Millisecond)
	def(&t.Poll, 10*time.Second)
	def(&t.Sweep, 30*time.Second)
	def(&t.Early, 5*time.Minute)
	if t.Warn == nil {
		t.Warn = []time.Duration{20 * time.Minute, 15 * time.Minute, 5 * time.Minute}
	}
	return t
}

// Options say what to resolve and where to write it.
type Options struct {
	// ConfigFile is the shared config; "" takes AWS_CONFIG_FILE, then "config" in
	// a Dir, then HOME/.aws/config. Only a file named here must exist.
	ConfigFile string
	// CredentialsFile; "" takes AWS_SHARED_CREDENTIALS_FILE, then HOME/.aws/credentials.
	CredentialsFile string
	// Profiles to resolve; empty takes all. "-" is the identity without a profile.
	Profiles []string
	Dirs     []Dir
	Share    Share
	GID      int // with ShareGroup; < 0 takes the directory's
	// WriteConfig also writes the generated config as DIR/config, if that is
	// missing, empty or ours.
	WriteConfig bool
	// ProcessCommand precedes the path in credential_process lines; "cat".
	ProcessCommand   string
	AllowEnvironment bool
	// Duration asks for longer sessions of web identity roles (15 min … 12 h);
	// 0 leaves it to STS (1 h).
	Duration time.Duration
	// Parallel bounds the STS calls at a time; 4.
	Parallel int
	Timing   Timing
	Log      *slog.Logger // nil discards
	Env      Env          // nil takes the process environment
	Issuer   Issuer       // nil asks AWS
}
