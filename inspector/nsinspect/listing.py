"""Which process a name means, and every namespace with who is in it."""

from __future__ import annotations

import os
from typing import TypedDict

from inspector.errors import NoSuchContainer, NoSuchProcess
from inspector.kernel.host import Host
from inspector.kernel.namespaces import NAMESPACES
from inspector.model import Container, Observation
from inspector.nsinspect import facts
from inspector.nsinspect.gather import census_of_namespaces

__all__ = ["Ambiguous", "Listed", "namespaces", "resolve"]

LARGEST_PID = 1 << 22  # PID_MAX_LIMIT in include/linux/threads.h


class Ambiguous(NoSuchContainer):
    """Several containers begin with that id, or have that name."""

    def __init__(self, name: str, found: list[Container]) -> None:
        super().__init__(name)
        ids = ", ".join(sorted(one.id[:16] for one in found)[:5])
        self.args = (f"{len(found)} containers answer to {name!r}: {ids}",)


class Listed(TypedDict):
    """One namespace of the machine. `pid` is its lowest process that we may look into."""

    type: str
    inode: int
    same_as_host: bool | None
    processes: int
    pid: int
    containers: list[str]


def resolve(target: str, observation: Observation) -> int:
    """Return the PID that a PID, "self", or a container's name, id or beginning of an id means.

    Raises NoSuchProcess for a number, NoSuchContainer for a name.
    """
    if target == "self":
        return os.getpid()
    if target.isascii() and target.isdigit() and len(target) < 9:  # noqa: PLR2004  longer: the beginning of an id
        pid = int(target)
        if not 0 < pid <= LARGEST_PID:
            raise NoSuchProcess(pid)
        return pid
    for matches in (_exact, _begins):
        found = [one for one in observation.containers if matches(one, target)]
        # A container comes before a service or a control group of the same name.
        found = [one for one in found if one.kind == "container"] or found
        if len(found) > 1:
            raise Ambiguous(target, found)
        if found and found[0].leader:
            return found[0].leader.process.pid
    raise NoSuchContainer(target)


def _exact(one: Container, target: str) -> bool:
    return target in (one.name, one.id)


def _begins(one: Container, target: str) -> bool:
    return bool(target) and one.kind == "container" and one.id.startswith(target)


def namespaces(host: Host, observation: Observation) -> list[Listed]:
    """List every namespace that a process is in which we may look into, the host's first."""
    everyone = census_of_namespaces(host)
    hosts = facts.hosts_namespaces(everyone, on_host=not observation.own.own_pid_namespace)
    inside = {pid: one.name for one in observation.containers if one.kind == "container" for pid in one.members}
    members: dict[tuple[str, int], list[int]] = {}
    for pid, its in everyone.items():
        for kind, inode in its.items():
            members.setdefault((kind, inode), []).append(pid)
    listed: list[Listed] = [
        {
            "type": kind,
            "inode": inode,
            "same_as_host": facts.same_as_host(kind, inode, hosts),
            "processes": len(pids),
            "pid": min(pids),
            "containers": sorted({inside[pid] for pid in pids if pid in inside}),
        }
        for (kind, inode), pids in members.items()
    ]
    return sorted(
        listed, key=lambda one: (NAMESPACES.index(one["type"]), one["same_as_host"] is not True, one["inode"])
    )
