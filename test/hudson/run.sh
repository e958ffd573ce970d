#!/usr/bin/env bash
# run.sh AGENT: a real old controller, Hudson 1.395 of February 2011, launches the agent by a command, over stdin and
# stdout, and runs a freestyle job with a shell step, archived artifacts and fingerprints.
#
# Needs Java (11 or newer), Maven (installed by apt when missing) and, the first time, Maven Central: 36 MB that Maven keeps.
# Prints a PASS or FAIL line per check and "N passed, N failed"; exit 0 if nothing failed. Takes 15 s, 3 minutes at most.
set -uo pipefail
cd "$(dirname "$0")"
die() { echo "FAIL  $*"; echo "0 passed, 1 failed"; exit 1; }

[ $# -ge 1 ] || die "usage: run.sh AGENT (see make test-hudson)"
case $1 in /*) agent=$1 ;; *) agent=$OLDPWD/$1; [ -x "$agent" ] || agent=$(cd ../.. && pwd)/$1 ;; esac
[ -x "$agent" ] || die "$1 is no program: run make build first"

need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null && return
	echo "installing $2"
	command -v apt-get >/dev/null || die "$1 is missing, and there is no apt-get to install $2"
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"; } >/dev/null ||
		die "$1 is missing, and $2 can't be installed"
}
need java openjdk-17-jdk-headless
need javac openjdk-17-jdk-headless
need curl curl
need mvn maven

work=$(mktemp -d "${TMPDIR:-/tmp}/footman-hudson.XXXXXX")
hudson=
stop() {
	[ -n "$hudson" ] && kill "$hudson" 2>/dev/null && wait "$hudson" 2>/dev/null
	[ -n "${KEEP:-}" ] && echo "kept: $work" || rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

gav=org.jvnet.hudson.main:hudson-war:1.395
war=${HUDSON_WAR:-$HOME/.m2/repository/org/jvnet/hudson/main/hudson-war/1.395/hudson-war-1.395.war}
if [ ! -s "$war" ]; then
	echo "fetching $gav from Maven Central (36 MB)"
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get -Dmaven.repo.local="$HOME/.m2/repository" -Dartifact="$gav:war" -Dtransitive=false >"$work/mvn.log" 2>&1 ||
		{ tail -20 "$work/mvn.log"; die "$gav can't be fetched by Maven"; }
fi
[ -s "$war" ] || die "Maven did not leave $war"
# What Maven Central serves, so that a broken download does not look like a broken agent.
sha1=$(sha1sum "$war" | cut -d' ' -f1)
[ "$sha1" = "84723ee7c8b7c28b3073c6f2ff34a3a8ad44a05c" ] || die "$war has the checksum $sha1: delete it and try again"

javac -nowarn -d "$work/classes" Launch.java || die "Launch.java does not compile"
home=$work/home root=$work/agent
mkdir -p "$home" "$root"
cp -R home/. "$home"
xml() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' <<<"$1"; }
command="$agent${AGENT_OPTIONS:+ $AGENT_OPTIONS}"
awk -v root="$(xml "$root")" -v cmd="$(xml "$command")" '
	{ if (i = index($0, "@ROOT@")) $0 = substr($0, 1, i-1) root substr($0, i+6)
	  if (i = index($0, "@COMMAND@")) $0 = substr($0, 1, i-1) cmd substr($0, i+9)
	  print }' home/config.xml >"$home/config.xml"

# A free port: the kernel gives one, and nobody else has asked for it since.
cat >"$work/Port.java" <<-'J'
	public class Port { public static void main(String[] a) throws Exception {
	  try (var s = new java.net.ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress())) { System.out.println(s.getLocalPort()); } } }
J
port=$(java "$work/Port.java") || die "no free port"
url=http://127.0.0.1:$port
get() { curl -s --noproxy '*' --max-time 10 "$@"; }

opens=
for p in java.lang java.lang.reflect java.util java.util.concurrent java.util.concurrent.atomic java.util.regex java.util.zip \
	java.text java.io java.net java.nio.charset sun.nio.cs; do opens="$opens --add-opens=java.base/$p=ALL-UNNAMED"; done
for p in java.awt.font javax.swing java.awt java.beans; do opens="$opens --add-opens=java.desktop/$p=ALL-UNNAMED"; done
# shellcheck disable=SC2086
HUDSON_HOME=$home java $opens -Xmx512m -Djava.io.tmpdir="$work" -DHUDSON_HOME="$home" -Dhudson.udp=0 -Dhudson.DNSMultiCast.disabled=true \
	-cp "$war:$work/classes" Launch --httpPort="$port" --httpListenAddress=127.0.0.1 --ajp13Port=-1 --webroot="$work/war" \
	>"$work/hudson.log" 2>&1 &
hudson=$!

# until SECONDS COMMAND…: waits, and gives up early when Hudson is gone
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		kill -0 "$hudson" 2>/dev/null || return 1
		sleep 0.3
	done
}
up() { [ "$(get -o /dev/null -w '%{http_code}' "$url/api/json")" = 200 ]; }
online() { get "$url/computer/footman/api/json" | grep -q '"offline":false'; }
built() { b=$(get "$url/job/footman/$1/api/json"); grep -q '"result":"[A-Z]' <<<"$b" && grep -q '"building":false' <<<"$b"; }

passed=0 failed=0
check() { # check TEXT COMMAND…
	local text=$1
	shift
	if "$@"; then passed=$((passed + 1)); echo "PASS  $text"; else failed=$((failed + 1)); echo "FAIL  $text"; fi
}
console() { get "$url/job/footman/$1/consoleText"; }
has() { grep -aqF -- "$2" <<<"$1"; }
lines() { [ "$(grep -acE "$2" <<<"$1")" = "$3" ]; }

until_true 90 up || { tail -40 "$work/hudson.log"; die "Hudson 1.395 did not start"; }
check "the node comes online over stdin and stdout" until_true 40 online
log=$(tr -d "\0" <"$home/slave-footman.log")
check "the node's log says so" has "$log" "Slave successfully connected and online"

if [ $failed = 0 ]; then
	get -X POST -o /dev/null "$url/job/footman/build"
	until_true 60 built 1
	out=$(console 1)
	check "the job succeeds" has "$out" "Finished: SUCCESS"
	check "it ran on the node" has "$out" "node footman, job footman, build 1"
	check "2000 lines of output, each once" lines "$out" '^[0-9]+$' 2000
	check "the last of them in place" has "$out" $'1999\n2000'
	kept=$(find "$home/jobs/footman/builds" -type d -name archive | head -1)
	for f in text.txt deep/big.txt; do
		want=$(grep -a "^sum .*  out/$f\$" <<<"$out" | cut -d' ' -f2)
		got=$(sha256sum "$kept/out/$f" 2>/dev/null | cut -d' ' -f1)
		check "artifact $f, $(stat -c %s "$kept/out/$f" 2>/dev/null) bytes, has the checksum of the workspace" test -n "$want" -a "$want" = "$got"
	done
	check "a link is archived as what it points to, as in 2011" cmp -s "$kept/out/link.txt" "$kept/out/text.txt"
	check "what the job excludes is not archived" test ! -e "$kept/out/skip.tmp"
	check "fingerprints are recorded" grep -q '"fileName":"text.txt"' <(get "$url/job/footman/1/api/json?depth=1")
	get -X POST -o /dev/null "$url/job/footman/build"
	until_true 60 built 2
	check "a second build succeeds" has "$(console 2)" "Finished: SUCCESS"
	check "Hudson logged no exception" bash -c '! grep -q "SEVERE" "$1"' _ "$work/hudson.log"
	check "the agent refused no callable" bash -c '! grep -aq "not implemented natively" "$1"' _ "$home/slave-footman.log"
	pid=$(pgrep -P "$hudson" | head -1)
	get -X POST -o /dev/null "$url/computer/footman/doDisconnect"
	gone() { ! kill -0 "$pid" 2>/dev/null; }
	check "after a disconnect the agent's process ends" until_true 10 gone
	# The end of a process makes 1.395 look for java.lang.UNIXProcess, which a JVM of today has not: no fault of the agent.
	check "the channel was closed in order" bash -c '! grep -q "NullPointerException\|Unexpected termination" "$1"' _ "$work/hudson.log"
fi

if [ $failed -gt 0 ]; then
	echo "--- the node's log"; tail -30 "$home/slave-footman.log"
	echo "--- the console"; console 1 | tail -30
	echo "--- Hudson's log"; tail -30 "$work/hudson.log"
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
