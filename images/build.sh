#!/usr/bin/env bash
# Builds the images, prints their sizes and digests and holds them to their budgets.
#
#   images/build.sh [--twice] [IMAGE …]        default: static agent
#
# --twice     builds each again from nothing and fails unless the digest is the same
# ENGINE      buildah, podman or docker; default: the first that is there
# REGISTRY    prefix of the names; default footman (localhost/footman elsewhere)
# PLATFORM    such as linux/arm64, or several with commas; default: this machine's.
#             REGISTRY/IMAGE:ARCH is the image, REGISTRY/IMAGE a list of all
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
IFS=, read -ra platforms <<<"${PLATFORM:-linux/$(go env GOARCH)}"
sbom=${SBOM_DIR:-bin/sbom}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
twice=
[ "${1:-}" != --twice ] || { twice=yes; shift; }
[ $# -gt 0 ] || set -- static agent
if [ "$engine" = docker ] && { [ -n "$twice" ] || [ ${#platforms[@]} -gt 1 ]; }; then
	echo "build.sh: docker alone can neither: use docker buildx, or buildah" >&2
	exit 64
fi

# compressed, as a registry counts; MB are 10^6 bytes
declare -A budget=([static]=20 [agent]=60)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/" ./images/canonical ./images/sbom

build() { # build IMAGE ARCH
	local name=$1 arch=$2 tag=$registry/$1:$2 context=images/$1 args=() format=()
	case $name in
	static) context=. ;;
	agent-java) args=(--build-arg "AGENT=$registry/agent:$arch") ;;
	*) args=(--build-arg "STATIC=$registry/static:$arch") ;;
	esac
	args+=(--build-arg "TARGETARCH=$arch" --build-arg "BUILDPLATFORM=linux/$(go env GOHOSTARCH)")
	for v in DEBIAN_IMAGE JDK_IMAGE KANIKO_IMAGE BUILDKIT_IMAGE; do
		[ -z "${!v:-}" ] || args+=(--build-arg "$v=${!v}")
	done
	# Only the docker format has a HEALTHCHECK. The timestamp is for all files.
	[ "$engine" = docker ] || format=(--no-cache --format docker --timestamp "$epoch")
	[ "$engine" != buildah ] || set -- bud
	[ "$engine" = buildah ] || set -- build
	left_behind >"$work/before"
	SOURCE_DATE_EPOCH=$epoch $engine "$1" -q "${format[@]}" --platform "linux/$arch" "${args[@]}" -t "$tag" -f "images/$name/Dockerfile" "$context" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		echo "build.sh: $name for $arch could not be built" >&2
		exit 1
	}
	left_behind | { grep -vxFf "$work/before" || true; } | xargs -r buildah rm >/dev/null
}

# buildah forgets the container of a stage that is FROM and nothing else; and with
# --force-rm it takes the stage's image away as well, which is our static.
left_behind() {
	[ "$engine" != buildah ] || buildah containers -q --notruncate
	echo
}

# canonical IMAGE ARCH DIR → digest; the image without the traces of its build,
# in DIR and under its name.
canonical() {
	local tag=$registry/$1:$2 id raw
	rm -rf "$3"
	raw=$($engine inspect --type image --format '{{.FromImageID}}' "$tag" 2>/dev/null || true)
	# podman leaves layers as they are unless it is told; buildah compresses.
	if [ "$engine" = podman ]; then
		podman push -q --compress "$tag" "dir:$3" >/dev/null
	else
		$engine push -q "$tag" "dir:$3" >/dev/null
	fi
	"$work/canonical" "$3"
	id=$($engine pull -q --arch "$2" "dir:$3")
	$engine tag "$id" "$tag"
	[ -z "$raw" ] || [ "$raw" = "$id" ] || $engine rmi "$raw" >/dev/null 2>&1 || true
}

row='%-12s %-6s %11s MB %11s MB %9s  %s\n'
mb() { awk "BEGIN{printf \"%.1f\", $1/1000000}"; }
failed=0
report() { # report IMAGE ARCH DIR DIGEST
	local packed unpacked limit=${budget[$1]:-}
	if [ "$engine" = docker ]; then
		packed=$(docker save "$registry/$1:$2" | gzip -6 | wc -c)
		unpacked=$(docker image inspect -f '{{.Size}}' "$registry/$1:$2")
	else
		packed=$(find "$3" -type f ! -name version -printf '%s\n' | awk '{n += $1} END {print n}')
		unpacked=$(for f in "$3"/*; do gzip -dc "$f" 2>/dev/null || true; done | wc -c)
	fi
	# shellcheck disable=SC2059 # the format is ours
	printf "$row" "$1" "$2" "$(mb "$packed")" "$(mb "$unpacked")" "${limit:+$limit MB}" "$4"
	if [ -n "$limit" ] && [ "$packed" -gt $((limit * 1000000)) ]; then
		echo "build.sh: $1 is over its budget" >&2
		failed=1
	fi
}

mkdir -p "$sbom"
# shellcheck disable=SC2059 # the format is ours
printf "${row//MB/  }" image arch compressed unpacked budget digest
for image in "$@"; do
	[ -f "images/$image/Dockerfile" ] || { echo "build.sh: there is no image $image" >&2; exit 64; }
	digest=
	for platform in "${platforms[@]}"; do
		arch=${platform#linux/}
		if [ "$image" = static ]; then
			make -s "bin/linux-$arch/jenkins-agent" "bin/linux-$arch/jenkins-shell"
			"$work/sbom" "bin/linux-$arch/jenkins-agent" >"$sbom/jenkins-agent-linux-$arch.cdx.json"
		fi
		build "$image" "$arch"
		[ "$engine" = docker ] || digest=$(canonical "$image" "$arch" "$work/$image-$arch")
		report "$image" "$arch" "$work/$image-$arch" "$digest"
		[ "$engine" = docker ] || "$work/sbom" "$work/$image-$arch" "$registry/$image@$digest" >"$sbom/$image-linux-$arch.cdx.json"
		if [ -n "$twice" ]; then
			build "$image" "$arch"
			again=$(canonical "$image" "$arch" "$work/again")
			if [ "$digest" != "$again" ]; then
				echo "build.sh: $image for $arch is not reproducible: the second build is $again" >&2
				diff <(grep -o 'sha256:[0-9a-f]*' "$work/$image-$arch/manifest.json") <(grep -o 'sha256:[0-9a-f]*' "$work/again/manifest.json") >&2 || true
				failed=1
			else
				echo "$image $arch: the same digest twice"
			fi
		fi
	done
	if [ ${#platforms[@]} -eq 1 ]; then
		$engine tag "$registry/$image:$arch" "$registry/$image"
		continue
	fi
	$engine manifest rm "$registry/$image" >/dev/null 2>&1 || $engine rmi "$registry/$image" >/dev/null 2>&1 || true
	$engine manifest create "$registry/$image" >/dev/null
	for platform in "${platforms[@]}"; do
		$engine manifest add "$registry/$image" "containers-storage:$registry/$image:${platform#linux/}" >/dev/null
	done
	echo "$registry/$image: a list of ${platforms[*]}"
done
exit $failed
