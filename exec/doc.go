// Package exec runs the processes a controller asks for, with exactly the
// environment rules, messages and kill order that Jenkins' own agent has.
//
//	agent's environment ── FromEnviron ─┐
//	launch's env list ───── FromList ───┴─ OverrideExpandingAll ─→ EnvVars
//	                                                                 │ Expand (each argument), Environ
//	                                                                 ▼
//	        Spec{Argv, Env, Dir, Stdin, Stdout, Stderr, …} ── Start ─→ Process
//	                                                                 │
//	   stdin  ◀── copier ◀── Spec.Stdin     or Process.StdinPipe     │ pidfd, parked in the
//	   stdout ──▶ pump ────▶ Spec.Stdout    or Process.StdoutPipe    │ netpoller until exit
//	   stderr ──▶ pump ────▶ Spec.Stderr    or merged, or a pipe     ▼
//	                                                        Wait · Signal · Kill
//	        KillByEnv / Process.Kill ── /proc snapshot ── children first, TERM,
//	                                    grace, (KILL if asked) ─→ KillResult
//	        Reap ── orphans only: every own child is in the registry from the
//	                very fork on, so its exit status is never stolen
//
// The facts are those of hudson.EnvVars, hudson.Util.replaceMacro,
// hudson.Launcher$LocalLauncher, hudson.Proc$LocalProc and
// hudson.util.ProcessTree of Jenkins core, and of java.lang.ProcessBuilder of
// JDK 17 where core relies on it.
//
// The package never logs. Environment values and arguments do not occur in its
// errors; the program name does, as it does in Java.
package exec
