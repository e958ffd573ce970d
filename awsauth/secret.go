package awsauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// A secret of the agent itself may live in AWS:
//
//	aws-ssm:///jenkins/agents/a1                 Parameter Store, decrypted     ┐   signed with what the
//	aws-ssm:arn:aws:ssm:eu-west-1:…:parameter/x  in that region                 ├── pod, task or instance
//	aws-secretsmanager:jenkins/a1                Secrets Manager, text          │   has: see ambient
//	aws-secretsmanager:jenkins/agents#a1         … one key of a JSON object     ┘
//
// Two calls are all that is needed of these services, so their SDK clients stay
// out of the binary; requests are signed by the SDK's own signer.

// maxAnswerBytes is more than either service answers (64 KiB and its quoting).
const maxAnswerBytes = 1 << 20

// secretService is one way to keep a secret in AWS.
type secretService struct {
	scheme, name, host, target string // host is also the name to sign for
	endpointEnv                string
	request                    func(id string) map[string]any
}

var secretServices = []*secretService{
	{scheme: "aws-ssm:", name: "Parameter Store", host: "ssm", target: "AmazonSSM.GetParameter", endpointEnv: "AWS_ENDPOINT_URL_SSM",
		request: func(id string) map[string]any { return map[string]any{"Name": id, "WithDecryption": true} }},
	{scheme: "aws-secretsmanager:", name: "Secrets Manager", host: "secretsmanager", target: "secretsmanager.GetSecretValue",
		endpointEnv: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
		request:     func(id string) map[string]any { return map[string]any{"SecretId": id} }},
}

// SecretRef says where in AWS a secret is. The zero value is nowhere.
type SecretRef struct {
	service *secretService
	id      string
	key     string // of a JSON object, or ""
	region  string // of an ARN, or ""
}

// String is the reference as it was written, but for slashes: it is no secret.
func (r SecretRef) String() string {
	if r.service == nil {
		return ""
	}
	s := r.service.scheme + r.id
	if r.key != "" {
		s += "#" + r.key
	}
	return s
}

// ParseSecretRef reads a reference. ok says that s is one at all; err, that it
// is one and makes no sense.
func ParseSecretRef(s string) (ref SecretRef, ok bool, err error) {
	i := slices.IndexFunc(secretServices, func(v *secretService) bool { return strings.HasPrefix(s, v.scheme) })
	if i < 0 {
		return SecretRef{}, false, nil
	}
	ref.service = secretServices[i]
	ref.id = strings.TrimPrefix(strings.TrimPrefix(s, ref.service.scheme), "//")
	if ref.service.host == "secretsmanager" {
		ref.id, ref.key, _ = strings.Cut(ref.id, "#")
	}
	if ref.id == "" || strings.ContainsAny(ref.id, " \t\r\n") || len(ref.id) > 2048 {
		return SecretRef{}, true, fmt.Errorf("awsauth: %s is to be followed by the name or the ARN of a secret, such as aws-ssm:///jenkins/agents/a1 or aws-secretsmanager:jenkins/a1", ref.service.scheme)
	}
	if strings.HasPrefix(ref.id, "arn:") {
		parts := strings.SplitN(ref.id, ":", 6)
		if len(parts) != 6 || parts[2] != ref.service.host || parts[3] == "" {
			return SecretRef{}, true, fmt.Errorf("awsauth: %s is no ARN of %s", ref.id, ref.service.name)
		}
		ref.region = parts[3]
	}
	return ref, true, nil
}

// ReadSecret asks AWS for a secret, once, with the identity of the pod, the ECS
// task or the EC2 instance: keys in the environment, else a web identity (IRSA),
// else the container's credentials (Pod Identity, ECS), else the instance's.
// Profiles of a config file are not looked at. The region is the ARN's, else
// AWS_REGION, AWS_DEFAULT_REGION, else the instance's. Errors wrap *IssueError
// where AWS was asked, and never show the secret.
func ReadSecret(ctx context.Context, env Env, ref SecretRef) (string, error) {
	s, err := NewSDKIssuer(env)
	if err != nil {
		return "", err
	}
	defer s.Close()
	text, err := s.secret(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("awsauth: %s: %w", ref, err)
	}
	return text, nil
}

func (s *SDKIssuer) secret(ctx context.Context, ref SecretRef) (string, error) {
	region, err := s.region(ctx, ref.region)
	if err != nil {
		return "", err
	}
	creds, err := s.ambient(ctx, region)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(ref.service.request(ref.id))
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.secretEndpoint(ref.service, region), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", ref.service.target)
	sum := sha256.Sum256(body)
	keys := aws.Credentials{AccessKeyID: creds.KeyID, SecretAccessKey: creds.secret, SessionToken: creds.session}
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), ref.service.host, region, time.Now()); err != nil {
		return "", err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return "", &IssueError{Message: ref.service.name + " in " + region + " not reached: " + err.Error(), Retry: true}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return "", &IssueError{Message: "the answer of " + ref.service.name + " broke off: " + err.Error(), Retry: true}
	}
	if resp.StatusCode != http.StatusOK {
		return "", refusal(ref.service, region, resp.StatusCode, answer)
	}
	return ref.take(answer)
}

// take finds the secret in an answer.
func (r SecretRef) take(answer []byte) (string, error) {
	var out struct {
		Parameter    struct{ Value string }
		SecretString string
		SecretBinary string
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return "", &IssueError{Message: "the answer is not of " + r.service.name + " (is a proxy in between?)", Retry: true}
	}
	text := out.Parameter.Value + out.SecretString
	if text == "" {
		b, err := base64.StdEncoding.DecodeString(out.SecretBinary)
		if err != nil {
			return "", errors.New("its binary value is not base64")
		}
		text = string(b)
	}
	if r.key != "" {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil {
			return "", errors.New("the secret is no JSON object, though a #key is asked for")
		}
		text, _ = object[r.key].(string)
		if text == "" {
			return "", fmt.Errorf("the JSON object has no text under %q", r.key)
		}
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("the secret is empty")
	}
	return text, nil
}

