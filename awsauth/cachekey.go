package awsauth

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// CacheArgs are the parts of an AssumeRole call that the AWS CLI makes the name
// of its cache file of (botocore.credentials, CachedCredentialFetcher and its
// subclasses). Empty strings and a zero Duration are left out, as they are when
// not configured.
type CacheArgs struct {
	RoleARN     string
	SessionName string // only if configured; a generated name is never part of the key
	ExternalID  string
	Serial      string // mfa_serial
	Duration    *int   // duration_seconds as configured, even where STS gives less
	// Token is the exact text of the web identity token file, with its newline
	// if it has one. Only CLI v1 from 1.46 on has it in the key.
	Token string
}

// Key is the cache file's name without ".json": the SHA-1, in hex, of Python's
// json.dumps(args, sort_keys=True).
func (a CacheArgs) Key() string {
	sum := sha1.Sum([]byte(a.pythonJSON()))
	return hex.EncodeToString(sum[:])
}

func (a CacheArgs) pythonJSON() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, pythonString(name)+": "+pythonString(value))
		}
	}
	add("RoleArn", a.RoleARN)
	add("RoleSessionName", a.SessionName)
	add("ExternalId", a.ExternalID)
	add("SerialNumber", a.Serial)
	add("WebIdentityToken", a.Token)
	if a.Duration != nil {
		parts = append(parts, `"DurationSeconds": `+strconv.Itoa(*a.Duration))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ", ") + "}"
}

// pythonString writes s as Python's json module does with ensure_ascii: only
// printable ASCII stays, nothing is escaped for HTML, and characters above the
// basic plane become two surrogates. encoding/json differs in all three.
func pythonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			// Python reads a stray byte as a lone surrogate (surrogateescape).
			fmt.Fprintf(&b, `\udc%02x`, s[i])
			i++
			continue
		}
		i += n
		switch {
		case r == '"':
			b.WriteString(`\"`)
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
