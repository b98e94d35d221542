"""What this runtime can do, as the runtime-spec's features.md wants it told."""

from __future__ import annotations

from typing import Any

from sandbox.capabilities import NAMES
from sandbox.oci.bundle import HOOKS, KINDS
from sandbox.oci.options import COPY_UP, FLAGS, IDMAPS, RECURSIVE
from sandbox.oci.scheduling import MODE_FLAGS, MODES
from sandbox.rootfs import PROPAGATIONS

__all__ = ["features"]


def features() -> dict[str, Any]:
    """Return it; a feature that is left out is not there."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": list(HOOKS),
        "mountOptions": sorted({*FLAGS, *PROPAGATIONS, *RECURSIVE, *IDMAPS, COPY_UP}),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": [f"CAP_{name}" for name in NAMES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": {
                "enabled": True,
                "actions": [f"SCMP_ACT_{name}" for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD",
                                                            "LOG", "NOTIFY", "TRACE", "TRAP")],
                "operators": [f"SCMP_CMP_{name}" for name in ("EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE")],
                "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
            },
            "memoryPolicy": {"modes": list(MODES), "flags": list(MODE_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
            "apparmor": {"enabled": True},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
        },
    }
