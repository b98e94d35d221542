#!/bin/sh
# Runs another project's suite on `sandbox oci`: sh tests/oci_suites.sh crun|runc|runtime-tools CHECKOUT [FILE...]
# As root, with gcc, libseccomp-dev, bats, jq and gawk (runc), and Go. TAP goes to standard output.
# The results and what they mean: docs/oci-runtime.md.
set -eu
repository=$(cd "$(dirname "$0")/.." && pwd)
suite=$1
cd "$2"
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PYTHON=$repository/.venv/bin/python

# Of crun's words those that no other runtime has, --cgroup-manager X and --config F, are left out.
cat > "$work/runtime" <<END
#!/bin/bash
words=()
while [ \$# -gt 0 ]; do
    case \$1 in --cgroup-manager | --config) shift 2 ;; *) words+=("\$1"); shift ;; esac
done
PYTHONPATH=$repository exec $PYTHON -P -m sandbox.cli oci "\${words[@]}"
END
chmod +x "$work/runtime"

run_crun() {
    printf '#define HAVE_LINUX_IOPRIO_H 1\n#define HAVE_SECCOMP 1\n' > "$work/config.h"
    gcc -static -I"$work" -o "$work/init" tests/init.c -lseccomp
    # What its tests of mounts read of libmount's Python module, which Debian 12 does not have.
    cat > "$work/libmount.py" <<END
class Mount:
    def __init__(self, line):
        left, right = line.split(" - ")
        self.target, self.vfs_options, self.fs_options = left.split()[4], left.split()[5], right.split()[-1]
class Table:
    def __init__(self, path):
        self.mounts = [Mount(line) for line in open(path) if " - " in line]
    def find_target(self, target):
        return next((mount for mount in reversed(self.mounts) if mount.target == target), None)
END
    for file in "${@:-tests/test_*.py}"; do
        for each in $file; do
            echo "# $each"
            INIT=$work/init OCI_RUNTIME=$work/runtime PYTHONPATH=$work timeout 900 "$PYTHON" "$each" || true
        done
    done
}

run_runc() {
    GOFLAGS=-mod=vendor go build -tags seccomp -o tests/cmd/_bin/ ./tests/cmd/...
    for file in "${@:-tests/integration/*.bats}"; do
        for each in $file; do RUNC=$work/runtime timeout 900 bats --tap "$each" || true; done
    done
}

run_runtime_tools() {
    GOFLAGS=-mod=vendor make runtimetest
    mkdir -p bin
    GOFLAGS=-mod=vendor go build -o bin/ ./validation/...
    for each in "${@:-bin/*}"; do
        for each in $each; do
            echo "# $each"
            RUNTIME=$work/runtime timeout 300 "$each" || true
        done
    done
}

case $suite in
crun) run_crun "$@" ;;
runc) run_runc "$@" ;;
runtime-tools) run_runtime_tools "$@" ;;
*) echo "$suite: crun, runc or runtime-tools" >&2; exit 2 ;;
esac
