"""What is in a container's cgroups: its processes, to be killed; what the kernel counted; and the cgroups' removal."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence

from sandbox.control import read, write
from sandbox.errors import SandboxError
from sandbox.quick import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.cgroup import Place

__all__ = ["kill", "oom_kills", "pids", "remove"]

REMOVAL_SECONDS = 5.0
# Where OOM kills are counted.
OOM_COUNTER = {1: "memory.oom_control", 2: "memory.events"}


def pids(places: Iterable[Place]) -> set[int]:
    """Return every process in the container's cgroups and in those below them."""
    found: set[int] = set()
    for where in places:
        for directory, _, _ in os.walk(where.directory):
            try:
                found.update(map(int, read(f"{directory}/cgroup.procs").split()))
            except OSError:
                continue
    return found - {0}


def kill(places: Sequence[Place]) -> None:
    """Kill every process of the container, at once where the kernel can (cgroup.kill, Linux 5.14)."""
    for where in places:
        try:
            if where.hierarchy.version != 1:
                write(f"{where.directory}/cgroup.kill", "1")
        except OSError:
            continue
    for pid in pids(places):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def oom_kills(places: Iterable[Place]) -> int:
    """Return how many processes of the container the kernel killed for want of memory."""
    for where in places:
        if "memory" not in where.hierarchy.controllers:
            continue
        try:
            text = read(f"{where.directory}/{OOM_COUNTER[where.hierarchy.version]}")
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
    return 0


def remove(places: Sequence[Place], parents: Iterable[str] = (), *, kill_rest: bool = True) -> None:
    """Remove the container's cgroups, killing what is left in them; then those of `parents` that are empty.

    Raises SandboxError when a cgroup is still in use after five seconds.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    for where in places:
        while not _remove_tree(where.directory):
            if time.monotonic() > deadline:
                raise SandboxError(f"cgroup: {where.directory}: still in use")
            if kill_rest:
                kill(places)
            time.sleep(0.002)
    for directory in sorted(parents, key=len, reverse=True):
        _rmdir(directory)


def _remove_tree(directory: str) -> bool:
    """Remove a cgroup and those below it, which it seldom has; False when something is in use."""
    return _rmdir(directory) or all(_rmdir(path) for path, _, _ in os.walk(directory, topdown=False))


def _rmdir(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):  # it is gone, or cannot have been made
            return True
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True
