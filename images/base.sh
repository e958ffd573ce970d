#!/bin/sh
# A Debian base image without a registry: debootstrap, less manuals and
# translations. For places that have a Debian mirror and no Docker Hub.
#
#   images/base.sh [NAME]            default localhost/debian:bookworm
#
# MIRROR, SUITE and EXTRA (packages, for a JDK: openjdk-17-jdk-headless) choose.
# ARCH, such as "amd64 arm64", makes NAME a list of images, NAME-amd64 and so on;
# another machine's need qemu-user-static and its binfmt_misc entry.
# With GOROOT_COPY=DIR that Go goes along, for the stage `build` of the root's
# Dockerfile.
set -eu
name=${1:-localhost/debian:bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian} suite=${SUITE:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" # it becomes the image's /

base() { # base NAME [ARCH]
	rm -rf "$work/root"
	debootstrap --variant=minbase ${2:+--arch="$2"} ${EXTRA:+--include="$(echo "$EXTRA" | tr ' ' ,)"} "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || {
		tail -20 "$work/log" >&2
		exit 1
	}
	(
		cd "$work/root"
		rm -rf var/cache/apt/archives/*.deb var/cache/apt/*.bin var/lib/apt/lists/* var/log/*.log var/log/apt \
			usr/share/man/* usr/share/info/* usr/share/locale/* usr/share/lintian/*
		find usr/share/doc -type f ! -name copyright -delete
		if [ -n "${GOROOT_COPY:-}" ]; then
			mkdir -p usr/local
			cp -R "$GOROOT_COPY" usr/local/go
			ln -s ../go/bin/go usr/local/bin/go
		fi
	)
	c=$(buildah from scratch)
	buildah add -q "$c" "$work/root" / >/dev/null
	buildah config ${2:+--arch "$2"} --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd /bin/sh "$c"
	buildah commit -q --rm "$c" "$1" >/dev/null
}

if [ -z "${ARCH:-}" ]; then
	base "$name"
else
	buildah manifest create "$name" >/dev/null
	for arch in $ARCH; do
		base "$name-$arch" "$arch"
		buildah manifest add "$name" "containers-storage:$name-$arch" >/dev/null
	done
fi
echo "$name"
