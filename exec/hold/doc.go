// Package hold keeps the container of a tool alive for the steps of a build and
// runs them there. It takes the place of `cat`, which kubernetes pod templates
// use for that, and of the pods/exec calls to the API server.
//
//	agent's container                     shared volume          tool's container
//	─────────────────                     ─────────────          ────────────────────────
//	kubernetes plugin ─ files ─▶ container-work/NAME/HEX/ ─▶ Files (listener A) ┐
//	 (through the agent)         shell.txt script.sh …                          │
//	jenkins-agent exec ─┐                                                       ├▶ exec.Start,
//	hudson.Agent.Start ─┴ Dial ─▶ .footman/NAME.sock ──────▶ Server (B) ────────┘  pty, Shell
//	                              .footman/token              │
//	                                                          Hold: PID 1, reaps,
//	                                                          TERM → grace → KILL
//
// Listener A speaks the protocol of the plugin's active containers
// (org.csanchez.jenkins.plugins.kubernetes.pipeline.ContainerListenDecorator and
// its container-bootstrap.sh), as found on disk. Listener B speaks the protocol
// that PROTOCOL.md describes under "hold socket"; its two ends are in session_linux.go
// and client.go, what they share in frame.go, records.go, flow.go, auth.go.
//
// The client compiles everywhere, the rest on Linux.
package hold
