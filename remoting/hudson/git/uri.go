package git

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// URI is an address of a repository as org.eclipse.jgit.transport.URIish has
// it: a URL, a path, or SSH's user@host:path. Scheme, User, Pass and Host are
// "" where Java has null.
type URI struct {
	Scheme, User, Pass, Host string
	Port                     int // ≤ 0 for none
	Path, RawPath            string
}

const (
	userPart = `(?:([^/:]+)(?::([^\\/]+))?@)?`
	hostPart = `((?:[^\\/:]+)|(?:\[[0-9a-f:]+\]))`
	homePart = `(?:/~(?:[^\\/]+))`
	relPart  = `(?:(?:[^\\/]+[\\/]+)*[^\\/]*)`
	pathPart = `((?:[A-Za-z]:)?[\\/]?` + relPart + `)`
)

// The forms that URIish tries, in its order.
var (
	fileForm        = regexp.MustCompile(`^(file):([\\/]` + pathPart + `)$`)
	fullForm        = regexp.MustCompile(`^([a-z][a-z0-9+-]+)://(?:` + userPart + hostPart + `(?::(\d*))?(` + homePart + `?(?:[\\/])|$))?(.+)?$`)
	relativeSCPForm = regexp.MustCompile(`^` + userPart + hostPart + `:((?:` + homePart + `[\\/])?` + relPart + `)$`)
	absoluteSCPForm = regexp.MustCompile(`^` + userPart + `([^\\/:]{2,}):([\\/]` + relPart + `)$`)
	localForm       = regexp.MustCompile(`^([\\/]?` + pathPart + `)$`)
)

var errURI = errors.New("git: this is no address of a repository")

// ParseURI reads what new URIish(s) reads. The error does not repeat s, which
// may hold a password.
func ParseURI(s string) (*URI, error) {
	if s == "" {
		return nil, errURI
	}
	// "file:/path" but not "file://path".
	if m := fileForm.FindStringSubmatch(s); m != nil && !(len(m[2]) > 1 && (m[2][1] == '/' || m[2][1] == '\\')) {
		return (&URI{Scheme: m[1]}).withRawPath(m[2])
	}
	if m := fullForm.FindStringSubmatch(s); m != nil {
		u := &URI{Scheme: m[1]}
		var e [3]error
		u.User, e[0] = unescape(m[2])
		u.Pass, e[1] = unescape(m[3])
		u.Host, e[2] = unescape(m[4])
		if err := errors.Join(e[:]...); err != nil {
			return nil, err
		}
		if m[5] != "" {
			n, err := strconv.ParseInt(m[5], 10, 32)
			if err != nil {
				return nil, errURI
			}
			u.Port = int(n)
		}
		return u.withRawPath(m[6] + m[7])
	}
	for _, form := range []*regexp.Regexp{relativeSCPForm, absoluteSCPForm} {
		if m := form.FindStringSubmatch(s); m != nil {
			return &URI{User: m[1], Pass: m[2], Host: m[3], Path: m[4], RawPath: m[4]}, nil
		}
	}
	if localForm.MatchString(s) {
		return &URI{Path: s, RawPath: s}, nil
	}
	return nil, errURI
}

// withRawPath takes a leading slash off a drive letter or a home directory.
func (u *URI) withRawPath(p string) (*URI, error) {
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	if len(p) >= 3 && p[0] == '/' && p[2] == ':' && letter(p[1]) || len(p) >= 2 && p[0] == '/' && p[1] == '~' {
		p = p[1:]
	}
	var err error
	u.RawPath = p
	u.Path, err = unescape(p)
	return u, err
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errURI
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errURI
		}
		b = append(b, byte(n))
		i += 2
	}
	if !utf8.Valid(b) { // JGit takes it for ISO 8859-1 then
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), nil
	}
	return string(b), nil
}

// escape writes as %xx what a URI can't hold.
func escape(s string, reserved, ascii bool) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= 32 || ascii && c > 127 || c == '%' || reserved && strings.IndexByte("!*'();:@&=+$,/?#[]", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (u *URI) format(password, ascii bool) string {
	var b strings.Builder
	if u.Scheme != "" {
		b.WriteString(u.Scheme + "://")
	}
	if u.User != "" {
		b.WriteString(escape(u.User, true, ascii))
		if password && u.Pass != "" {
			b.WriteString(":" + escape(u.Pass, true, ascii))
		}
	}
	if u.Host != "" {
		if u.User != "" {
			b.WriteByte('@')
		}
		b.WriteString(escape(u.Host, false, ascii))
		if u.Scheme != "" && u.Port > 0 {
			b.WriteString(":" + strconv.Itoa(u.Port))
		}
	}
	switch {
	case u.Scheme == "":
		if u.Host != "" {
			b.WriteByte(':')
		}
		b.WriteString(u.Path)
	default:
		if u.Path != "" && u.Path[0] != '/' {
			b.WriteByte('/')
		}
		if ascii {
			b.WriteString(escape(u.Path, false, true))
		} else {
			b.WriteString(u.RawPath)
		}
	}
	return b.String()
}

// String is the address without the password.
func (u *URI) String() string { return u.format(false, false) }

// Private is the address with the password, by which credentials are kept.
func (u *URI) Private() string { return u.format(true, false) }

// PrivateASCII is what git is given.
func (u *URI) PrivateASCII() string { return u.format(true, true) }

// Remote tells whether a host is named.
func (u *URI) Remote() bool { return u.Host != "" }
