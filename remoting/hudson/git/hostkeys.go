package git

import (
	"os"
	"path/filepath"
)

// HostKeys says how ssh is to check who answers: a HostKeyVerifierFactory of
// git-client.
type HostKeys struct {
	Strategy HostKeyStrategy
	Approved string // lines of known_hosts, for HostKeysApproved
}

// HostKeyStrategy is one of git-client's.
type HostKeyStrategy int

// What "Git Host Key Verification Configuration" offers.
const (
	HostKeysKnown       HostKeyStrategy = iota // KnownHostsFileVerifier
	HostKeysAcceptFirst                        // AcceptFirstConnectionVerifier
	HostKeysApproved                           // ManuallyProvidedKeyVerifier
	HostKeysUnchecked                          // NoHostKeyVerifier
)

// hostKeyOptions is what ssh is given, ready for a shell.
func (c *Client) hostKeyOptions(f *secretFiles) (string, error) {
	switch c.HostKeys.Strategy {
	case HostKeysUnchecked:
		return "-o StrictHostKeyChecking=no", nil
	case HostKeysAcceptFirst:
		c.Log.Println("Verifying host key using known hosts file, will automatically accept unseen keys")
		return "-o StrictHostKeyChecking=accept-new", nil
	case HostKeysApproved:
		known := f.write("known_hosts*", 0o600, c.HostKeys.Approved+"\n")
		c.Log.Println("Verifying host key using manually-configured host key entries")
		// The double quotes are for ssh, which splits the value at blanks.
		return `-o StrictHostKeyChecking=yes -o UserKnownHostsFile=\"` + quote(known) + `\"`, f.err
	}
	c.Log.Println("Verifying host key using known hosts file")
	home, err := os.UserHomeDir()
	if err == nil {
		_, err = os.Stat(filepath.Join(home, ".ssh", "known_hosts"))
	}
	if err != nil {
		c.Log.Println("You're using 'Known hosts file' strategy to verify ssh host keys, but your known_hosts file does not exist, please go to " +
			"'Manage Jenkins' -> 'Security' -> 'Git Host Key Verification Configuration' and configure host key verification.")
	}
	return "-o StrictHostKeyChecking=yes", nil
}
