#!/usr/bin/env bash
# What CI does with the images, on a fresh Debian with Go, as root: a base by
# debootstrap instead of a registry, build, and check.
#
#   images/ci.sh [IMAGE …]                  default: static agent
#
# MIRROR   of Debian, for base.sh
#
# Installs buildah, crun, debootstrap and skips nothing silently: where containers
# can't be had at all it says NOT RUN and why, and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- static agent
not_run() {
	echo "NOT RUN: the images: $*"
	exit 0
}
[ "$(id -u)" = 0 ] || not_run "building and running them needs root"
why=$(unshare --mount --pid --fork true 2>&1) || not_run "this machine allows no namespaces: $why"
missing=()
for p in buildah crun debootstrap; do
	command -v $p >/dev/null || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" ca-certificates >/dev/null
fi

# buildah's own runtime would need a network of containers; chroot needs nothing.
export BUILDAH_ISOLATION=chroot
c=$(buildah from scratch 2>/dev/null) || c=
if [ -z "$c" ] || ! buildah mount "$c" >/dev/null 2>&1; then
	# No overlay on this file system. A place of its own: the other driver may
	# have left something in the usual one.
	storage=$(mktemp -d /var/tmp/footman-images.XXXXXX)
	trap 'rm -rf "$storage"' EXIT
	printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$storage" "$storage" >"$storage/storage.conf"
	export CONTAINERS_STORAGE_CONF=$storage/storage.conf
	c=$(buildah from scratch) || not_run "buildah has no storage here"
fi
buildah rm "$c" >/dev/null

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
export DEBIAN_IMAGE=${DEBIAN_IMAGE:-localhost/debian:bookworm}
if ! buildah inspect --type image "$DEBIAN_IMAGE" >/dev/null 2>&1; then
	say "a base: $DEBIAN_IMAGE"
	images/base.sh "$DEBIAN_IMAGE" >/dev/null
fi
say "images/build.sh $*"
images/build.sh "$@"
say "images/check.sh $*"
images/check.sh "$@"
say "that was all"
