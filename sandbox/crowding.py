"""Which cgroup it is that lets no more processes be made: fork(2) says EAGAIN, and no more."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from sandbox.control import read
from sandbox.errors import SandboxError

__all__ = ["explained"]

ROOM = 2  # the process between is in there too, until the new one is made


def explained(error: SandboxError, directories: Iterable[str]) -> SandboxError:
    """Return an error of entering these cgroups, with the limit that was met, where it was one of processes."""
    if error.number != errno.EAGAIN:
        return error
    for directory in directories:
        if limit := _full(directory):
            path, most = limit
            text = f"no more processes: the limit of {most} is reached in the cgroup {path} (pids.max)"
            return SandboxError(text, error.exit_code)
    return error


def _full(directory: str) -> tuple[str, str] | None:
    """Return the cgroup, or the nearest above it, that has no room for another process, and its limit."""
    while os.path.exists(f"{directory}/cgroup.procs"):
        try:
            most, now = (read(f"{directory}/pids.{name}").strip() for name in ("max", "current"))
        except OSError:  # the root has neither, nor has one that the controller is not handed down to
            most = now = "max"
        if most != "max" and int(now) + ROOM > int(most):
            return directory, most
        directory = os.path.dirname(directory)
    return None
