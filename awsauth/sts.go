package awsauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	smithymw "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// SDKIssuer asks AWS through aws-sdk-go-v2. Make it with NewSDKIssuer.
type SDKIssuer struct {
	env      Env
	http     *http.Client
	local    *http.Client // for addresses of the pod or node: no proxy
	endpoint *string
}

// NewSDKIssuer prepares the client; it makes no call. It honours
// AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL (unless
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS), AWS_CA_BUNDLE, the proxy variables,
// AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT.
func NewSDKIssuer(env Env) (*SDKIssuer, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       20 * time.Second,
		ForceAttemptHTTP2:     false,
	}
	if f := env("AWS_CA_BUNDLE"); f != "" {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("awsauth: AWS_CA_BUNDLE: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("awsauth: AWS_CA_BUNDLE %s holds no certificate", f)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	near := t.Clone()
	near.Proxy = nil
	s := &SDKIssuer{env: env, http: &http.Client{Transport: t, CheckRedirect: stay}, local: &http.Client{Transport: near, CheckRedirect: stay}}
	if !strings.EqualFold(env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		if u := env("AWS_ENDPOINT_URL_STS"); u != "" {
			s.endpoint = aws.String(u)
		} else if u := env("AWS_ENDPOINT_URL"); u != "" {
			s.endpoint = aws.String(u)
		}
	}
	return s, nil
}

// Close drops idle connections.
func (s *SDKIssuer) Close() {
	s.http.CloseIdleConnections()
	s.local.CloseIdleConnections()
}

func (s *SDKIssuer) client(region string, creds aws.CredentialsProvider) *sts.Client {
	o := sts.Options{Region: region, BaseEndpoint: s.endpoint, HTTPClient: s.http, Credentials: creds, Retryer: skewRetryer()}
	if strings.EqualFold(s.env("AWS_USE_FIPS_ENDPOINT"), "true") {
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if strings.EqualFold(s.env("AWS_USE_DUALSTACK_ENDPOINT"), "true") {
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	return sts.New(o)
}

// skewCodes are refusals of a signature's time. The SDK corrects its clock from
// the answer's Date header, so one more attempt at once is worth it.
var skewCodes = []string{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure"}

func skewRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 2
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		o.Retryables = []retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			api, ok := errors.AsType[smithy.APIError](err)
			return aws.BoolTernary(ok && slices.Contains(skewCodes, api.ErrorCode()))
		})}
	})
}

// Issue implements Issuer.
func (s *SDKIssuer) Issue(ctx context.Context, r Request) (Grant, error) {
	switch r.Kind {
	case KindWebIdentity:
		in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &r.RoleARN, RoleSessionName: &r.SessionName, WebIdentityToken: &r.Token}
		if r.Seconds > 0 {
			in.DurationSeconds = &r.Seconds
		}
		out, err := s.client(r.Region, aws.AnonymousCredentials{}).AssumeRoleWithWebIdentity(ctx, in)
		if err != nil {
			return Grant{}, classify(err)
		}
		return grant(out.Credentials, out.AssumedRoleUser, out.ResultMetadata)
	case KindAssumeRole:
		in := &sts.AssumeRoleInput{RoleArn: &r.RoleARN, RoleSessionName: &r.SessionName}
		if r.Seconds > 0 {
			in.DurationSeconds = &r.Seconds
		}
		if r.ExternalID != "" {
			in.ExternalId = &r.ExternalID
		}
		p := credentials.NewStaticCredentialsProvider(r.Source.KeyID, r.Source.secret, r.Source.session)
		out, err := s.client(r.Region, p).AssumeRole(ctx, in)
		if err != nil {
			return Grant{}, classify(err)
		}
		return grant(out.Credentials, out.AssumedRoleUser, out.ResultMetadata)
	case KindContainer:
		return s.container(ctx)
	case KindInstance:
		return provided(ctx, ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = s.metadata() }))
	}
	return Grant{}, &IssueError{Message: "no way to obtain " + r.Kind}
}

