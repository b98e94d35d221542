"""Which ids the users of a container have outside of it: the map of its user namespace (user_namespaces(7)).

A range of its own comes from what /etc/subuid and /etc/subgid give to the name `cgscope` (subuid(5)), as Podman takes
that of `containers`; where neither names it, from 0x70000000 to 0x7ffdffff, which systemd's list of ids
(UIDS-GIDS) leaves to nobody. Who has a range is a link in the state directory, and goes with the container.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from inspector.kernel.host import Host
from inspector.kernel.process import IdRange, read_gid_map, read_uid_map
from sandbox.errors import SandboxError
from sandbox.liveness import is_running
from sandbox.remains import owned
from sandbox.sharing import CONTAINER
from sandbox.state import Document, Store, owner_of

__all__ = ["IdMap", "claim", "of_document", "of_process", "release"]

SIZE = 65536  # ids from 0 to nobody's, 65534, and one that stands for no id
BUILTIN = range(0x70000000, 0x7FFE0000, SIZE)
OWNER = "cgscope"
FILES = ("/etc/subuid", "/etc/subgid")


class IdMap(NamedTuple):
    """The ids of users, and of groups."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    def outside(self, owner: tuple[int, int]) -> tuple[int, int]:
        """Return the ids that a user and a group have outside; SandboxError when they have none."""
        uid, gid = (_outside(ranges, number) for ranges, number in zip(self, owner, strict=True))
        return uid, gid

    def document(self) -> dict[str, list[str]]:
        """Return it as Podman's `inspect` has it."""
        return {key: [":".join(map(str, each)) for each in ranges] for key, ranges in zip(KEYS, self, strict=True)}


KEYS = ("UidMap", "GidMap")


def _outside(ranges: Iterable[IdRange], number: int) -> int:
    for each in ranges:
        if 0 <= number - each.inside < each.length:
            return number - each.inside + each.outside
    raise SandboxError(f"id {number} is not in the map of the container's user namespace")


def of_document(text: Document) -> IdMap | None:
    """Return the map that a container's document holds; None without one."""
    told = text["HostConfig"].get("IDMappings")
    if not told:
        return None
    uids, gids = (tuple(IdRange(*map(int, line.split(":"))) for line in told[key]) for key in KEYS)
    return IdMap(uids, gids)


def of_process(pid: int) -> IdMap:
    """Read the map of the user namespace that a process is in (/proc/<pid>/uid_map, gid_map)."""
    return IdMap(read_uid_map(Host(), pid), read_gid_map(Host(), pid))


def claim(store: Store, container: str) -> IdMap:
    """Take a range that no other container of this state directory has; SandboxError when none is left."""
    uids, gids = _given()
    # The search begins anywhere, so that two state directories seldom have the same.
    first = int(container[:8], 16) % len(uids)
    directory = f"{store.root}/userns"
    with store.lock():
        os.makedirs(directory, mode=0o700, exist_ok=True)
        taken = [*map(int, owned(store, "userns")), *_borrowed(store)]
        for number in (*range(first, len(uids)), *range(first)):
            if all(abs(uids[number] - other) >= SIZE for other in taken):
                os.symlink(container, f"{directory}/{uids[number]}")
                return IdMap((IdRange(0, uids[number], SIZE),), (IdRange(0, gids[number], SIZE),))
    raise SandboxError(f"--userns auto: all {len(uids)} ranges of {SIZE} ids are other containers'")


def _borrowed(store: Store) -> Iterator[int]:
    """Yield where the ranges begin of who runs in another's user namespace: that other may be gone, and its link."""
    for text in store.all():
        if text["HostConfig"]["UsernsMode"].startswith(CONTAINER) and is_running(text):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                yield of_process(text["State"]["Pid"]).uids[0].outside


def release(store: Store, text: Document) -> None:
    """Give back the range that a container has claimed."""
    ids = of_document(text)
    if ids is None:
        return
    path = f"{store.root}/userns/{ids.uids[0].outside}"
    with store.lock(), contextlib.suppress(FileNotFoundError):
        if owner_of(path) == text["Id"]:
            os.unlink(path)


def _given() -> tuple[Sequence[int], Sequence[int]]:
    """Return where the ranges begin, of users and of groups: as many of each."""
    found = [_subordinate(path) for path in FILES]
    if found == [None, None]:
        return BUILTIN, BUILTIN
    uids, gids = (each or [] for each in found)
    if not uids or not gids:
        raise SandboxError(f"--userns auto: {' and '.join(FILES)} give {OWNER} no {SIZE} ids each")
    count = min(len(uids), len(gids))
    return uids[:count], gids[:count]


def _subordinate(path: str) -> list[int] | None:
    """Return the beginnings of what a file gives us; None when we are not in it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            entries = [line.strip().split(":") for line in file]
    except FileNotFoundError:
        return None
    ours = [rest for name, *rest in entries if name == OWNER]
    try:
        spans = [(int(first), int(count)) for first, count in ours]
    except ValueError:
        raise SandboxError(f"{path}: an entry of {OWNER} is not of the form {OWNER}:FIRST:COUNT") from None
    return [start for first, count in spans for start in range(first, first + count - SIZE + 1, SIZE)] if ours else None
