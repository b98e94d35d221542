"""The namespaces of one process: whose each is, and who else is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import ParamSpec, Protocol, TypeVar

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount
from inspector.kernel.namespaces import (
    NAMESPACES,
    read_boottime_offset,
    read_namespace,
    read_namespaces,
    read_relatives,
)
from inspector.kernel.process import Stat, list_pids, read_stat
from inspector.model import Observation
from inspector.nsinspect import facts
from inspector.report import Namespace

__all__ = ["read_clock_ahead", "read_neighbours", "read_zombies"]

P = ParamSpec("P")
T = TypeVar("T")


class Attempt(Protocol):
    """Calls what reads; None where it could not, which is noted under the name `what`."""

    def __call__(self, what: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `read` returns."""
        ...


def _census(host: Host) -> dict[int, dict[str, int]]:
    """Read the namespaces of every process; those of a process we may not look into are left out."""
    found = {}
    for pid in list_pids(host):
        try:
            found[pid] = read_namespaces(host, pid)
        except (OSError, ParseError):
            continue
    return found


def read_neighbours(host: Host, pid: int, seen: Observation, attempt: Attempt) -> dict[str, Namespace]:
    """Read the namespaces of a process, with the processes and the containers of `seen` that are in each."""
    mine = attempt("namespaces", read_namespaces, host, pid) or {}
    everyone = _census(host)
    hosts = facts.hosts_namespaces(everyone, on_host=not seen.own.own_pid_namespace)
    inside = {pid: one.name for one in seen.containers if one.kind == "container" for pid in one.members}
    found: dict[str, Namespace] = {}
    for kind, inode in sorted(mine.items(), key=lambda item: NAMESPACES.index(item[0])):
        members = [pid for pid, namespaces in everyone.items() if namespaces.get(kind) == inode]
        # Elsewhere the links lead nowhere: only on the machine itself is there a namespace behind them.
        related = (
            attempt(f"owner of the {kind} namespace", read_relatives, host, pid, kind) if host.is_live else None
        )
        owner, parent = related or (None, None)
        found[kind] = {
            "inode": inode,
            "same_as_host": facts.same_as_host(kind, inode, hosts),
            "processes": len(members),
            "containers": sorted({inside[pid] for pid in members if pid in inside}),
            "owner": owner,
            "parent": parent,
        }
    return found


def read_clock_ahead(host: Host, pid: int, mounts: Iterable[Mount]) -> float:
    """Return by how many seconds /proc/uptime tells a process more than us: the kernel answers each reader his own.

    A file that is mounted there (lxcfs) tells everybody the same.
    """
    if any(mount.mountpoint == "/proc/uptime" for mount in mounts):
        return 0.0
    return read_boottime_offset(host, pid) - read_boottime_offset(host, "self")


def read_zombies(host: Host, pid_namespace: int) -> tuple[Stat | None, int]:
    """Return the process with the most zombies of a PID namespace waiting for it, and how many these are.

    They are looked for in /proc: on cgroup v1 a process leaves its cgroups when it ends.
    """
    waiting: Counter[int] = Counter()
    for pid in list_pids(host):
        with suppress(OSError, ParseError):
            stat = read_stat(host, pid)
            if stat.state == "Z" and read_namespace(host, pid, "pid") == pid_namespace:
                waiting[stat.ppid] += 1
    for parent, count in waiting.most_common(1):
        with suppress(OSError, ParseError):
            return read_stat(host, parent), count
    return None, 0
