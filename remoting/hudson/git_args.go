package hudson

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

// gitArgs reads the arguments of a method, or of the calls of a builder. The
// first that is not what it should be is kept in err.
type gitArgs struct {
	v    []jser.Value
	call *remoting.Call
	err  error
}

func (a *gitArgs) bad(i int, err error) {
	if a.err == nil {
		a.err = fmt.Errorf("argument %d: %w", i+1, err)
	}
}

func (a *gitArgs) at(i int) jser.Value {
	if i >= len(a.v) {
		a.bad(i, errors.New("is missing"))
		return nil
	}
	return jser.Unbox(a.v[i])
}

// refusal is the exception for arguments that can't be read.
func (a *gitArgs) refusal(what string) error {
	return remoting.Errorf(remoting.UnsupportedOperationClass, "footman: %s with %v %s", what, a.err, gitWaysOut)
}

// gitArg reads an argument; null is the zero value.
func gitArg[T any](a *gitArgs, i int) (zero T) {
	v := a.at(i)
	if v == nil {
		return zero
	}
	x, ok := v.(T)
	if !ok {
		a.bad(i, fmt.Errorf("which is %s", jser.Describe(v)))
	}
	return x
}

func (a *gitArgs) str(i int) string          { return gitArg[string](a, i) }
func (a *gitArgs) bool(i int) bool           { return gitArg[bool](a, i) }
func (a *gitArgs) object(i int) *jser.Object { return gitArg[*jser.Object](a, i) }

// integer is nil for null.
func (a *gitArgs) integer(i int) *int {
	v, ok := a.at(i).(int32)
	if !ok {
		_ = gitArg[int32](a, i)
		return nil
	}
	n := int(v)
	return &n
}

// text is nil for null.
func (a *gitArgs) text(i int) *string {
	s := a.str(i)
	if a.at(i) == nil {
		return nil
	}
	return &s
}

const objectIDClass = "org.eclipse.jgit.lib.ObjectId"

// id reads an ObjectId, nil for null.
func (a *gitArgs) id(i int) *git.ID {
	o := a.object(i)
	if o == nil {
		return nil
	}
	id, err := gitID(o)
	if err != nil {
		a.bad(i, err)
	}
	return &id
}

// mustID is an ObjectId that must not be null.
func (a *gitArgs) mustID(i int) git.ID {
	if id := a.id(i); id != nil {
		return *id
	}
	a.bad(i, errors.New("which is null"))
	return git.ID{}
}

func gitID(o *jser.Object) (id git.ID, err error) {
	if o != nil && o.Class.Is(objectIDClass) {
		for _, x := range o.Extra(objectIDClass) {
			if b, ok := x.(jser.Block); ok && copy(id[:], b) == len(id) {
				return id, nil
			}
		}
	}
	return id, &jser.TypeError{Want: "an ObjectId", Got: o}
}

// uri reads a URIish, nil for null.
func (a *gitArgs) uri(i int) *git.URI {
	o := a.object(i)
	if o == nil {
		return nil
	}
	if o.Class.Name != "org.eclipse.jgit.transport.URIish" {
		a.bad(i, fmt.Errorf("which is %s", o.Class))
	}
	return &git.URI{Scheme: o.Str("scheme"), User: o.Str("user"), Pass: o.Str("pass"), Host: o.Str("host"), Port: int(o.Int("port")),
		Path: o.Str("path"), RawPath: o.Str("rawPath")}
}

// refspecs reads a List of RefSpec, nil for null.
func (a *gitArgs) refspecs(i int) []string {
	list, err := jser.List(a.at(i))
	if err != nil {
		a.bad(i, err)
	}
	if list == nil {
		return nil
	}
	specs := []string{}
	for _, v := range list {
		o, _ := v.(*jser.Object)
		if o == nil {
			continue
		}
		if o.Class.Name != "org.eclipse.jgit.transport.RefSpec" {
			a.bad(i, fmt.Errorf("which has %s", o.Class))
		}
		specs = append(specs, refSpec(o))
	}
	return specs
}

// refSpec is RefSpec.toString.
func refSpec(o *jser.Object) string {
	var b strings.Builder
	switch {
	case o.Bool("force"):
		b.WriteByte('+')
	case o.Bool("negative"):
		b.WriteByte('^')
	}
	if o.Bool("matching") {
		b.WriteByte(':')
		return b.String()
	}
	b.WriteString(o.Str("srcName"))
	if dst, ok := o.Get("dstName").(string); ok {
		b.WriteString(":" + dst)
	}
	return b.String()
}

