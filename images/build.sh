#!/usr/bin/env bash
# Builds the images, prints their sizes and holds them to their budgets.
#
#   images/build.sh [IMAGE …]        default: static agent
#
# ENGINE      buildah, podman or docker; default: the first that is there
# REGISTRY    prefix of the names; default footman (localhost/footman elsewhere)
# PLATFORM    such as linux/arm64; default: this machine's
# DEBIAN_IMAGE, JDK_IMAGE, KANIKO_IMAGE, BUILDKIT_IMAGE   bases, from any mirror
# SBOM_DIR    where the bills of material go; default bin/sbom
#
# Without an engine's daemon and without privileges of containers:
#   BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs images/build.sh
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${ENGINE:-}
for e in buildah podman docker; do
	[ -n "$engine" ] || { command -v $e >/dev/null && engine=$e; }
done
[ -n "$engine" ] || { echo "build.sh: neither buildah nor podman nor docker is here" >&2; exit 1; }
registry=${REGISTRY:-localhost/footman}
arch=${PLATFORM:-linux/$(go env GOARCH)}
arch=${arch#linux/}
sbom=${SBOM_DIR:-bin/sbom}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
[ $# -gt 0 ] || set -- static agent

# compressed, as a registry counts; MB are 10^6 bytes
declare -A budget=([static]=20 [agent]=60)

build() { # build IMAGE DOCKERFILE CONTEXT [ARG=VALUE …]
	local name=$1 file=$2 context=$3 args=()
	shift 3
	for a in "$@"; do args+=(--build-arg "$a"); done
	args+=(--build-arg "TARGETARCH=$arch" --build-arg "BUILDPLATFORM=linux/$(go env GOHOSTARCH)")
	for v in DEBIAN_IMAGE JDK_IMAGE KANIKO_IMAGE BUILDKIT_IMAGE; do
		[ -z "${!v:-}" ] || args+=(--build-arg "$v=${!v}")
	done
	case $engine in
	# Only the docker format has a HEALTHCHECK. The timestamp makes it reproducible.
	buildah) buildah bud -q --format docker --timestamp "$epoch" --platform "linux/$arch" "${args[@]}" -t "$registry/$name" -f "$file" "$context" ;;
	podman) podman build -q --format docker --timestamp "$epoch" --platform "linux/$arch" "${args[@]}" -t "$registry/$name" -f "$file" "$context" ;;
	docker) SOURCE_DATE_EPOCH=$epoch docker build -q --platform "linux/$arch" "${args[@]}" -t "$registry/$name" -f "$file" "$context" ;;
	esac
}

sizes() { # sizes IMAGE → compressed and unpacked bytes
	local dir
	dir=$(mktemp -d)
	case $engine in
	docker) docker save "$registry/$1" | gzip -6 | wc -c | tr '\n' ' ' && docker image inspect -f '{{.Size}}' "$registry/$1" ;;
	*)
		$engine push -q "$registry/$1" "oci:$dir/oci" >/dev/null
		find "$dir/oci/blobs" -type f -printf '%s\n' | awk '{n += $1} END {printf "%d ", n}'
		for f in "$dir"/oci/blobs/sha256/*; do gzip -dc "$f" 2>/dev/null || true; done | wc -c
		;;
	esac
	rm -rf "$dir"
}

mkdir -p "bin/linux-$arch" "$sbom"
CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags="-s -w" -o "bin/linux-$arch/jenkins-agent" ./cmd/jenkins-agent
go run ./images/sbom "bin/linux-$arch/jenkins-agent" >"$sbom/jenkins-agent-linux-$arch.cdx.json"

failed=0
printf '%-12s %-6s %14s %14s %10s\n' image arch compressed unpacked budget
for image in "$@"; do
	case $image in
	static) build static images/static/Dockerfile . >/dev/null ;;
	agent-java) build agent-java images/agent-java/Dockerfile images/agent-java "AGENT=$registry/agent" >/dev/null ;;
	agent | kaniko | buildkit) build "$image" "images/$image/Dockerfile" "images/$image" "STATIC=$registry/static" >/dev/null ;;
	*) echo "build.sh: there is no image $image" >&2; exit 64 ;;
	esac
	read -r packed unpacked < <(sizes "$image")
	limit=${budget[$image]:-}
	printf '%-12s %-6s %11.1f MB %11.1f MB %10s\n' "$image" "$arch" "$(awk "BEGIN{print $packed/1000000}")" \
		"$(awk "BEGIN{print $unpacked/1000000}")" "${limit:+$limit MB}"
	if [ -n "$limit" ] && [ "$packed" -gt $((limit * 1000000)) ]; then
		echo "build.sh: $image is over its budget" >&2
		failed=1
	fi
done
exit $failed