// container asks the endpoint of EKS Pod Identity or the ECS task role.
func (s *SDKIssuer) container(ctx context.Context) (Grant, error) {
	uri := s.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if uri == "" {
		uri = "http://169.254.170.2" + s.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	}
	return provided(ctx, endpointcreds.New(uri, func(o *endpointcreds.Options) {
		o.HTTPClient = s.local
		o.Retryer = aws.NopRetryer{}
		o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
			if f := s.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); f != "" {
				b, err := readLimited(f, maxTokenBytes)
				return string(b), err
			}
			return s.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), nil
		})
	}))
}

func provided(ctx context.Context, p aws.CredentialsProvider) (Grant, error) {
	c, err := p.Retrieve(ctx)
	if err != nil {
		return Grant{}, &IssueError{Message: err.Error(), Retry: true}
	}
	g := Grant{Credentials: NewCredentials(c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expires), Received: time.Now()}
	g.Account = c.AccountID
	return g, nil
}

func grant(c *types.Credentials, u *types.AssumedRoleUser, md smithymw.Metadata) (Grant, error) {
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || aws.ToString(c.SessionToken) == "" || c.Expiration == nil {
		return Grant{}, &IssueError{Message: "the answer of STS lacks credentials (is a proxy in between?)", Retry: true}
	}
	g := Grant{Credentials: NewCredentials(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken, *c.Expiration), Received: time.Now()}
	if u != nil {
		g.AssumedRoleID, g.AssumedRoleARN = aws.ToString(u.AssumedRoleId), aws.ToString(u.Arn)
		g.Account = accountOf(g.AssumedRoleARN)
	}
	if t, ok := middleware.GetServerTime(md); ok {
		g.ServerTime = t
		if at, ok := middleware.GetResponseAt(md); ok {
			g.Received = at
		}
	}
	return g, nil
}

// transient are codes after which waiting helps.
var transient = []string{"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
	"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete",
	"IDPCommunicationError", "InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException"}

// classify reduces an SDK error to code, message and whether to retry. The
// SDK's own text is not kept: it repeats the operation and a request id.
func classify(err error) error {
	e := &IssueError{Message: err.Error(), Retry: true}
	status := 0
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = re.HTTPStatusCode()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "" {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
		e.Retry = status >= 500 || status == 429 || slices.Contains(transient, e.Code) || slices.Contains(skewCodes, e.Code)
		if e.Code == "UnknownError" || e.Message == "" {
			e.Message = fmt.Sprintf("STS answered HTTP %d", status)
		}
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Message = "STS did not answer in time"
	case errors.Is(err, context.Canceled):
		e.Message = "given up"
	default:
		e.Message = "STS not reached: " + innermost(err).Error()
		if oe, ok := errors.AsType[*net.OpError](err); ok {
			e.Message = "STS not reached: " + oe.Error()
		}
	}
	return e
}

// remedy is what to do about a refusal, "" if nothing is known.
func remedy(l *Link, err error) string {
	e, ok := errors.AsType[*IssueError](err)
	if !ok {
		return ""
	}
	switch e.Code {
	case "AccessDenied", "AccessDeniedException":
		switch {
		case l.Kind == KindWebIdentity:
			return "the role's trust policy must allow sts:AssumeRoleWithWebIdentity to the cluster's OIDC provider for this service account"
		case l.Source != nil && l.Source.RoleARN != "":
			return "the role's trust policy must allow " + l.Source.RoleARN + ", and that role needs sts:AssumeRole on it"
		}
	case "ExpiredTokenException", "ExpiredToken":
		if l.Kind == KindWebIdentity {
			return "the projected token is expired: is " + l.TokenFile + " a live mount?"
		}
	case "InvalidIdentityToken", "InvalidIdentityTokenException":
		return "the account of the role needs an OIDC provider for this cluster with audience sts.amazonaws.com"
	case "RegionDisabledException":
		return "enable STS for the region in the account, or set AWS_REGION to an enabled one"
	}
	return ""
}
