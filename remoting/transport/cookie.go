package transport

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
)

// CookieStore remembers the connection cookie. The controller hands it out on
// the first connection; whoever presents it again is taken for the same agent
// coming back, so a stale connection is dropped instead of refusing us. It must
// be safe for several goroutines.
type CookieStore interface {
	// Cookie returns the stored cookie, "" when there is none.
	Cookie() string
	// SetCookie stores a cookie; "" forgets it.
	SetCookie(string)
}

// Cookies is a CookieStore in memory; the zero value is empty and ready.
type Cookies struct {
	mu    sync.Mutex
	value string // guarded by mu
}

// Cookie returns the stored cookie, "" when there is none.
func (c *Cookies) Cookie() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// SetCookie stores a cookie; "" forgets it.
func (c *Cookies) SetCookie(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = value
}

// maxCookie is in characters; the real ones have 64.
const maxCookie = 1024

// validCookie: the controller decodes the cookie from hex and answers 500 when
// that fails (WebSocketAgents.doIndex), so nothing else must ever be sent.
func validCookie(s string) bool {
	return s != "" && len(s) <= maxCookie && len(s)%2 == 0 &&
		strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// usableCookie is the stored cookie if it can be sent.
func usableCookie(store CookieStore) string {
	if store == nil {
		return ""
	}
	if c := store.Cookie(); validCookie(c) {
		return c
	}
	return ""
}

func rememberCookie(store CookieStore, cookie string) {
	if store != nil {
		store.SetCookie(cookie)
	}
}

// newCookie looks like a controller's: 32 random bytes in hex
// (JnlpAgentReceiver.generateCookie).
func newCookie() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