// refusal makes an error of what a JSON service of AWS answered.
func refusal(service *secretService, region string, status int, answer []byte) error {
	var out struct {
		Type    string `json:"__type"`
		Message string
	}
	_ = json.Unmarshal(answer, &out) // a proxy's page has neither
	code := out.Type[strings.LastIndex(out.Type, "#")+1:]
	e := &IssueError{Code: code, Message: out.Message, Retry: status >= 500 || status == 429 || slices.Contains(transient, code)}
	if e.Message == "" {
		e.Message = fmt.Sprintf("%s in %s answered HTTP %d", service.name, region, status)
	}
	switch code {
	case "ParameterNotFound", "ResourceNotFoundException":
		e.Message = "there is none of that name in " + region
	case "AccessDeniedException":
		action := "ssm:GetParameter"
		if service.host == "secretsmanager" {
			action = "secretsmanager:GetSecretValue"
		}
		e.Message += "; the role needs " + action + " on it, and kms:Decrypt on its key"
	}
	return e
}

// secretEndpoint is where a service answers.
func (s *SDKIssuer) secretEndpoint(service *secretService, region string) string {
	if !strings.EqualFold(s.env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		for _, name := range []string{service.endpointEnv, "AWS_ENDPOINT_URL"} {
			if u := s.env(name); u != "" {
				return u
			}
		}
	}
	host, domain := service.host, "amazonaws.com"
	dual := strings.EqualFold(s.env("AWS_USE_DUALSTACK_ENDPOINT"), "true")
	switch {
	case strings.HasPrefix(region, "cn-"):
		domain = "amazonaws.com.cn"
		if dual {
			domain = "api.amazonwebservices.com.cn"
		}
	case strings.HasPrefix(region, "eusc-"):
		domain = "amazonaws.eu"
	case dual:
		domain = "api.aws"
	}
	if strings.EqualFold(s.env("AWS_USE_FIPS_ENDPOINT"), "true") {
		host += "-fips"
	}
	return "https://" + host + "." + region + "." + domain + "/"
}

// region is where to ask.
func (s *SDKIssuer) region(ctx context.Context, ofARN string) (string, error) {
	for _, r := range []string{ofARN, s.env("AWS_REGION"), s.env("AWS_DEFAULT_REGION")} {
		if r == "" {
			continue
		}
		// It becomes part of a host name.
		if strings.ContainsFunc(r, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }) {
			return "", fmt.Errorf("%q is no region", r)
		}
		return r, nil
	}
	const set = "no region: set AWS_REGION"
	if strings.EqualFold(s.env("AWS_EC2_METADATA_DISABLED"), "true") {
		return "", errors.New(set)
	}
	out, err := s.metadata().GetRegion(ctx, nil)
	if err != nil {
		return "", &IssueError{Message: set + ", or let the instance metadata service answer (in a container: hop limit 2): " + innermost(err).Error(), Retry: true}
	}
	return out.Region, nil
}

// ambient obtains the credentials of the place where we run, in the order of
// the SDKs.
func (s *SDKIssuer) ambient(ctx context.Context, region string) (Credentials, error) {
	r := Request{Kind: KindInstance, Region: region, SessionName: sessionNameFor(s.env("HOSTNAME"))}
	switch {
	case s.env("AWS_ACCESS_KEY_ID") != "" && s.env("AWS_SECRET_ACCESS_KEY") != "":
		return NewCredentials(s.env("AWS_ACCESS_KEY_ID"), s.env("AWS_SECRET_ACCESS_KEY"), s.env("AWS_SESSION_TOKEN"), time.Time{}), nil
	case s.env("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && s.env("AWS_ROLE_ARN") != "":
		token, err := readToken(s.env("AWS_WEB_IDENTITY_TOKEN_FILE"))
		if err != nil {
			return Credentials{}, &IssueError{Message: err.Error(), Retry: true}
		}
		r.Kind, r.RoleARN, r.Token = KindWebIdentity, s.env("AWS_ROLE_ARN"), strings.TrimSpace(token)
		if n := s.env("AWS_ROLE_SESSION_NAME"); n != "" {
			r.SessionName = n
		}
	case s.env("AWS_CONTAINER_CREDENTIALS_FULL_URI")+s.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
		r.Kind = KindContainer
	case strings.EqualFold(s.env("AWS_EC2_METADATA_DISABLED"), "true"):
		return Credentials{}, errors.New("no AWS credentials: neither keys, nor a web identity, nor a container's role, and AWS_EC2_METADATA_DISABLED is set")
	}
	g, err := s.Issue(ctx, r)
	if e, ok := errors.AsType[*IssueError](err); ok && r.Kind == KindInstance {
		e.Message = "no AWS credentials: neither keys, nor a web identity, nor a container's role, and the instance has none: " + e.Message
	}
	return g.Credentials, err
}

func (s *SDKIssuer) metadata() *imds.Client {
	return imds.New(imds.Options{HTTPClient: s.local, Endpoint: s.env("AWS_EC2_METADATA_SERVICE_ENDPOINT")})
}

// innermost is the error that says what happened; what wraps it repeats names.
func innermost(err error) error {
	for u := errors.Unwrap(err); u != nil; u = errors.Unwrap(err) {
		err = u
	}
	return err
}
