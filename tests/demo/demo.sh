#!/usr/bin/env bash
# The main job on one real container: seen from the host, from inside it, and by plain /proc.
# Prints each command it runs. Leaves nothing behind, however it ends. Fails when any step fails.
set -u
cd "$(dirname "$0")/../.."
BIN=$PWD/.venv/bin
NAME=demo
FAILED=0
STATE=$(mktemp -d "$([ -w /run ] && echo /run || echo "${TMPDIR:-/tmp}")/cgscope-demo.XXXXXX")
export CGSCOPE_ROOT=$STATE PATH=$BIN:$PATH PYTHONDONTWRITEBYTECODE=1

BOLD= PLAIN=
[ ! -t 1 ] || { BOLD=$'\033[1m' PLAIN=$'\033[0m'; }

heading() { printf '\n%s== %s ==%s\n' "$BOLD" "$1" "$PLAIN"; }

fail() {
    echo "failed: $1" >&2
    FAILED=1
}

# The command as one can paste it, then what it prints.
step() {
    local word line='$'
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+=" $word"
    done
    echo "${line//$BIN\//}"
    "$@" || fail "exit code $?"
}

clean_up() {
    trap '' INT TERM
    sandbox rm -f "$NAME" >/dev/null 2>&1
    rm -rf "$STATE"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

metrics_of() {
    echo "\$ cgscope-exporter --once | grep 'name=\"$1\"'"
    cgscope-exporter --once > "$STATE/metrics" || fail "exit code $?"
    grep -F "name=\"$1\"" "$STATE/metrics" | grep -E '_cpu_(usage|members|spec|limit_cores|cfs)|_memory_(working_set|limit)_bytes|_processes' ||
        fail "no metrics of $1"
}

nothing_left() {
    echo "\$ ls -d /proc/$1; find /sys/fs/cgroup -name '*${2:0:12}*'; grep ${2:0:12} /proc/mounts"
    local rest
    rest=$({ ls -d "/proc/$1"; find /sys/fs/cgroup -name "*${2:0:12}*"; grep "${2:0:12}" /proc/mounts; } 2>/dev/null)
    if [ -n "$rest" ]; then
        echo "$rest"
        fail "something is left"
    fi
}

LIMITS=(--cpu-quota 20000 --cpu-period 100000 --memory 64m)
WHAT="A container of this machine's own files, allowed a fifth of a core and 64 MiB, with a busy loop in it"
if [ "$(id -u)" != 0 ]; then
    LIMITS=()
    WHAT="A container of this machine's own files with a busy loop in it"
    heading "Not root: what the kernel allows all the same"
    echo "Missing: a CPU quota and a memory limit, as control groups are root's unless one was delegated."
    echo "Left: namespaces of its own, a root filesystem of its own, and the same tools."
fi
# A checkout on a filesystem of its own is not part of `/`, so it is bound into the container.
BIND=()
[ "$(stat -c %d .)" = "$(stat -c %d /)" ] || BIND=(-v "$PWD:$PWD:ro")

heading "$WHAT"
step sandbox run -d --name "$NAME" --rootfs / ${BIND[@]+"${BIND[@]}"} ${LIMITS[@]+"${LIMITS[@]}"} \
    -- sh -c 'while :; do :; done'
if [ "$FAILED" != 0 ]; then
    [ "$(id -u)" = 0 ] ||
        echo "Perhaps this kernel gives an ordinary user no namespaces (user.max_user_namespaces): sudo make demo" >&2
    exit 1
fi
pid=$(sandbox inspect --format '{{.State.Pid}}' "$NAME")
id=$(sandbox inspect --format '{{.Id}}' "$NAME")

heading "Seen from the host"
step ctop --once -f "name:$NAME"

heading "Seen from inside the container, by the same command"
step sandbox exec "$NAME" "$BIN/ctop" --once

heading "What plain /proc claims inside the container: the whole machine"
step sandbox exec "$NAME" grep -c ^processor /proc/cpuinfo
step sandbox exec "$NAME" grep MemTotal /proc/meminfo

heading "What its first process is isolated from, allowed and using"
step nsinspect "$pid"

heading "The same as Prometheus metrics"
metrics_of "$NAME"

heading "Removed: no process, cgroup or mount is left"
step sandbox rm -f "$NAME"
nothing_left "$pid" "$id"
[ "$(id -u)" = 0 ] || printf '\nRun it as root to see the limits as well: sudo make demo\n'
[ "$FAILED" = 0 ] || exit 1
