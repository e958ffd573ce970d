package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"
)

// EC2 says two minutes ahead that it takes a spot instance back, earlier that it
// might, and Auto Scaling that it ends one. -spot auto asks for that on EC2 and
// drains, as after SIGTERM, but for as long as the notice leaves.
//
//	PUT /latest/api/token                                       IMDSv2 only
//	GET /latest/meta-data/spot/instance-action                  404, or {"action":"terminate","time":"…Z"}
//	GET /latest/meta-data/autoscaling/target-lifecycle-state    InService, Terminated
//	GET /latest/meta-data/events/recommendations/rebalance      404, or {"noticeTime":"…Z"}: logged, and
//	                                                            drained with -spot rebalance
//
// ECS and Fargate send SIGTERM instead, two minutes ahead: -drainTimeout and
// stopTimeout of the task say how much of that is used.
const (
	imdsAddress  = "http://169.254.169.254"
	spotInterval = 5 * time.Second // what the EC2 guide recommends
	spotReserve  = 15 * time.Second
	asgLeave     = 90 * time.Second // where no time is told
)

// notice is an announced end of the machine.
type notice struct {
	what string
	at   time.Time // zero when not told
}

// drainFor is how long builds may still run.
func (n notice) drainFor(now time.Time) time.Duration {
	if n.at.IsZero() {
		return asgLeave
	}
	return max(time.Second, n.at.Sub(now)-spotReserve)
}

// spotWatch polls the instance metadata service.
type spotWatch struct {
	base      string // URL without path
	every     time.Duration
	rebalance bool // a recommendation is reason enough to leave
	log       *slog.Logger
	client    *http.Client

	token   string
	expires time.Time
	advised bool
}

// newSpotWatch is nil where nothing is to be watched. mode is auto, off or
// rebalance.
func newSpotWatch(mode string, getenv func(string) string, log *slog.Logger) (*spotWatch, error) {
	switch mode {
	case "auto", "rebalance":
	case "off", "":
		return nil, nil
	default:
		return nil, usagef("-spot %q is none of auto, off, rebalance", mode)
	}
	base := getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	fargate := strings.Contains(getenv("AWS_EXECUTION_ENV"), "FARGATE")
	if strings.EqualFold(getenv("AWS_EC2_METADATA_DISABLED"), "true") || fargate || base == "" && !onEC2() {
		return nil, nil
	}
	if base == "" {
		base = imdsAddress
	}
	return &spotWatch{base: strings.TrimRight(base, "/"), every: spotInterval, rebalance: mode == "rebalance", log: log,
		client: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}}}, nil // never through a proxy
}

// watchSpot hands notices to stopOnSignal until ctx ends.
func (a *agent) watchSpot(ctx context.Context) error {
	spot, err := newSpotWatch(a.o.spot, os.Getenv, a.log)
	if err != nil || spot == nil {
		return err
	}
	go func() {
		if n, ok := spot.run(ctx); ok {
			select {
			case a.notices <- n:
			case <-ctx.Done():
			}
		}
	}()
	return nil
}

// onEC2 reads what the firmware says, so that the link-local address is never
// asked elsewhere.
func onEC2() bool {
	b, err := os.ReadFile("/sys/class/dmi/id/sys_vendor")
	return err == nil && strings.TrimSpace(string(b)) == "Amazon EC2"
}

var errNoMetadata = errors.New("the instance metadata service does not answer")

// run polls until a notice comes or ctx ends. It gives up at once where the
// service can't be reached: in pods, the hop limit usually sees to that.
func (s *spotWatch) run(ctx context.Context) (notice, bool) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for first := true; ; first = false {
		n, found, err := s.poll(ctx)
		if found {
			return n, true
		}
		if err != nil && first && errors.Is(err, errNoMetadata) {
			s.log.Debug("no spot notices here", "reason", err)
			return notice{}, false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return notice{}, false
		}
	}
}

func (s *spotWatch) poll(ctx context.Context) (notice, bool, error) {
	body, err := s.get(ctx, "/latest/meta-data/spot/instance-action")
	if err != nil {
		return notice{}, false, err
	}
	var action struct {
		Action string    `json:"action"`
		Time   time.Time `json:"time"`
	}
	if body != "" && json.Unmarshal([]byte(body), &action) == nil && action.Action != "" {
		return notice{"EC2 takes this spot instance back (" + action.Action + ")", action.Time}, true, nil
	}
	if body, _ = s.get(ctx, "/latest/meta-data/autoscaling/target-lifecycle-state"); body == "Terminated" {
		return notice{what: "Auto Scaling ends this instance"}, true, nil
	}
	if s.advised {
		return notice{}, false, nil
	}
	if body, _ = s.get(ctx, "/latest/meta-data/events/recommendations/rebalance"); body != "" {
		s.advised = true
		if s.rebalance {
			return notice{what: "EC2 recommends to leave this instance (rebalance)"}, true, nil
		}
		s.log.Warn("EC2 recommends to leave this instance: it may be taken back soon; -spot rebalance drains at this point")
	}
	return notice{}, false, nil
}

// get returns "" for what does not exist.
func (s *spotWatch) get(ctx context.Context, path string) (string, error) {
	if time.Now().After(s.expires) {
		token, _, err := s.do(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
		if err != nil {
			return "", err
		}
		s.token, s.expires = token, time.Now().Add(5*time.Hour)
	}
	body, status, err := s.do(ctx, http.MethodGet, path, "X-aws-ec2-metadata-token", s.token)
	switch {
	case status == http.StatusUnauthorized:
		s.expires = time.Time{}
		return "", nil
	case status == http.StatusNotFound:
		return "", nil
	}
	return body, err
}

func (s *spotWatch) do(ctx context.Context, method, path, header, value string) (string, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set(header, value)
	resp, err := s.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errNoMetadata, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 256<<10))
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", resp.StatusCode, fmt.Errorf("%w: %s", errNoMetadata, resp.Status)
	}
	return strings.TrimSpace(string(b)), resp.StatusCode, nil
}
