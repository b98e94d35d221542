"""What `sandbox info` and `version` say, with Docker's keys where it has one."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox.images.store import Images
from sandbox.reconcile import reconcile
from sandbox.state import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["info", "own_version", "version"]


def own_version() -> str:
    """Return the version of this distribution."""
    try:
        return version_of("cgscope")
    except PackageNotFoundError:
        return "unknown"


def info(store: Store) -> dict[str, Any]:
    """Return how many containers there are and what this machine has; a part that cannot be read is None."""
    found = reconcile(store)
    statuses = [text["State"]["Status"] for text in found]
    hierarchies = read_hierarchies(Host())
    versions = {hierarchy.version for hierarchy in hierarchies}
    release = _os_release()
    return {
        "Containers": len(found),
        "ContainersRunning": sum(text["State"]["Running"] and not text["State"]["Paused"] for text in found),
        "ContainersPaused": statuses.count("paused"),
        "ContainersStopped": sum(not text["State"]["Running"] for text in found),
        "Images": len(Images(store.root).ids()),
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if versions == {2} else "1" if versions <= {1} else "1 and 2",
        "CgroupControllers": sorted({name for hierarchy in hierarchies for name in hierarchy.controllers}),
        "Rootless": os.geteuid() != 0,
        "KernelVersion": platform.release(),
        "OperatingSystem": release or platform.system(),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count(),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": platform.node(),
        "DockerRootDir": store.root,
        "ServerVersion": own_version(),
    }


def _os_release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def version() -> dict[str, Any]:
    """Return the versions of the sandbox, Python and the kernel."""
    return {
        "Version": own_version(),
        "PythonVersion": platform.python_version(),
        "KernelVersion": platform.release(),
        "Os": "linux",
        "Arch": platform.machine(),
    }
