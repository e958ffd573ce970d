#!/usr/bin/env bash
# Runs the built images without an engine, in namespaces: the agent of each comes
# online on the embedded controller and runs a step, as an arbitrary uid, with a
# read-only root; and agent injection works from static.
#
#   images/check.sh [IMAGE …]         default: static agent; needs root and buildah
set -euo pipefail
cd "$(dirname "$0")/.."
registry=${REGISTRY:-localhost/footman}
[ $# -gt 0 ] || set -- static agent
work=$(mktemp -d)
chmod 0755 "$work" # an arbitrary uid goes through it
controller=
trap '[ -z "$controller" ] || kill "$controller" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/controller" ./test/controller/cmd

contain() { # contain ROOT VOLUME COMMAND ARG …   as uid 54321, gid 0; PID 1 of its namespace
	# shellcheck disable=SC2016 # expanded inside
	unshare --mount --pid --fork --kill-child sh -euc '
		root=$1 vol=$2
		shift 2
		mount --make-rprivate /
		mount --bind "$root" "$root"
		mkdir -p "$root/proc" "$root/dev"
		mount -t proc proc "$root/proc"
		mount --bind /dev "$root/dev"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		mount --bind "$vol" "$root/home/jenkins/agent"
		mount -o remount,bind,ro "$root"
		cd /
		exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid env -i \
			PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/jenkins/agent \
			/usr/sbin/chroot --userspec=54321:0 --groups= "$root" "$@"
	' sh "$@"
}

for image in "$@"; do
	c=$(buildah from "$registry/$image")
	root=$(buildah mount "$c")
	vol=$work/vol-$image
	mkdir "$vol"
	chmod 0777 "$vol"
	timeout 60 "$work/controller" -listen 127.0.0.1:0 -root /home/jenkins/agent -run 'id -u; head -c 1000000 /dev/zero >big; ls -l big; echo built' >"$work/out" 2>&1 &
	controller=$!
	sleep 0.2
	for _ in $(seq 100); do
		grep -q waiting "$work/out" && break
		sleep 0.1
	done
	url=$(grep -o 'http://[^ ]*' "$work/out" | head -1)
	secret=$(grep -oE '[0-9a-f]{64}' "$work/out" | head -1)
	(contain "$root" "$vol" /usr/local/bin/jenkins-agent -url "$url" -secret "$secret" -name agent-1 -webSocket -workDir /home/jenkins/agent -noReconnect >"$work/agent" 2>&1 || true) &
	agent=$!
	if wait "$controller" && grep -q built "$work/out" && grep -q 54321 "$work/out"; then
		echo "$image: online as uid 54321 with a read-only root, and a step ran"
	else
		cat "$work/out" "$work/agent"
		exit 1
	fi
	controller=
	wait "$agent" || true
	if [ "$image" = static ]; then
		# What the kubernetes plugin's init container runs, into a volume of its own.
		# shellcheck disable=SC2016 # expanded in the container
		contain "$root" "$vol" /bin/sh -c 'mkdir -p "$HOME/injected"; cp $(command -v jenkins-agent) "$HOME/injected/jenkins-agent"; cp -R /usr/share/jenkins/. "$HOME/injected"'
		"$vol/injected/jenkins-agent" -version >/dev/null
		echo "$image: agent injection copied a program that runs"
	fi
	buildah umount "$c" >/dev/null
	buildah rm "$c" >/dev/null
done
