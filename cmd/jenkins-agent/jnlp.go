package main

import (
	"context"
	"crypto/aes"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/awsauth"
	"github.com/footman-ci/footman/remoting/transport"
)

// -jnlpUrl, deprecated for years and still in many start scripts, names a file
// of the controller whose <argument> elements are a command line:
//
//	GET …/jenkins-agent.jnlp?encrypt=true ─▶ 16 bytes IV, AES/CFB8 ─▶ XML ─▶ arguments
//
// The key is the first half of the secret, which a reader has to know already.

const (
	jnlpRetry = 10 * time.Second
	maxJNLP   = 1 << 20 // bytes; real ones are a kilobyte
)

// jnlpArguments replaces -jnlpUrl in a command line by what the file says.
// What stands on the command line itself comes later and wins.
func jnlpArguments(ctx context.Context, c *cli.Context, args []string, log *slog.Logger) ([]string, error) {
	tlsConfig, err := transport.TLSOptions{Certificates: c.StringSlice("cert"), NoCertificateCheck: c.Bool("noCertificateCheck")}.Config()
	if err != nil {
		return nil, err
	}
	j := jnlp{client: httpClient(tlsConfig), url: c.String("jnlpUrl"), secret: c.String("secret"), credentials: c.String("credentials")}
	var patience time.Duration
	if d := c.String("noReconnectAfter"); d != "" {
		if patience, err = parseDuration(d); err != nil {
			return nil, err
		}
	}
	if _, inAWS, _ := awsauth.ParseSecretRef(j.secret); inAWS {
		return nil, usagef("a -secret in AWS can't be used with -jnlpUrl; use -url and -name")
	}
	if j.secret != "" && j.credentials != "" {
		return nil, usagef("-jnlpCredentials and -secret are mutually exclusive")
	}
	for start := time.Now(); ; {
		found, err := j.fetch(ctx)
		if err == nil {
			return append(found, without(c.App, args, "jnlpUrl", "secret")...), nil
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case c.Bool("noReconnect") || errors.As(err, new(*jnlpError)):
			return nil, fmt.Errorf("failed to obtain %s: %w", j.url, err)
		case patience > 0 && time.Since(start) >= patience:
			return nil, fmt.Errorf("failed to obtain %s after %s: %w", j.url, patience, err)
		}
		wait := jnlpRetry
		if patience > 0 {
			wait = max(0, min(wait, patience-time.Since(start)))
		}
		log.Warn("Could not obtain the JNLP file; trying again", "in", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// without drops options and their values.
func without(app *cli.App, args []string, names ...string) []string {
	options, positional := sortArguments(app, args)
	var out []string
	for i := 0; i < len(options); i++ {
		drop := false
		for _, n := range names {
			drop = drop || optionName(options[i]) == n
		}
		switch {
		case !drop:
			out = append(out, options[i])
		case !strings.Contains(options[i], "="):
			i++
		}
	}
	return append(out, positional...)
}

type jnlp struct {
	client                   *http.Client
	url, secret, credentials string
}

// jnlpError is an answer that will not become better by asking again.
type jnlpError struct{ msg string }

func (e *jnlpError) Error() string { return e.msg }

func (j *jnlp) fetch(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	address := j.url
	if j.secret != "" {
		address += "?encrypt=true"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &jnlpError{fmt.Sprintf("-jnlpUrl %q is no URL", j.url)}
	}
	if user, password, ok := strings.Cut(j.credentials, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the controller answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJNLP+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxJNLP {
		return nil, &jnlpError{fmt.Sprintf("it is bigger than %d bytes: no JNLP file", maxJNLP)}
	}
	if j.secret != "" {
		if body, err = decryptJNLP(body, j.secret); err != nil {
			return nil, err
		}
	}
	args, err := parseJNLP(body)
	if err != nil && j.secret != "" {
		err = &jnlpError{"failed to decrypt the JNLP file. Invalid secret key?"}
	}
	return args, err
}

// decryptJNLP undoes jenkins.slaves.EncryptedSlaveAgentJnlpFile.
func decryptJNLP(b []byte, secret string) ([]byte, error) {
	key, err := hex.DecodeString(secret[:min(len(secret), 2*aes.BlockSize)])
	if err != nil || len(key) != aes.BlockSize {
		return nil, &jnlpError{"the secret is not made of hex digits"}
	}
	if len(b) < aes.BlockSize {
		return nil, &jnlpError{"it is too short for an encrypted JNLP file"}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	// CFB8: each byte is covered by the first byte of the encrypted register,
	// which then takes in the byte as it was on the wire.
	register, pad := append([]byte(nil), b[:aes.BlockSize]...), make([]byte, aes.BlockSize)
	out := make([]byte, len(b)-aes.BlockSize)
	for i, c := range b[aes.BlockSize:] {
		block.Encrypt(pad, register)
		out[i] = c ^ pad[0]
		register = append(register[1:], c)
	}
	return out, nil
}

// parseJNLP returns the arguments in the file.
func parseJNLP(b []byte) ([]string, error) {
	bad := &jnlpError{"it does not look like a JNLP file"}
	var args []string
	depth := 0
	for d := xml.NewDecoder(strings.NewReader(string(b))); ; {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, bad
		}
		switch t := t.(type) {
		case xml.StartElement:
			depth++
			if t.Name.Local == "argument" {
				var text string
				if err := d.DecodeElement(&text, &t); err != nil {
					return nil, bad
				}
				depth--
				args = append(args, text)
			}
		case xml.Directive:
			return nil, bad // no DOCTYPE
		}
	}
	if depth == 0 || len(args) == 0 {
		return nil, bad
	}
	return args, nil
}
