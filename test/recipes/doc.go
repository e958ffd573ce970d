// Package recipes has tests only: they parse every file of images/ with the
// types of those who will read it, so that a mistake shows here.
//
//	pod-templates/*.yaml, jcasc.yaml ──▶ k8s.io/api, strictly; and run by localpod:
//	                                     init, online, a step, hold, deletion
//	fargate/task-definition.json     ──▶ the input of RegisterTaskDefinition
//	fargate/main.tf, aws/terraform   ──▶ HCL evaluated, arguments by schema
//	ec2/*.service                    ──▶ systemd-analyze verify, security
//	ec2/cloud-init.yaml, *.pkr.hcl   ──▶ cloud-init schema, packer validate
//	ec2/*                            ──▶ run by the package ec2 below: systemd as PID 1
//	monitoring/*                     ──▶ promtool: rules, their tests, the scrape
//	                                     configuration, the dashboard's expressions
//	*.sh, Jenkinsfile's quoting      ──▶ shellcheck
//	docs/troubleshooting.md          ──▶ its error texts, against the sources
//
// Running pods needs root and a static busybox; without them that part is skipped,
// loudly. It is a module of its own: the agent needs none of these types.
package recipes
