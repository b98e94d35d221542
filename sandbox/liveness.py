"""Is the process that a container's document names still that process? PID, start time and boot tell."""

from __future__ import annotations

import os
import time

from sandbox.contexts import suppress
from sandbox.control import read
from sandbox.errors import SandboxError
from sandbox.state import Document

__all__ = ["age", "boot_id", "has_monitor", "is_running", "is_stopped", "not_running", "open_running", "start_time"]


# Where this field is behind the name (proc_pid_stat(5): 22, the name is 2).
STARTED = 19


def boot_id() -> str:
    """Read which boot this is: a PID means nothing in another."""
    return read("/proc/sys/kernel/random/boot_id").strip()


def start_time(pid: int) -> int | None:
    """Return when a process started (ticks since boot), or None when it is gone or only a zombie.

    Of /proc/<pid>/stat, whose name ends at the last ")": what else it tells is left to inspector.kernel.process.
    """
    try:
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[STARTED])


def age(text: Document) -> float:
    """Return for how long the container that a document of this boot tells of has run, in seconds."""
    started = text["Cgscope"]["StartTime"] or 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _alive(pid: int, started: int | None, boot: str) -> bool:
    return pid > 0 and started is not None and start_time(pid) == started and boot == boot_id()


def is_running(text: Document) -> bool:
    """Tell whether the process that a container's document names is that process, and lives."""
    private = text["Cgscope"]
    return _alive(text["State"]["Pid"], private.get("StartTime"), private.get("BootId", ""))


def open_running(text: Document) -> int | None:
    """Return a pidfd of the process that a container's document names, or None when it does not run."""
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid) if pid > 0 else None
    except OSError:
        pidfd = None
    # The descriptor first, then the check: what is checked is what is held.
    if pidfd is not None and not (text["State"]["Running"] and is_running(text)):
        os.close(pidfd)
        return None
    return pidfd


def not_running(text: Document, name: str) -> SandboxError:
    """Return the error for what only a container that runs can do, which `name` does not."""
    waits = text["State"]["Status"] == "restarting"
    what = "is restarting, wait until it is running" if waits else "is not running"
    return SandboxError(f"container {name} {what}", 1)


def is_stopped(text: Document) -> bool:
    """Tell whether the kernel has stopped a container's processes, whoever asked for it: what joins them stands still.

    v1's freezer.state and v2's cgroup.events tell of cgroups above too.
    """
    for each in text["Cgscope"]["Cgroups"]:
        version = each["Version"]
        with suppress(OSError):  # another hierarchy's, or gone with the container
            if version == 1 and "freezer" in each["Controllers"]:
                return read(f"{each['Directory']}/freezer.state").strip() != "THAWED"
            if version == 2 and "frozen 1" in read(f"{each['Directory']}/cgroup.events").splitlines():  # noqa: PLR2004
                return True
    return False


def has_monitor(text: Document) -> bool:
    """Tell whether a process looks after a container (makes, starts or watches it), and lives."""
    private = text["Cgscope"]
    monitor = private["Monitor"]
    return monitor is not None and _alive(monitor["Pid"], monitor["StartTime"], private["BootId"])
