"""A config.json to begin with, for `spec`: a shell with the usual mounts and namespaces, and few rights."""

from __future__ import annotations

from typing import Any

from sandbox.rootfs import MASKED, READ_ONLY

__all__ = ["example"]

SAFE = ["nosuid", "noexec", "nodev"]
CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
# Type, destination, source, options.
MOUNTS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("proc", "/proc", "proc", SAFE),
    ("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("devpts", "/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ("tmpfs", "/dev/shm", "shm", [*SAFE, "mode=1777", "size=65536k"]),  # noqa: S108  not a temporary file of ours
    ("mqueue", "/dev/mqueue", "mqueue", SAFE),
    ("sysfs", "/sys", "sysfs", [*SAFE, "ro"]),
    ("cgroup", "/sys/fs/cgroup", "cgroup", [*SAFE, "relatime", "ro"]),
)


def example(version: str) -> dict[str, Any]:
    """Return it, of this version of the specification."""
    return {
        "ociVersion": version,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(CAPABILITIES) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sandbox",
        "mounts": [
            {"destination": destination, "type": kind, "source": source, "options": options}
            for kind, destination, source, options in MOUNTS
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [path for path in MASKED if "*" not in path],
            "readonlyPaths": list(READ_ONLY),
        },
    }
