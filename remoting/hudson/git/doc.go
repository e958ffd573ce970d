// Package git is the client of Jenkins' git plugins for agents without a Java
// runtime: it runs the program git with the arguments, the environment, the
// credentials and the words of the plugin git-client's CliGitAPIImpl. It knows
// nothing of Jenkins' wire; package hudson translates.
//
//	hudson: exported GitClient, builder commands
//	   │ Fetch, Clone, Checkout, RevParse, …
//	   ▼
//	Client ── launch ──▶ " > git fetch … # timeout=10" ──▶ Log
//	   │                 git in Dir, stdin empty, killed after the timeout
//	   └─ credentials ──▶ files of mode 0600/0700 in DIR@tmp, gone afterwards:
//	                      GIT_ASKPASS, GIT_SSH, key, passphrase, known_hosts
//
// What fails is an *Error, which stands for hudson.plugins.git.GitException.
// Whatever a caller gives as a revision, a branch or a path and begins with a
// dash is refused before git could take it for an option; URLs are checked as
// upstream checks them.
package git
