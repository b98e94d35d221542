"""Of /proc/<pid>/stat what is asked of every process there is, at a third of what it costs to parse it all.

proc_pid_stat(5); who wants the figures in it parses the whole (kernel/process.py).
"""

from __future__ import annotations

from inspector.errors import ParseError
from inspector.kernel.named import NamedTuple
from inspector.kernel.process import KERNEL_THREAD, split_stat

__all__ = ["Brief", "is_thread", "parse_brief"]

# Places behind the name.
STATE, PPID, FLAGS, STARTTIME, EXIT_SIGNAL = (field - 3 for field in (3, 4, 9, 22, 38))
NOT_A_LEADERS = b"-1"


class Brief(NamedTuple):
    """What tells one process from another: `starttime_ticks` since boot, as of a Stat."""

    starttime_ticks: int
    ppid: int
    comm: str
    state: str
    is_kernel_thread: bool


# 410 (cat) R 408 408 30705 0 -1 4194304 104 0 0 0 3 2 0 0 20 0 1 0 90588 3133440 418 18446744073709551615 ...
def parse_brief(data: bytes) -> Brief:
    """Parse the beginning of /proc/<pid>/stat."""
    _, comm, fields = split_stat(data, STARTTIME + 1)
    try:
        return Brief(
            int(fields[STARTTIME]),
            int(fields[PPID]),
            comm.decode(errors="surrogateescape"),
            fields[STATE].decode("ascii"),
            bool(int(fields[FLAGS]) & KERNEL_THREAD),
        )
    except (ValueError, IndexError) as error:
        raise ParseError("/proc/<pid>/stat", data) from error


def is_thread(stat: bytes) -> bool:
    """Tell whether /proc/<pid>/stat is of a thread but the first of a process: those can be opened, and are not listed.

    The kernel tells them apart by this field too (thread_group_leader() in include/linux/sched/signal.h).
    """
    fields = stat.rpartition(b") ")[2].split(b" ", EXIT_SIGNAL + 1)
    return fields[EXIT_SIGNAL : EXIT_SIGNAL + 1] == [NOT_A_LEADERS]
