// Package recipes has tests only: they parse every file of images/ with the
// types of those who will read it, so that a mistake shows here.
//
//	pod-templates/*.yaml, jcasc.yaml ──▶ k8s.io/api, strictly; and run by localpod:
//	                                     init, online, a step, hold, deletion
//	fargate/task-definition.json     ──▶ the input of RegisterTaskDefinition
//	*.tf, *.pkr.hcl                  ──▶ HCL, terraform fmt
//	*.service                        ──▶ systemd-analyze verify
//	*.sh, Jenkinsfile's quoting      ──▶ shellcheck
//
// Running pods needs root and a static busybox; without them that part is skipped,
// loudly. It is a module of its own: the agent needs none of these types.
package recipes
