"""A bundle of busybox for `sandbox oci`, which tests change, and the runtime with a root of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.root import sandboxing
from tests.testbed import cgroups
from tests.testbed.commands import REPOSITORY, SANDBOX, Completed

PATIENCE = 60.0


class Runtime:
    """`sandbox oci` with a root of its own, and one bundle of busybox that tests change."""

    def __init__(self, directory: Path) -> None:
        busybox = shutil.which("busybox")
        assert busybox is not None
        self.directory = directory
        self.tracer: list[str] = []  # a command that is put before those of the runtime
        self.bundle = directory / "bundle"
        binaries = self.bundle / "rootfs/bin"
        binaries.mkdir(parents=True)
        shutil.copy(busybox, binaries / "busybox")
        for name in ("sh", "sleep", "true", "cat", "id", "ls", "test", "touch", "hostname", "unshare", "grep", "tr",
                     "stat", "uname", "head", "dd"):  # fmt: skip
            (binaries / name).symlink_to("busybox")
        self.config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": ["sleep", "1000"],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"]},
            },
            "root": {"path": "rootfs"},
            "hostname": "boxed",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup")],
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": ["/proc/kcore"],
                "readonlyPaths": ["/proc/sys"],
            },
            "annotations": {"who": "a test"},
        }  # fmt: skip

    def __call__(self, *words: str, check: bool = True, given: dict[str, Any] | None = None) -> Completed:
        """Run `sandbox oci WORDS` on the bundle as it is configured now; `given` is for subprocess.run."""
        (self.bundle / "config.json").write_text(json.dumps(self.config))
        command = [*self.tracer, *SANDBOX, "oci", "--root", str(self.directory / "root"),
                   "--log", str(self.directory / "log"), "--log-format", "json", *words]  # fmt: skip
        # Not through pipes: the container's program has our standard streams, and outlives `create`.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=REPOSITORY,
                                  check=False, timeout=120, **given or {}).returncode  # fmt: skip
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        assert code == 0 or not check, texts[1]
        return Completed(command, code, *texts)

    def state(self, name: str) -> dict[str, Any]:
        """Return what `state` says."""
        found: dict[str, Any] = json.loads(self("state", name).stdout)
        return found

    def set(self, *path: str, value: object) -> None:
        """Change one value of the configuration."""
        place = self.config
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value

    def close(self) -> None:
        """Remove every container."""
        for name in self("list", "-q", check=False).stdout.split():
            self("delete", "--force", name, check=False)


def create(runtime: Runtime, name: str, *options: str, check: bool = True) -> Completed:
    """Make a container from the bundle."""
    return runtime("create", "--bundle", str(runtime.bundle), *options, name, check=check)


def wait_for_program(pid: int, word: bytes) -> None:
    """Wait until a process runs a program with this word in its command line."""
    assert sandboxing.wait_for(lambda: word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"), PATIENCE)


def limits_of(pid: int) -> list[str]:
    """Return the memory, CPU quota and processes that the kernel keeps a process's cgroups to."""
    files = (
        ("memory", "memory.limit_in_bytes", "memory.max"),
        ("cpu", "cpu.cfs_quota_us", "cpu.max"),
        ("pids", "pids.max"),
    )
    return [cgroups.control(pid, *names).split()[0] for names in files]
