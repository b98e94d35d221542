#!/bin/sh
# Installs the Debian packages that the tests use as subjects (runtimes), oracles (prometheus,
# lxcfs), peers of the benches (htop, other exporters) and tools. Quick when nothing is missing. Starts no service: RUNLEVEL=1 for sysvinit,
# a policy-rc.d of our own, for as long as it takes, for systemd.
set -eu

PACKAGES="apparmor binutils bubblewrap busybox-static chromium conmon containerd crun curl docker.io e2fsprogs firejail fish fuse-overlayfs glances htop iproute2 linux-image-amd64 lxc lxcfs
nftables nginx-light openssl podman prometheus prometheus-node-exporter prometheus-process-exporter qemu-system-x86
runc s6 strace supervisor systemd-container tini tmux util-linux zsh zstd"
POLICY=/usr/sbin/policy-rc.d

missing() {
    for package in $PACKAGES; do
        case "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" in
            *" installed") ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

# A missing package costs a person some skipped tests; in CI it is a failure.
give_up() {
    echo "$1" >&2
    [ -z "${CI:-}" ] || exit 1
    echo "The tests that need them are skipped." >&2
    exit 0
}

command -v apt-get >/dev/null || give_up "No apt-get here. The tests use these Debian packages: $(echo $PACKAGES)"
wanted=$(missing)
[ -n "$wanted" ] || exit 0
[ "$(id -u)" = 0 ] || give_up "Missing, and only root can install them: apt-get install $wanted"

echo "installing for the tests: $wanted"
if [ ! -e "$POLICY" ]; then
    trap 'rm -f "$POLICY"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$POLICY"
    chmod +x "$POLICY"
fi
log=$(mktemp)
export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
# The kernel is for the virtual machine, which needs no initramfs: on a machine that nobody will boot again none is made.
[ -z "${CI:-}" ] || export INITRD=No
if ! { apt-get update && apt-get install -y --no-install-recommends $wanted; } > "$log" 2>&1 < /dev/null; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    give_up "apt-get could not install: $wanted"
fi
rm -f "$log"
