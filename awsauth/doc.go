// Package awsauth turns the AWS profiles of a build pod into files that real
// AWS tools read, and keeps those files fresh for as long as the agent lives.
//
//	aws/config (ConfigMap)      IRSA variables + projected token
//	       │ ini.go, profile.go          │ token.go
//	       ▼                             ▼
//	   plan.go, chain.go   profile → links:  web identity ─► role ─► role …   (or a defect with its reason)
//	       │
//	       ▼
//	   schedule.go   half-life timer, full jitter, one call a link ──► resolve.go ──► sts.go (STS, regional)
//	       │
//	       ▼
//	   write.go, dir.go   temp file, mode, group, rename; repair.go
//	       │
//	       ├──► DIR/cli/cache/<sha1>.json   cachekey.go: what CLI v1 and v2 look up themselves
//	       ├──► DIR/agent/<profile>.json    credential_process form, for every other SDK
//	       ├──► DIR/agent/config            a config whose profiles only read those files
//	       └──► DIR/agent/status.json       no secrets; what `awsauth list` and `doctor` show
//
// secret.go reads the secret of the agent itself from Parameter Store or Secrets
// Manager, with what the pod, task or instance has.
//
// use.go and doctor.go are the other end: what `awsauth get`, `env`, `list` and
// `doctor` do in a build container.
//
// DIR is an emptyDir mounted at HOME/.aws of the agent and of each build
// container. Build containers make no STS call: the CLI finds a cache entry
// under the very key it would have written itself, and all other SDKs follow
// credential_process lines to a plain file.
//
// The package imports nothing else of this module, starts nothing at package
// initialisation and keeps credentials out of logs, errors and arguments (see
// Credentials). It does not use the SDK's own config loader: that loader adds
// 2.4 MB and cannot name the path of a cycle; the parser here must exist anyway
// because cache keys and the generated config depend on the raw values.
package awsauth
