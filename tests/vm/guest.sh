#!/bin/sh
# Runs as root inside the virtual machine: guest.sh PYTHON ARCHIVE [PYTEST ARGUMENTS]
# Says when it is up and how pytest ended: see run.py.
python=$1
archive=$2
shift 2
echo "cgscope-vm: up"

# Controllers of cgroup v2 reach a group only when each group above it passes them on.
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done

# The root is read-only 9p; /tmp and /var are overlays, which cannot be the upper layer of another overlay.
mkdir -p /run/cgscope /run/tmp
ip link set lo up

# What Python reads at every start, from memory instead of 9p: each tree of the archive is laid over its original.
mkdir /run/python
tar -C /run/python -xf "$archive"
find /run/python -mindepth 1 -type d \( -name inspector -o -name exporter -o -name sandbox -o -name tests \
    -o -name 'python3*' -o -name site-packages \) -prune | while read -r tree; do
    mount --bind "$tree" "${tree#/run/python}"
done
export HOME=/root LANG=C.UTF-8 TERM=xterm-256color
export TMPDIR=/run/tmp CGSCOPE_ROOT=/run/cgscope CGSCOPE_VM=1
export PYTHONDONTWRITEBYTECODE=1
export PATH="$(dirname "$python"):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Only the files that have such tests are read: to read all takes an emulated machine longer than some of the tests.
"$python" -m pytest -m vm -p no:xdist --reruns 1 -rsR --rerun-show-tracebacks --durations 12 \
    $(grep -l 'pytest\.mark\.vm' tests/root/test_*.py) "$@" < /dev/null 2>&1
echo "cgscope-vm: pytest exited with $?"
