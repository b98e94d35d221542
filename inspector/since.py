"""Since when a container, or a process, is there: Unix time, from clock ticks after boot (proc_pid_stat(5)).

The kernel tells its boot in whole seconds (btime of /proc/stat), cut, so that
a start can be told up to one second too early.
"""

from __future__ import annotations

from inspector.kernel.named import NamedTuple
from inspector.kernel.process import CLOCK_TICKS
from inspector.kernel.system import System
from inspector.model import Container, Process

__all__ = ["BOOT_SECONDS", "Since", "booted", "since", "started_at", "was_started_again"]

BOOT_SECONDS = 1.0
AGAIN_SECONDS = 5.0  # from its creation: by then a container has been started for the first time
READ_SECONDS = 0.5  # at most, between the kernel's totals and what is compared with them


class Since(NamedTuple):
    """When a container's first process was started, and when it was created, as its runtime has it."""

    started: float | None
    created: float | None


def since(one: Container, boot: float | None) -> Since:
    """Return since when a container is there.

    A runtime's file may say anything, but nothing runs before it was created. The start stays the kernel's, although
    a creation that is known better may then be a moment later: by it a process is known again.
    """
    started = started_at(one.leader.process, boot) if one.leader else None
    told = one.created_at
    if told is None or (started is not None and told >= started + BOOT_SECONDS):
        return Since(started, started)
    return Since(started, told)


def was_started_again(created: float | None, started: float | None) -> bool:
    """Tell whether a container may have run before: its first process is younger than itself."""
    return created is not None and started is not None and started - created > AGAIN_SECONDS


def started_at(process: Process, boot: float | None) -> float | None:
    """Return when a process was started, `boot` being when the kernel was."""
    return None if boot is None else boot + process.starttime_ticks / CLOCK_TICKS


def booted(system: System, now: float) -> float | None:
    """Return when the kernel was started, to a few hundredths: `now` is when its totals were read, or a moment later.

    It is not the same at each look, so nothing is known again by it.
    """
    exact, told = now - system.uptime_seconds, system.boot_time
    return exact if told is not None and told <= exact < told + BOOT_SECONDS + READ_SECONDS else told
