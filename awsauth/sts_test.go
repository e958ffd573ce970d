package awsauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stsServer speaks the STS query protocol over HTTP.
func stsServer(t *testing.T, h func(w http.ResponseWriter, r *http.Request, form url.Values)) *SDKIssuer {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		h(w, r, form)
	}))
	t.Cleanup(srv.Close)
	s, err := NewSDKIssuer(envOf(map[string]string{"AWS_ENDPOINT_URL_STS": srv.URL, "AWS_ENDPOINT_URL": "http://wrong.invalid"}))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func stsError(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>told so</Message></Error><RequestId>x</RequestId></ErrorResponse>`, code)
}

func stsGrant(w http.ResponseWriter, form url.Values, expires time.Time) {
	op := form.Get("Action")
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>arn:aws:sts::111111111111:assumed-role/r/%[2]s</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>sec</SecretAccessKey><SessionToken>ses</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		op, form.Get("RoleSessionName"), stsTime(expires))
}

func TestSDKIssuer(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var got url.Values
	var auth string
	s := stsServer(t, func(w http.ResponseWriter, r *http.Request, form url.Values) {
		got, auth = form, r.Header.Get("Authorization")
		w.Header().Set("Date", time.Now().Add(-3*time.Minute).UTC().Format(http.TimeFormat))
		stsGrant(w, form, end)
	})
	g, err := s.Issue(t.Context(), Request{Kind: KindWebIdentity, RoleARN: arnProd, SessionName: "s1", Token: "a.b.c", Region: "eu-west-1"})
	require.NoError(t, err)
	require.Equal(t, "ASIA1", g.KeyID)
	require.Equal(t, "sec", g.secret)
	require.Equal(t, "ses", g.session)
	require.True(t, end.Equal(g.Expires))
	require.Equal(t, "111111111111", g.Account)
	require.Equal(t, "arn:aws:sts::111111111111:assumed-role/r/s1", g.AssumedRoleARN)
	require.InDelta(t, 180, g.skew().Seconds(), 3)
	require.Equal(t, "a.b.c", got.Get("WebIdentityToken"))
	require.False(t, got.Has("DurationSeconds"))
	require.Empty(t, auth, "not signed")

	_, err = s.Issue(t.Context(), Request{Kind: KindAssumeRole, RoleARN: arnNonprod, SessionName: "s2", ExternalID: "e", Seconds: 1800, Region: "eu-west-1", Source: g.Credentials})
	require.NoError(t, err)
	require.Equal(t, "1800", got.Get("DurationSeconds"))
	require.Equal(t, "e", got.Get("ExternalId"))
	require.Contains(t, auth, "Credential=ASIA1/")
	require.Contains(t, auth, "/eu-west-1/sts/")
}

func TestSDKIssuerErrors(t *testing.T) {
	for name, c := range map[string]struct {
		h     func(w http.ResponseWriter)
		code  string
		text  string
		retry bool
	}{
		"throttled":       {func(w http.ResponseWriter) { stsError(w, 400, "Throttling") }, "Throttling", "told so", true},
		"too many":        {func(w http.ResponseWriter) { stsError(w, 429, "Whatever") }, "Whatever", "told so", true},
		"denied":          {func(w http.ResponseWriter) { stsError(w, 403, "AccessDenied") }, "AccessDenied", "told so", false},
		"provider":        {func(w http.ResponseWriter) { stsError(w, 400, "IDPCommunicationError") }, "IDPCommunicationError", "", true},
		"bad token":       {func(w http.ResponseWriter) { stsError(w, 400, "InvalidIdentityToken") }, "InvalidIdentityToken", "", false},
		"expired token":   {func(w http.ResponseWriter) { stsError(w, 400, "ExpiredTokenException") }, "ExpiredTokenException", "", false},
		"internal":        {func(w http.ResponseWriter) { stsError(w, 500, "InternalFailure") }, "InternalFailure", "", true},
		"gateway's page":  {func(w http.ResponseWriter) { w.WriteHeader(502); fmt.Fprint(w, "<html>Bad Gateway</html>") }, "", "", true},
		"200 of a portal": {func(w http.ResponseWriter) { fmt.Fprint(w, "<html>log in</html>") }, "", "", true},
		"empty answer":    {func(http.ResponseWriter) {}, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := stsServer(t, func(w http.ResponseWriter, _ *http.Request, _ url.Values) { n++; c.h(w) })
			_, err := s.Issue(t.Context(), Request{Kind: KindWebIdentity, RoleARN: arnProd, SessionName: "s1", Token: "a." + secretMark + ".c", Region: "eu-west-1"})
			e, ok := errors.AsType[*IssueError](err)
			require.True(t, ok, "%v", err)
			if c.code != "" {
				require.Equal(t, c.code, e.Code)
			}
			require.Contains(t, e.Error(), c.text)
			require.Equal(t, c.retry, e.Retry, "%v", err)
			require.NotContains(t, err.Error(), secretMark)
			if c.code == "IDPCommunicationError" {
				require.LessOrEqual(t, n, 2, "the SDK itself repeats this one")
			} else {
				require.Equal(t, 1, n, "retries are the Keeper's")
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := l.Addr().String()
		l.Close()
		s, err := NewSDKIssuer(envOf(map[string]string{"AWS_ENDPOINT_URL": "http://" + addr}))
		require.NoError(t, err)
		_, err = s.Issue(t.Context(), Request{Kind: KindWebIdentity, RoleARN: arnProd, SessionName: "s1", Token: "t", Region: "x"})
		require.ErrorContains(t, err, "STS not reached: dial tcp "+addr)
		require.True(t, retryable(err))
	})
	t.Run("no answer", func(t *testing.T) {
		s := stsServer(t, func(_ http.ResponseWriter, r *http.Request, _ url.Values) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Issue(ctx, Request{Kind: KindWebIdentity, RoleARN: arnProd, SessionName: "s1", Token: "t", Region: "x"})
		require.ErrorContains(t, err, "did not answer in time")
		require.True(t, retryable(err))
	})
}

// TestSDKSkew: a clock far off is corrected from the answer and the call
// repeated once.
func TestSDKSkew(t *testing.T) {
	server := time.Now().Add(20 * time.Minute)
	n := 0
	s := stsServer(t, func(w http.ResponseWriter, r *http.Request, form url.Values) {
		n++
		w.Header().Set("Date", server.UTC().Format(http.TimeFormat))
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || at.Sub(server).Abs() > 5*time.Minute {
			stsError(w, 403, "SignatureDoesNotMatch")
			return
		}
		stsGrant(w, form, server.Add(time.Hour))
	})
	g, err := s.Issue(t.Context(), Request{Kind: KindAssumeRole, RoleARN: arnNonprod, SessionName: "s2", Region: "eu-west-1", Source: NewCredentials("A", "b", "c", time.Time{})})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.InDelta(t, -20*60, g.skew().Seconds(), 5)
	require.InDelta(t, 3600, g.life().Seconds(), 5)
}

// hostRecorder answers nothing and remembers where calls would have gone.
type hostRecorder struct{ host string }

func (h *hostRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	h.host = r.URL.Host
	return nil, errors.New("recorded")
}

func TestRegionalEndpoints(t *testing.T) {
	for region, c := range map[string]struct {
		env  map[string]string
		host string
	}{
		"eu-west-1":     {nil, "sts.eu-west-1.amazonaws.com"},
		"us-east-1":     {nil, "sts.us-east-1.amazonaws.com"},
		"cn-north-1":    {nil, "sts.cn-north-1.amazonaws.com.cn"},
		"us-gov-west-1": {nil, "sts.us-gov-west-1.amazonaws.com"},
		"us-west-2":     {map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "sts-fips.us-west-2.amazonaws.com"},
		"eu-central-1":  {map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "sts.eu-central-1.api.aws"},
		"ap-south-1":    {map[string]string{"AWS_ENDPOINT_URL": "http://x.invalid", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "sts.ap-south-1.amazonaws.com"},
	} {
		s, err := NewSDKIssuer(envOf(c.env))
		require.NoError(t, err)
		rec := &hostRecorder{}
		s.http.Transport = rec
		_, err = s.Issue(t.Context(), Request{Kind: KindWebIdentity, RoleARN: arnProd, SessionName: "s1", Token: "t", Region: region})
		require.Error(t, err)
		require.Equal(t, c.host, rec.host)
	}
}

func TestContainerCredentials(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "auth")
	require.NoError(t, os.WriteFile(file, []byte("first"), 0o600))
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		fmt.Fprintf(w, `{"AccessKeyId":"ASIA9","SecretAccessKey":"s","Token":"t","Expiration":"%s","AccountId":"1"}`, stsTime(time.Now().Add(time.Hour)))
	}))
	defer srv.Close()
	s, err := NewSDKIssuer(envOf(map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": srv.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file}))
	require.NoError(t, err)
	defer s.Close()
	g, err := s.Issue(t.Context(), Request{Kind: KindContainer})
	require.NoError(t, err)
	require.Equal(t, "ASIA9", g.KeyID)
	require.Equal(t, "first", got)
}

func TestCABundle(t *testing.T) {
	f := filepath.Join(t.TempDir(), "ca.pem")
	_, err := NewSDKIssuer(envOf(map[string]string{"AWS_CA_BUNDLE": f}))
	require.ErrorContains(t, err, "AWS_CA_BUNDLE")
	require.NoError(t, os.WriteFile(f, []byte("nothing"), 0o600))
	_, err = NewSDKIssuer(envOf(map[string]string{"AWS_CA_BUNDLE": f}))
	require.ErrorContains(t, err, "holds no certificate")
}

// TestKeeperOverHTTP goes the whole way with the real client, a token fault
// included.
func TestKeeperOverHTTP(t *testing.T) {
	p := newPod(t, chainConfig)
	var tokens []string
	s := stsServer(t, func(w http.ResponseWriter, _ *http.Request, form url.Values) {
		if x := form.Get("WebIdentityToken"); x != "" {
			tokens = append(tokens, x)
		}
		if strings.HasSuffix(form.Get("RoleArn"), "sandbox-role") {
			stsError(w, 403, "AccessDenied")
			return
		}
		stsGrant(w, form, time.Now().Add(time.Hour))
	})
	p.setToken(t, "a.b.c\n")
	o := p.options()
	o.Issuer = s
	k, err := New(o)
	require.NoError(t, err)
	err = k.Once(t.Context())
	require.EqualError(t, err, "awsauth: profile deep: assume role "+arnDeep+" (STS in eu-west-1): AccessDenied: told so; the role's trust policy must allow "+arnNonprod+", and that role needs sts:AssumeRole on it")
	require.Equal(t, []string{"a.b.c"}, tokens, "sent without the newline")
	_, ok := p.cached(t, CacheArgs{RoleARN: arnProd, Token: "a.b.c\n"})
	require.True(t, ok, "keyed with it")
}

func TestTokenErrors(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, p *pod)
		want    string
	}{
		"missing": {func(t *testing.T, p *pod) { require.NoError(t, os.Remove(p.token)) }, "serviceAccountName"},
		"empty":   {func(t *testing.T, p *pod) { p.setToken(t, " \n") }, "is empty"},
		"huge":    {func(t *testing.T, p *pod) { p.setToken(t, strings.Repeat("x", maxTokenBytes+1)) }, "more than"},
		"a directory": {func(t *testing.T, p *pod) {
			require.NoError(t, os.Remove(p.token))
			require.NoError(t, os.Mkdir(p.token, 0o755))
		}, "the token"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, chainConfig)
			c.prepare(t, p)
			o := p.options()
			o.Timing.First = 50 * time.Millisecond
			o.Timing.Start = time.Millisecond
			k, err := New(o)
			require.NoError(t, err)
			require.ErrorContains(t, k.Once(t.Context()), c.want)
			require.Zero(t, p.sts.count(""))
		})
	}
}