// paths reads a List of strings, or Guava's view of one of SparseCheckoutPath
// that the extension SparseCheckoutPaths makes.
func (a *gitArgs) paths(i int) []string {
	v := a.at(i)
	const view, path = "com.google.common.collect.Lists$Transforming", "hudson.plugins.git.extensions.impl.SparseCheckoutPath"
	o, ok := v.(*jser.Object)
	if !ok || !strings.HasPrefix(o.Class.Name, view) {
		list, err := jser.Strings(v)
		if err != nil {
			a.bad(i, err)
		}
		return list
	}
	list, err := jser.List(o.Get("fromList"))
	if err == nil && jser.Name(o.Get("function")) != path+"$SparseCheckoutPathToPath" {
		err = fmt.Errorf("a list made by %q", jser.Name(o.Get("function")))
	}
	var paths []string
	for _, v := range list {
		p, ok := v.(*jser.Object)
		if !ok || p.Class.Name != path {
			err = fmt.Errorf("a list of %q", jser.Name(v))
			break
		}
		paths = append(paths, p.Str("path"))
	}
	if err != nil {
		a.bad(i, err)
	}
	return paths
}

// secret is the text of a hudson.util.Secret, "" for null.
func secret(o *jser.Object) string {
	if o == nil {
		return ""
	}
	return o.Str("value")
}

// credentials reads a snapshot of credentials, nil for null. Those of another
// class may ask the controller for a password, or make one.
func (a *gitArgs) credentials(i int) *git.Credentials {
	o := a.object(i)
	if o == nil {
		return nil
	}
	c := &git.Credentials{Description: o.Str("description"), Username: o.Str("username")}
	const ssh = "com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey"
	switch o.Class.Name {
	case "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl":
		c.Password = secret(o.Obj("password"))
	case "org.jenkinsci.plugins.github_branch_source.GitHubAppCredentials$DelegatingGitHubAppCredentials":
		// It comes with a token for an hour, and a new one each time; the plugin
		// could ask for one on the way, too.
		token := o.Obj("cachedToken")
		if token == nil || token.Long("expirationEpochSeconds") <= 0 || secret(token.Obj("token")) == "" {
			a.bad(i, errors.New("a GitHub App that has no token"))
			return nil
		}
		c.Username, c.Password = o.Str("appID"), secret(token.Obj("token"))
		c.Expires = time.Unix(token.Long("expirationEpochSeconds"), 0)
	case ssh:
		source := o.Obj("privateKeySource")
		if source == nil || source.Class.Name != ssh+"$DirectEntryPrivateKeySource" {
			a.bad(i, errors.New("a private key that is elsewhere"))
			return nil
		}
		c.SSH, c.Passphrase = true, secret(o.Obj("passphrase"))
		for _, k := range strings.FieldsFunc(secret(source.Obj("privateKey")), func(r rune) bool { return r == '\f' }) {
			c.Keys = append(c.Keys, strings.TrimSuffix(k, "\n")+"\n")
		}
	default:
		a.bad(i, fmt.Errorf("credentials of the class %s", o.Class))
	}
	return c
}

// proxy reads a hudson.ProxyConfiguration, nil for null.
func (a *gitArgs) proxy(i int) *git.Proxy {
	o := a.object(i)
	if o == nil {
		return nil
	}
	p := &git.Proxy{Host: o.Str("name"), Port: int(o.Int("port")), Username: o.Str("userName"), Password: secret(o.Obj("secretPassword"))}
	if p.Password == "" && o.Str("password") != "" {
		a.bad(i, errors.New("the password of a proxy in an old form"))
	}
	for _, pattern := range strings.FieldsFunc(o.Str("noProxyHost"), func(r rune) bool { return strings.ContainsRune(" \t\n,|", r) }) {
		re, err := regexp.Compile("^(?:" + strings.NewReplacer(".", `\.`, "*", ".*").Replace(pattern) + ")$")
		if err != nil {
			a.bad(i, errors.New("a pattern of hosts without a proxy"))
			continue
		}
		p.Except = append(p.Except, re)
	}
	return p
}

// branchNames reads the names of the branches of a Revision.
func (a *gitArgs) branchNames(i int) []string {
	o := a.object(i)
	if o == nil {
		a.bad(i, errors.New("which is null"))
		return nil
	}
	list, err := jser.List(o.Get("branches"))
	if err != nil {
		a.bad(i, err)
	}
	var names []string
	for _, v := range list {
		if b, ok := v.(*jser.Object); ok && b != nil {
			names = append(names, b.Str("name"))
		}
	}
	return names
}
