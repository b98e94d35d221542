"""What the tests of the sandbox share: looking at a container from outside, and at what it left."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from tests.testbed.commands import Sandbox
from tests.testbed.leaks import cgroup_mounts

PATIENCE_SECONDS = 120.0
LARGEST_MONITOR_KB = 6 * 1024
NAMESPACES = ("mnt", "uts", "ipc", "net", "pid", "cgroup")


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until something is so; False when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def namespaces(pid: int | str) -> dict[str, str]:
    """Return the identity of each namespace of a process."""
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in NAMESPACES}


def cgroup_paths(pid: int | str) -> list[str]:
    """Return the lines of /proc/<pid>/cgroup as this machine sees them."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return sorted(file.read().splitlines())


def cgroup_directories() -> set[str]:
    """Return every cgroup below a /cgscope, in all hierarchies."""
    found: set[str] = set()
    for mount in cgroup_mounts():
        top = f"{mount}/cgscope"
        found.update(directory for directory, _, _ in os.walk(top) if directory != top)
    return found


def has_cgroup(path: str) -> bool:
    """Tell whether any hierarchy has this cgroup."""
    return any(os.path.exists(f"{mount}/{path}") for mount in cgroup_mounts())


def mounts() -> list[str]:
    """Return this machine's own mounts."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line.split(" ", 1)[1] for line in file]


def status(pid: int | str, key: str) -> str:
    """Return one line of /proc/<pid>/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return lines[key]


def is_small(monitor: int | str) -> bool:
    """Tell whether a monitor keeps little memory: its own, as what it maps of Python's files is there once for all."""
    return int(status(monitor, "RssAnon").split()[0]) < LARGEST_MONITOR_KB


def remains(root: str) -> list[str]:
    """Return what is left of the containers of one state directory: processes, mounts, files."""
    found = [line for line in mounts() if f"{root}/" in line]
    mark = f"CGSCOPE_ROOT={root}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
                if f"upperdir={root}/" in file.read():
                    found.append(f"process {pid} in a container's mounts")
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(f"process {pid} of the sandbox")
    for name in ("containers", "names", "userns"):
        with contextlib.suppress(FileNotFoundError):
            found += [f"{name}/{entry}" for entry in os.listdir(f"{root}/{name}")]
    return found


def abandoned_cgroups(before: set[str]) -> list[str]:
    """Return the containers' cgroups that came since, and hold no process: nobody looks after those."""
    left = []
    for directory in sorted(cgroup_directories() - before):
        with contextlib.suppress(OSError), open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            if not file.read().strip():
                left.append(directory)
    return left


def check_nothing_left(sandbox: Sandbox, before: set[str]) -> None:
    """Fail when the containers of this state directory left anything; the kernel gets a moment to finish."""
    assert wait_for(lambda: not remains(sandbox.root)), remains(sandbox.root)
    assert wait_for(lambda: not abandoned_cgroups(before)), abandoned_cgroups(before)
