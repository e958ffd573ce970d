// Package ec2 has tests only: they boot what images/ec2 makes of an instance.
//
//	TestInstance ── starts ──▶ the box: namespaces of its own for processes,
//	(needs root)               mounts, network, host name, IPC, cgroups
//	                             PID 1 is the machine's own systemd
//	                             /     is an overlay of the machine's
//	                                     │ nsenter
//	                                     ▼
//	                           TestInside: this test binary once more
//	                             plays AWS at 169.254.169.254: metadata with
//	                               tags, role keys, the secret,
//	                               the agent as a download
//	                             plays Jenkins (test/controller)
//	                             runs user-data.sh, or cloud-init, and looks
//
// Nothing of it reaches the network or outlives the test.
package ec2
