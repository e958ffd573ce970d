// Package localpod runs the containers of a pod as local processes: what a
// kubelet does, as far as the recipes need it, without a cluster, an engine or
// a registry.
//
//	corev1.PodSpec ── Start ──▶ init containers, one after the other
//	                            then all containers, each a process that is
//	                              PID 1 of its own PID namespace
//	                              in a mount namespace: overlay of the image's
//	                                root, volumes, /proc, /dev, /sys
//	                              with the securityContext's uid, groups,
//	                                capabilities and read-only root
//	Options.Images ── root file systems, made by whoever calls
//	Options.Dir ───── emptyDirs, writable layers, logs
//
// The network is the machine's, and nothing limits memory or CPU. It needs root.
// A program that uses it calls Init at the start of main (or of TestMain).
package localpod
