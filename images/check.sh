#!/usr/bin/env bash
# Runs built images under crun and says what it saw (test/images): the agent of
# each comes online on the embedded controller as any uid, with a read-only root
# and without capabilities, and runs a build; static within 24 MiB of memory, and
# how long it takes to start; the builders build.
#
#   images/check.sh [-must] [IMAGE …]       default: static agent
#
# -must       a check that can't be run here fails, too
# REGISTRY    prefix of the names, as for build.sh
# AGENT_JAR, AGENT_CLASSES   the official agent to compare with (docs/benchmarks.md)
#
# Needs root, buildah and crun. Where they can't run, it says NOT RUN and why, and
# ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."

flags=()
[ "${1:-}" != -must ] || { flags=(-must); shift; }
[ $# -gt 0 ] || set -- static agent
not_run() {
	echo "NOT RUN: checks of the images $images: $*"
	[ ${#flags[@]} -eq 0 ] || exit 1
	exit 0
}
images=$*
[ "$(id -u)" = 0 ] || not_run "they need root"
for p in buildah crun unshare; do
	command -v "$p" >/dev/null || not_run "there is no $p"
done
why=$(unshare --mount true 2>&1) || not_run "no mount namespace may be made here: $why"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -o "$work/check" ./test/images
# A namespace of our own, for the mounts of buildah; and because crun refuses
# control groups of version 1 with some of version 2 beside them, it gets the first
# alone.
# shellcheck disable=SC2016 # expanded inside
unshare --mount --propagation private sh -euc '
	if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && mountpoint -q /sys/fs/cgroup/unified; then
		umount /sys/fs/cgroup/unified
	fi
	exec "$@"' sh "$work/check" "${flags[@]}" -registry "${REGISTRY:-localhost/footman}" "$@"
