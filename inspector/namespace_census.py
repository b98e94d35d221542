"""Who is in which namespace, and what else keeps one alive: read from all of /proc.

Reads the namespace links and the descriptors of every process, so it is for a
person who asks, not for every tick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from inspector.absence import Absence
from inspector.kernel.host import Host
from inspector.kernel.mounts import parse_mountinfo
from inspector.kernel.namespaces import NAMESPACES, Relations, read_namespaces, read_relations
from inspector.kernel.process import list_pids, read_cmdline, read_stat, read_status
from inspector.model import Container, Observation
from inspector.namespace_table import Exposed, Inhabitant, Keeper, Row, exposed, hosts_own, rows
from inspector.schema import SCHEMA

__all__ = ["NamespaceReport", "report"]

Key = tuple[str, int]
HELD = re.compile(rf"({'|'.join(NAMESPACES)}):\[([0-9]{{1,20}})\]", re.ASCII)
# unshare(2) and setns(2) change these for the children alone.
MOST_TRIED = 50  # processes of a namespace: the first may have ended since it was counted
FOR_CHILDREN = {"pid_for_children": "pid", "time_for_children": "time"}


class NamespaceReport(TypedDict):
    """The document of `nsinspect --namespaces --json`.

    `on_host` are the containers in a namespace of the host's that they should
    not be in; `unreadable` counts the processes we may not look into.
    """

    schema: int
    taken_at: float
    namespaces: list[Row]
    on_host: list[Exposed]
    unreadable: int
    problems: list[str]


def report(host: Host, observation: Observation) -> NamespaceReport:
    """List every namespace of the machine, with the containers of `observation` in them."""
    census = _Census(host)
    inhabitants = census.inhabitants()
    unreadable = len(census.absence.denied)
    keepers, paths = census.keepers(inhabitants)
    inside: dict[Key, list[str]] = {}
    for one in inhabitants:
        for key in one.namespaces.items():
            inside.setdefault(key, []).append(f"/proc/{one.pid}/ns/{key[0]}")
    for key, found in inside.items():
        paths[key] = [*found[:MOST_TRIED], *paths.get(key, ())]
    hosts = hosts_own(inhabitants)
    return {
        "schema": SCHEMA,
        "taken_at": observation.taken_at,
        "namespaces": rows(
            inhabitants, observation.containers, keepers, census.relations(paths), census.inits(observation.containers)
        ),
        "on_host": [] if observation.own.inside_container else exposed(observation.containers, hosts),
        "unreadable": unreadable,
        "problems": census.absence.problems,
    }


class _Census:
    def __init__(self, host: Host) -> None:
        self.host = host
        self.absence = Absence()
        self._attempt = self.absence.attempt

    def inhabitants(self) -> list[Inhabitant]:
        """Read every process, kernel threads and zombies included, in the order of their PIDs."""
        found = []
        for pid in sorted(self._attempt("/proc", list_pids, self.host) or ()):
            subject = f"process {pid}"
            stat = self._attempt(subject, read_stat, self.host, pid)
            namespaces = self._attempt(subject, read_namespaces, self.host, pid)
            if stat is None or not namespaces:
                continue
            command = self._attempt(subject, read_cmdline, self.host, pid) or stat.comm
            found.append(Inhabitant(pid, stat.comm, command, stat.is_kernel_thread, namespaces))
        return found

    def inits(self, containers: Iterable[Container]) -> set[int]:
        """Return those of the containers' first processes that are process 1 of a PID namespace below ours."""
        pids = {one.leader.process.pid for one in containers if one.leader}
        found = {pid: self._attempt(f"process {pid}", read_status, self.host, pid) for pid in pids}
        return {pid for pid, status in found.items() if status and len(status.ns_pids) > 1 and status.ns_pids[-1] == 1}

    def keepers(self, inhabitants: Iterable[Inhabitant]) -> tuple[list[Keeper], dict[Key, list[str]]]:
        """Find what holds namespaces beside the processes in them, and a path to open each by."""
        keepers: list[Keeper] = []
        paths: dict[Key, list[str]] = {}
        seen: set[int | None] = set()
        for one in inhabitants:
            if one.kernel_thread:
                continue
            found = [*self._descriptors(one), *self._for_children(one)]
            mounts = one.namespaces.get("mnt")
            if mounts is not None and mounts not in seen:
                seen.add(mounts)
                found += self._mounts(one)
            keepers += [keeper for keeper, _ in found]
            paths.update({keeper.key: [path] for keeper, path in found})
        return keepers, paths

    def _descriptors(self, one: Inhabitant) -> Iterator[tuple[Keeper, str]]:
        subject, directory = f"process {one.pid}", f"/proc/{one.pid}/fd"
        for number in self._attempt(subject, self.host.listdir, directory) or ():
            path = f"{directory}/{number}"
            held = HELD.fullmatch(self._attempt(subject, self.host.readlink, path) or "")
            if held:
                yield Keeper((held[1], int(held[2])), "descriptor", one.pid, one.comm, number), path

    def _for_children(self, one: Inhabitant) -> Iterator[tuple[Keeper, str]]:
        links = self._attempt(f"process {one.pid}", read_namespaces, self.host, one.pid, FOR_CHILDREN) or {}
        for link, inode in links.items():
            kind = FOR_CHILDREN[link]
            if one.namespaces.get(kind) not in (inode, None):
                path = f"/proc/{one.pid}/ns/{link}"
                yield Keeper((kind, inode), "children", one.pid, one.comm, ""), path

    def _mounts(self, one: Inhabitant) -> Iterator[tuple[Keeper, str]]:
        """Find the namespaces bound to files in one mount namespace, as `ip netns add` does."""
        data = self._attempt(f"process {one.pid}", self.host.read_long_lines, f"/proc/{one.pid}/mountinfo") or b""
        lines = b"\n".join(line for line in data.split(b"\n") if b" - nsfs " in line)
        for mount in self._attempt(f"process {one.pid}", parse_mountinfo, lines) or ():
            held = HELD.fullmatch(mount.root)
            if held and mount.fstype == "nsfs":
                path = f"/proc/{one.pid}/root{mount.mountpoint}"
                yield Keeper((held[1], int(held[2])), "mount", one.pid, one.comm, mount.mountpoint), path

    def relations(self, paths: Mapping[Key, Iterable[str]]) -> dict[Key, Relations]:
        """Ask of each namespace who owns it and what is around it, by the first path that still leads to it."""
        asked = ((key, (self._relations(*key, path) for path in those)) for key, those in paths.items())
        firsts = ((key, next((one for one in answers if one is not None), None)) for key, answers in asked)
        return {key: one for key, one in firsts if one is not None}

    def _relations(self, kind: str, inode: int, path: str) -> Relations | None:
        # Whoever owns a mountpoint or descriptor may have put something else there: only the namespace is opened.
        entry = self._attempt(path, self.host.stat, path)
        if entry is None or entry.inode != inode or entry.device != self._nsfs():
            return None
        return self._attempt(path, read_relations, self.host, path, kind)

    def _nsfs(self) -> int | None:
        own = self._attempt("self", self.host.stat, "/proc/self/ns/user")
        return own.device if own else None
