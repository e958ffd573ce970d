package hold

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The token is the pod's: whoever can read it may run commands in its
// containers. It never crosses the socket. Both ends prove that they know it,
// each over both nonces, so a socket that somebody else has put there learns
// nothing and gets no environment to see.
const (
	roleCaller = "caller"
	roleHold   = "hold"
	tokenBytes = 32
)

func newNonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func proof(token []byte, role, holdNonce, callerNonce string) string {
	m := hmac.New(sha256.New, token)
	m.Write([]byte("footman hold 1\x00" + role + "\x00" + holdNonce + "\x00" + callerNonce))
	return hex.EncodeToString(m.Sum(nil))
}

func proven(token []byte, role, holdNonce, callerNonce, got string) bool {
	return hmac.Equal([]byte(proof(token, role, holdNonce, callerNonce)), []byte(got))
}

// errNoToken means that no caller has made the token yet.
var errNoToken = errors.New("hold: the pod has no token yet")

// readToken reads the pod's token.
func (p Place) readToken() ([]byte, error) {
	b, err := readSmall(p.tokenFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoToken
	case err != nil:
		return nil, fmt.Errorf("hold: token: %w", err)
	}
	token, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(token) != tokenBytes {
		return nil, fmt.Errorf("hold: %s does not hold a token; remove it and start the agent again", p.tokenFile())
	}
	return token, nil
}

// EnsureToken makes the token if there is none. Callers do that, so that it is
// the agent's; a hold only reads it, which root may anyway. It is readable to its
// owner and to the group of the directory: the pod's fsGroup, where there is one.
func (p Place) EnsureToken() error {
	if _, err := p.readToken(); !errors.Is(err, errNoToken) {
		return err
	}
	if err := p.MakeDir(); err != nil {
		return err
	}
	f, err := os.CreateTemp(p.Dir(), ".token-*") // 0600
	if err != nil {
		return fmt.Errorf("hold: token: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var b [tokenBytes]byte
	rand.Read(b[:])
	if _, err := fmt.Fprintln(f, hex.EncodeToString(b[:])); err != nil {
		return fmt.Errorf("hold: token: %w", err)
	}
	if err := f.Chmod(0o640); err != nil {
		return fmt.Errorf("hold: token: %w", err)
	}
	// A link does not replace, so of two callers at once one wins.
	if err := os.Link(f.Name(), p.tokenFile()); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("hold: token: %w", err)
	}
	return nil
}

func (p Place) tokenFile() string { return filepath.Join(p.Dir(), "token") }

// prepareToken makes the token where holds are, if there is none; it reports
// whether the token is so new that holds may not have seen it. Errors come up
// again when the token is read.
func (p Place) prepareToken() (fresh bool) {
	if st, err := os.Stat(p.Dir()); err != nil || !st.IsDir() {
		return false
	}
	_ = p.EnsureToken()
	st, err := os.Lstat(p.tokenFile())
	return err == nil && time.Since(st.ModTime()) < admitTime
}
