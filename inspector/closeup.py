"""What is known of one container when a person looks at it closely: more than every tick tells. Types; pure.

inspector.ctop.closer reads it; a source that cannot (a recording, another
machine's exporter) says so in `note`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from inspector.kernel.addresses import Address
from inspector.kernel.sockets import Listener
from inspector.layers import Volume
from inspector.report import Report

__all__ = ["Address", "Ask", "Chain", "Closeup", "Level", "Listener", "Part", "Thread", "Traffic", "Unit", "unknown"]

Part = Literal["report", "limits", "network", "threads", "end"]
Unit = Literal["cores", "bytes", "tasks", "cpus", "bytes/s", "operations/s"]


class Ask(NamedTuple):
    """What to look at: which parts of the container with that id. `since` (seconds since the epoch): it ended then."""

    container: str
    parts: frozenset[Part]
    cgroup: str | None = None
    since: float | None = None


class Level(NamedTuple):
    """One cgroup on the way up: the limit it sets itself, and what is used of it, in it and below it.

    `machine` is the last one, where it is the machine itself: its limit is what there is.
    """

    path: str
    value: float | None
    used: float | None
    machine: bool = False


class Chain(NamedTuple):
    """One resource, the container's own cgroup first; `set_by` None with a `value`: a cgroup that we cannot see.

    `hidden`: there may be tighter ones above our cgroup namespace; `shared`: others are in the first cgroup too.
    """

    resource: str
    unit: Unit
    value: float | None
    set_by: str | None
    levels: tuple[Level, ...]
    hidden: bool = False
    shared: bool = False


class Traffic(NamedTuple):
    """One interface: what passed in a second (None before the second look), and errors and drops since it was made."""

    name: str
    receive_bytes_per_second: float | None
    transmit_bytes_per_second: float | None
    receive_packets_per_second: float | None
    transmit_packets_per_second: float | None
    receive_bytes: int
    transmit_bytes: int
    receive_errors: int
    transmit_errors: int
    receive_dropped: int
    transmit_dropped: int


class Thread(NamedTuple):
    """One thread of a process; `cpu_cores` is None before the second look."""

    tid: int
    comm: str
    state: str
    cpu_cores: float | None
    cpu_seconds: float


class Closeup(NamedTuple):
    """One close look at a container, at `parts` of it; what was not asked for, or cannot be read, is None.

    `note` says why there is nothing at all; `ended` why the container ended, `ended_by` what says so (both hold hostile
    text): without "end" among the parts there may be more to come. `threads` is by PID, `users` by user id; `holders`
    are the PIDs that hold listening sockets, by inode; `volumes` are the mounts that are not the image's.
    """

    container: str
    taken_at: float
    parts: frozenset[Part] = frozenset()
    report: Report | None = None
    chains: tuple[Chain, ...] | None = None
    traffic: tuple[Traffic, ...] | None = None
    addresses: tuple[Address, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    holders: Mapping[int, int] = MappingProxyType({})
    threads: Mapping[int, tuple[Thread, ...]] | None = None
    users: Mapping[int, str] = MappingProxyType({})
    volumes: tuple[Volume, ...] | None = None
    ended: str | None = None
    ended_by: tuple[str, ...] = ()
    note: str | None = None
    problems: tuple[str, ...] = ()


def unknown(ask: Ask, through: str) -> Closeup:
    """Return the answer of a source that cannot look closely: `through` is, say, "a recording"."""
    return Closeup(ask.container, 0.0, ask.parts, note=f"not known through {through}")
