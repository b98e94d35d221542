"""`sandbox freeze` and `thaw`: all processes of a container's cgroup stop, and go on.

v1's freezer (freezer-subsystem.rst) is written FROZEN and says FREEZING until
all have stopped; one that forks meanwhile can keep it there, and a thaw in
between helps, as runc found. v2 has cgroup.freeze, and tells by cgroup.events.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroups import ancestors, locate
from inspector.kernel.controllers import Freezer
from inspector.kernel.host import Host
from inspector.kernel.process import read_stat
from sandbox import control
from sandbox.cgroup import Place
from sandbox.errors import SandboxError, describe, printable
from sandbox.subject import FAILED, Group, hold

__all__ = ["freeze", "freeze_group", "group_in", "let_go", "read", "thaw", "thaw_group"]

FILES = {1: cgroup_v1.FILES["freezer"][0], 2: cgroup_v2.FILES["freezer"][0]}
# By version: the file, what freezes, what thaws.
WRITTEN = {1: ("freezer.state", "FROZEN", "THAWED"), 2: ("cgroup.freeze", "1", "0")}
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.01
POLLS_TO_RETRY = 50


def read(group: Group) -> Freezer:
    """Read whether all processes of a cgroup are stopped, by itself or by an ancestor."""
    file = FILES[group.version]
    return Freezer(**file.parse(Host().read(f"{group.place.directory}/{file.name}")))


def group_in(places: Sequence[Place]) -> Group:
    """Return a container's cgroup that its processes are stopped by; SandboxError where it has none."""
    hierarchy = locate((place.hierarchy for place in places), "freezer")
    for place in places:
        if place.hierarchy == hierarchy:
            return Group("freezer", place)
    raise SandboxError("the container has no cgroup that could be frozen", FAILED)


def freeze(pid: int, *, force: bool, started: int | None = None) -> str:
    """Stop all processes of a process's container; SandboxError where that cgroup is not the container's alone."""
    subject = hold(pid, started)
    group = subject.group("freezer")
    group.check(subject, force=force, stops=True)
    return freeze_group(group)


def freeze_group(group: Group) -> str:
    """Stop all processes of a cgroup; returns what was done, when they have stopped.

    Raises SandboxError when they do not stop within ten seconds: then they go on as before.
    """
    if read(group).frozen:
        return f"frozen already: {group}"
    _set(group, frozen=True)
    if not _wait(group):
        running = _running(group)
        _set(group, frozen=False)
        raise SandboxError(f"{group} does not freeze within {WAIT_SECONDS:g} s{running}; it goes on as before", FAILED)
    count = len(group.members())
    return f"frozen ({count} process{'' if count == 1 else 'es'}): {group}"


def thaw(pid: int, *, force: bool, started: int | None = None) -> str:
    """Let all processes of a process's container go on; SandboxError as for freeze()."""
    subject = hold(pid, started)
    group = subject.group("freezer")
    group.check(subject, force=force)
    return thaw_group(group)


def thaw_group(group: Group) -> str:
    """Let all processes of a cgroup go on; returns what was done. SandboxError where a cgroup above it is frozen."""
    if not read(group).frozen and not _is_set(group):
        return f"not frozen: {group}"
    _set(group, frozen=False)
    deadline = time.monotonic() + WAIT_SECONDS
    while read(group).frozen:
        if above := _frozen_ancestor(group):
            raise SandboxError(f"{group} is thawed, and stays stopped: {above} above it is frozen", FAILED)
        if time.monotonic() > deadline:
            raise SandboxError(f"{group} does not thaw within {WAIT_SECONDS:g} s", FAILED)
        time.sleep(POLL_SECONDS)
    return f"thawed: {group}"


def let_go(places: Sequence[Place]) -> None:
    """Let whatever is stopped in a container's cgroups go on; one that cannot be told is left."""
    for place in places:
        version = place.hierarchy.version
        if version != 1 or "freezer" in place.hierarchy.controllers:
            file, _, thaws = WRITTEN[version]
            with contextlib.suppress(OSError):
                control.write(f"{place.directory}/{file}", thaws)


def _set(group: Group, *, frozen: bool) -> None:
    file, freezes, thaws = WRITTEN[group.version]
    try:
        control.write(f"{group.place.directory}/{file}", freezes if frozen else thaws)
    except PermissionError as error:
        raise SandboxError(f"{describe(error)}: only root or whom the cgroup was given to may", FAILED) from None
    except FileNotFoundError:
        raise SandboxError(f"{group} has no {file}: this kernel cannot freeze it (v2: Linux 5.2)", FAILED) from None


def _wait(group: Group) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    polls = 0
    while not read(group).frozen:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
        polls += 1
        if polls % POLLS_TO_RETRY == 0:
            _set(group, frozen=False)
            _set(group, frozen=True)
    return True


def _running(group: Group) -> str:
    """Name a process that the kernel cannot stop: one that waits without listening (state D)."""
    for pid in sorted(group.members()):
        try:
            stat = read_stat(Host(), pid)
        except (OSError, ParseError):
            continue
        if stat.state == "D":
            return f": process {pid} ({printable(stat.comm)}) waits in the kernel"
    return ""


def _is_set(group: Group, directory: str = "") -> bool:
    """Tell whether this cgroup was told to freeze, be it not done yet."""
    name = "freezer.self_freezing" if group.version == 1 else "cgroup.freeze"
    try:
        return Host().read(f"{directory or group.place.directory}/{name}").strip() == b"1"
    except OSError:
        return False


def _frozen_ancestor(group: Group) -> str:
    """Return the cgroup above that keeps this one frozen, or ""."""
    hierarchy = group.place.hierarchy
    for path in ancestors(group.place.path, hierarchy.root)[1:]:
        directory = hierarchy.directory(path)
        if directory is not None and os.path.isdir(directory) and _is_set(group, directory):
            return printable(path)
    return ""
