package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// In a task of ECS the agent says in its log, and so on the log page of its
// node, which task it is: who looks for a build that died finds the stopped
// task by it, with ECS's own reason.
//
//	GET $ECS_CONTAINER_METADATA_URI_V4/task    task metadata endpoint, version 4
const ecsMetadataEnv = "ECS_CONTAINER_METADATA_URI_V4"

// ecsTask is what the agent uses of the answer; units are those of ECS.
type ecsTask struct {
	TaskARN, Family, Revision, LaunchType, AvailabilityZone string
	Limits                                                  struct {
		CPU    float64 // in vCPUs
		Memory int64   // MiB
	}
	PullStartedAt, PullStoppedAt time.Time
	EphemeralStorageMetrics      struct {
		Reserved int64 // MiB; Fargate only
	}
}

// readTask is nil outside of ECS and where the endpoint does not answer.
func readTask(ctx context.Context, getenv func(string) string) *ecsTask {
	base := getenv(ecsMetadataEnv)
	if base == "" {
		return nil
	}
	s := &spotWatch{base: base, client: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	body, _, err := s.do(ctx, http.MethodGet, "/task", "Accept", "application/json")
	var t ecsTask
	if err != nil || json.Unmarshal([]byte(body), &t) != nil || t.TaskARN == "" {
		return nil
	}
	return &t
}

// name is the ARN without region and account: cluster and id.
func (t *ecsTask) name() string {
	if _, id, ok := strings.Cut(t.TaskARN, ":task/"); ok {
		return "ECS task " + id
	}
	return "ECS task " + t.TaskARN
}

// attrs is the rest of the log's line, without what the endpoint did not say.
func (t *ecsTask) attrs() []any {
	var all []any
	add := func(key, value string, there bool) {
		if there && value != "" {
			all = append(all, slog.String(key, value))
		}
	}
	add("definition", t.Family+":"+t.Revision, t.Family != "")
	add("launch", t.LaunchType, true)
	add("zone", t.AvailabilityZone, true)
	add("cpu", fmt.Sprintf("%g", t.Limits.CPU), t.Limits.CPU > 0)
	add("memory", fmt.Sprintf("%dMiB", t.Limits.Memory), t.Limits.Memory > 0)
	add("storage", fmt.Sprintf("%dMiB", t.EphemeralStorageMetrics.Reserved), t.EphemeralStorageMetrics.Reserved > 0)
	pull := t.PullStoppedAt.Sub(t.PullStartedAt)
	add("pulled in", pull.Round(100*time.Millisecond).String(), !t.PullStartedAt.IsZero() && pull > 0)
	return all
}

// sayWhere logs the task, if this is one.
func (a *agent) sayWhere(ctx context.Context, getenv func(string) string) {
	if t := readTask(ctx, getenv); t != nil {
		where := t.name()
		a.place.Store(&where)
		a.log.Info("Running as ECS task "+t.TaskARN, t.attrs()...)
	}
}
