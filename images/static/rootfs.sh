#!/bin/sh
# Lays out the root file system of the static image, on Debian.
#
#   rootfs.sh DIR ARCH      ARCH as Docker and Debian call it: amd64, arm64
#
# busybox gives the injection of the kubernetes plugin its `sh` and `cp`, and
# durable steps their nohup. It is the package of the target's architecture,
# unpacked and never run, so that no emulation is needed.
set -eu
root=$1 arch=$2
dirs='bin etc/ssl/certs home/jenkins/agent run tmp usr/bin usr/local/bin usr/share/jenkins usr/share/doc var/tmp'
here=$(dpkg --print-architecture)
export DEBIAN_FRONTEND=noninteractive
if [ "$arch" != "$here" ]; then dpkg --add-architecture "$arch"; fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates busybox-static >/dev/null
work=$(mktemp -d)
chmod 0755 "$work"
# apt's own user may not write here when it downloads: root does.
(cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "busybox-static:$arch" && dpkg-deb -x busybox-static_*.deb x)

for d in $dirs; do mkdir -p "$root/$d"; done
find "$work/x" -name busybox -type f -exec cp {} "$root/bin/busybox" \;
chmod 0755 "$root/bin/busybox"
cp "$work/x/usr/share/doc/busybox-static/copyright" "$root/usr/share/doc/busybox-copyright"
# What is in the image, where scanners look in images that have no dpkg. The
# status is the installed one: of the package that was unpacked there is none.
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in busybox-static ca-certificates; do
	dpkg-query -s "$deb" | sed -n '/^\(Package\|Status\|Architecture\|Source\|Version\|Maintainer\):/p' >"$root/var/lib/dpkg/status.d/$deb"
done
sed -i "s/^Architecture: $here\$/Architecture: $arch/" "$root/var/lib/dpkg/status.d/busybox-static"
# The applets of both architectures are the same: one version, one config.
for applet in $(busybox --list); do
	case $applet in busybox | init | reboot | poweroff | halt | su | login | getty) continue ;; esac
	ln -s busybox "$root/bin/$applet"
done
# Debian's busybox lacks nohup, without which no durable step starts.
if [ ! -e "$root/bin/nohup" ]; then
	printf '#!/bin/sh\n[ ! -t 1 ] || exec >>nohup.out\n[ ! -t 2 ] || exec 2>&1\ntrap "" HUP\nexec "$@"\n' >"$root/bin/nohup"
	chmod 0755 "$root/bin/nohup"
fi
ln -s /bin/env "$root/usr/bin/env"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/root:/sbin/nologin\njenkins:x:1000:1000:jenkins:/home/jenkins:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\njenkins:x:1000:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
# The kubernetes plugin copies this directory to where it injects the agent.
printf 'The agent is /usr/local/bin/jenkins-agent: one static file, no agent.jar.\n' >"$root/usr/share/jenkins/README"
chmod 1777 "$root/tmp" "$root/var/tmp"
chmod 0775 "$root/home/jenkins" "$root/home/jenkins/agent"
rm -rf "$work"
