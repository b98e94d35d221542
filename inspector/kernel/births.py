"""Which PIDs may be of processes born since the last look, so that not all have to be listed to find them.

`processes` in /proc/stat counts what was forked since boot, threads too, in all PID namespaces: while it is the same,
nothing was born. The last field of /proc/loadavg is the PID handed out last, and they are handed out in turn
(kernel/pid.c, idr_alloc_cyclic): who was born lies behind the last one of the look before. It is that of the PID
namespace of whoever *reads* it, so the /proc at hand must be of that one.

A PID is handed out a moment before it can be seen, so those of the look before are told once more. Not told are PIDs
that their maker chose (clone3's set_tid, ns_last_pid: CRIU): a list of all is still needed once in a while.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from inspector.kernel.host import Host

__all__ = ["Births"]

RESERVED = 300  # PIDs that are not handed out again when they begin anew (RESERVED_PIDS in kernel/pid.c)


class Births:
    """Tells from look to look which PIDs are new. Not thread safe."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._forks: int | None = None
        self._last: tuple[int | None, int | None] = None, None  # the last PID at the look before, and before that
        self._passed: tuple[int, int, int] | None = None  # the last PID at the look before and now, and how many since
        self.is_ours = False  # the /proc is of our PID namespace, and nobody's files lie over the kernel's

    def check(self) -> None:
        """Look whether what is told here is told of the processes in this /proc."""
        host = self._host
        try:
            status = host.read("/proc/self/status")
            places = ("/proc/self/status", "/proc/stat", "/proc/loadavg")  # lxcfs mounts its own over the latter two
            alone = len({host.stat(place).device for place in places}) == 1
        except OSError:
            self.is_ours = False
        else:
            # From the namespace of this /proc to our own, one number for each (proc_pid_status(5)).
            self.is_ours = alone and b"\nNSpid:\t%d\n" % os.getpid() in status

    def since(self, forks: int | None, last_pid: int | None, most: int) -> range | None:
        """Return the PIDs among which the new ones are, as /proc/stat and /proc/loadavg say it, in that order.

        None when all have to be listed: nothing is known of before, PIDs began anew, or there are more than `most`.
        """
        before, self._forks = self._forks, forks
        if before is not None and before == forks:  # those handed out by now are not there yet
            return range(0)
        last, earlier = self._last
        self._last = last_pid, last
        self._passed = None
        if before is None or forks is None or last_pid is None or last is None or not self.is_ours:
            return None
        self._passed = last, last_pid, forks - before
        if earlier is None or not earlier <= last <= last_pid <= earlier + most or not 0 < forks - before <= most:
            return None
        return range(earlier + 1, last_pid + 1)

    def reused(self, known: Collection[int]) -> set[int]:
        """Return those of some processes whose PIDs may be others' by now, where since() has just said None.

        A list of all does not tell them apart, and what they are in may be called the same.
        """
        if self._passed is None:
            return set()
        before, last, born = self._passed
        try:
            all_round = int(self._host.read("/proc/sys/kernel/pid_max")) - RESERVED
        except (OSError, ValueError):
            all_round = 0
        if 2 * born >= all_round:  # those in use are passed over: it takes fewer than all to come round
            return set(known)
        if before <= last:
            return {pid for pid in known if before < pid <= last}
        return {pid for pid in known if pid > before or pid <= last}
