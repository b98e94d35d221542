"""How long threads ran and waited to run: /proc/<pid>/task/<tid>/schedstat (scheduler/sched-stats.rst)."""

from __future__ import annotations

from inspector.errors import ParseError
from inspector.kernel.figures import MOST_DIGITS
from inspector.kernel.host import Host
from inspector.kernel.named import NamedTuple

__all__ = ["Schedstat", "parse_schedstat", "read_thread_schedstats"]

FIELDS = 3


class Schedstat(NamedTuple):
    """Nanoseconds on a CPU, nanoseconds waiting for one, and how often it was given one."""

    run_ns: int = 0
    wait_ns: int = 0
    timeslices: int = 0


# 2057128 11254 12
def parse_schedstat(data: bytes) -> Schedstat:
    """Parse /proc/<pid>/task/<tid>/schedstat: nanoseconds run, nanoseconds waited, and how many turns."""
    fields = data.split()
    if len(fields) != FIELDS or not all(field.isdigit() and len(field) <= MOST_DIGITS for field in fields):
        raise ParseError("/proc/<pid>/task/<tid>/schedstat", data)
    return Schedstat(*map(int, fields))


def read_thread_schedstats(host: Host, pid: int) -> dict[int, Schedstat]:
    """Read the figures of each thread of a process by its TID; those that end meanwhile are left out."""
    found = {}
    for name in host.listdir(f"/proc/{pid}/task"):
        try:
            found[int(name)] = parse_schedstat(host.read(f"/proc/{pid}/task/{name}/schedstat"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
