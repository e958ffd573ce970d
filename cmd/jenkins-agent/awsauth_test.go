package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// runAWS runs `jenkins-agent awsauth ARGS` in this process.
func runAWS(t *testing.T, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	app := cli.NewApp()
	app.Writer, app.ErrWriter = &out, &errOut
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.Commands = []*cli.Command{awsauthCommand()}
	err = app.RunContext(t.Context(), append([]string{"jenkins-agent", "awsauth"}, args...))
	return out.String(), errOut.String(), err
}

func awsPod(t *testing.T) (home string) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		if strings.HasSuffix(form.Get("RoleArn"), "/refused") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>`)
			return
		}
		fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>topsecret</SecretAccessKey><SessionToken>ses</SessionToken><Expiration>%[2]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			form.Get("Action"), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(srv.Close)
	home = t.TempDir()
	token := filepath.Join(home, "token")
	require.NoError(t, os.WriteFile(token, []byte("a.b.c"), 0o600))
	config := "[profile prod]\nrole_arn = arn:aws:iam::111111111111:role/ci\nweb_identity_token_file = " + token +
		"\n[profile nonprod]\nrole_arn = arn:aws:iam::222222222222:role/deploy\nsource_profile = prod\n" +
		"[profile no]\nrole_arn = arn:aws:iam::222222222222:role/refused\nsource_profile = prod\n"
	require.NoError(t, os.WriteFile(filepath.Join(home, "config"), []byte(config), 0o600))
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("AWS_ENDPOINT_URL_STS", srv.URL)
	t.Setenv("AWS_REGION", "eu-west-1")
	return home
}

func TestAWSAuthOnceAndUse(t *testing.T) {
	home := awsPod(t)
	config := filepath.Join(home, "config")
	out, log, err := runAWS(t, "--once", "--config", config, "--aws-profiles", "prod,nonprod")
	require.NoError(t, err, log)
	require.Contains(t, out, "nonprod: arn:aws:iam::222222222222:role/deploy until ")
	require.NotContains(t, out+log, "topsecret")

	out, _, err = runAWS(t, "get", "nonprod")
	require.NoError(t, err)
	require.Contains(t, out, `"Version":1`)

	out, _, err = runAWS(t, "env", "nonprod")
	require.NoError(t, err)
	require.Contains(t, out, "export AWS_ROLE_ARN=''\n")
	require.Contains(t, out, "export AWS_PROFILE='nonprod'\n")

	out, _, err = runAWS(t, "list", "--config", config)
	require.NoError(t, err)
	require.Contains(t, out, "prod (token) → nonprod")

	out, _, err = runAWS(t, "list", "--json", "--config", config)
	require.NoError(t, err)
	require.True(t, json.Valid([]byte(out)))

	out, _, err = runAWS(t, "cat", filepath.Join(home, ".aws", "agent", "prod.json"))
	require.NoError(t, err)
	require.Contains(t, out, "ASIA1")

	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, ".aws", "agent", "config"))
	t.Setenv("AWS_PROFILE", "nonprod")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	out, _, err = runAWS(t, "doctor")
	require.NoError(t, err, out)
	require.Contains(t, out, "Java, JavaScript: arn:aws:iam::222222222222:role/deploy (file of the agent)")
	out, _, err = runAWS(t, "doctor", "--json")
	require.NoError(t, err)
	require.True(t, json.Valid([]byte(out)))
}

func TestAWSAuthFails(t *testing.T) {
	home := awsPod(t)
	_, _, err := runAWS(t, "--once", "--config", filepath.Join(home, "config"))
	require.ErrorContains(t, err, "profile no: assume role arn:aws:iam::222222222222:role/refused (STS in eu-west-1): AccessDenied")
	require.FileExists(t, filepath.Join(home, ".aws", "agent", "nonprod.json"), "the others are written")

	_, log, err := runAWS(t, "--once", "--non-fatal", "--config", filepath.Join(home, "config"))
	require.NoError(t, err)
	require.Contains(t, log, "AccessDenied")

	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111111111111:role/ci")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(home, "token"))
	t.Setenv("AWS_PROFILE", "nonprod")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(home, "config"))
	out, _, err := runAWS(t, "doctor")
	var said bytes.Buffer
	require.Equal(t, exitFailure, exitCode(err, &said))
	require.Empty(t, said.String(), "the lines above are enough")
	require.Contains(t, out, "! Go, Terraform, Java: arn:aws:iam::111111111111:role/ci (IRSA variables)")

	_, _, err = runAWS(t, "exec", "nonprod", "--", "no-such-command-here")
	require.Equal(t, exitNotFound, exitCode(err, io.Discard))

	for want, args := range map[string][]string{
		"usage: awsauth exec":        {"exec", "prod"},
		"not found":                  {"exec", "prod", "--", "no-such-command-here"},
		"usage: awsauth get PROFILE": {"get"},
		"unknown subcommand":         {"lst"},
		"use auto, group":            {"--once", "--aws-share", "everyone"},
		"has no credentials now":     {"env", "no"},
		"config: open":               {"--once", "--config", "/nonexistent/config"},
	} {
		_, _, err := runAWS(t, args...)
		require.ErrorContains(t, err, want)
	}
}
