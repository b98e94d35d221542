"""Which containers there are, and which process a name means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from inspector.errors import NoSuchContainer, NoSuchProcess
from inspector.kernel.host import Host
from inspector.model import Container, Observation
from inspector.observe import Observer

if TYPE_CHECKING:
    from inspector.daemons import Names

__all__ = ["Ambiguous", "look", "resolve"]

LARGEST_PID = 1 << 22  # PID_MAX_LIMIT in include/linux/threads.h


class Ambiguous(NoSuchContainer):
    """Several containers begin with that id, or have that name."""

    def __init__(self, name: str, found: list[Container]) -> None:
        super().__init__(name)
        ids = ", ".join(sorted(one.id[:16] for one in found)[:5])
        self.args = (f"{len(found)} containers answer to {name!r}: {ids}",)


def look(observer: Observer, names: Names | None = None) -> Observation:
    """Observe the machine, with the names that a socket tells where it was asked for."""
    seen = observer.tick()
    return names.named(seen) if names is not None else seen


def resolve(target: str, observation: Observation, host: Host) -> int:
    """Return the PID that a PID, "self", or a container's name, id or beginning of an id means.

    A number is a container's name where no process has it. Raises NoSuchProcess for a number, NoSuchContainer for a
    name.
    """
    if target == "self":
        return os.getpid()
    if target.isascii() and target.isdigit() and len(target) < 9:  # noqa: PLR2004  longer: the beginning of an id
        pid = int(target)
        named = not host.access(f"/proc/{pid}") and any(_exact(one, target) for one in observation.containers)
        if not named and not 0 < pid <= LARGEST_PID:
            raise NoSuchProcess(pid)
        if not named:
            return pid
    for matches in (_exact, _begins):
        found = [one for one in observation.containers if matches(one, target)]
        # A container comes before a service or a control group of the same name.
        found = [one for one in found if one.kind == "container"] or found
        if len(found) > 1:
            raise Ambiguous(target, found)
        if found and found[0].leader:
            return found[0].leader.process.pid
    from inspector.nsinspect.stopped import stopped  # noqa: PLC0415  only who asks in vain

    if ended := stopped(target, observation, host):
        raise ended
    unread = observation.denied_files
    raise NoSuchContainer(target, "; names may not be read: root may, or --socket asks for them" if unread else "")


def _exact(one: Container, target: str) -> bool:
    return target in (one.name, one.id)


def _begins(one: Container, target: str) -> bool:
    return bool(target) and one.kind == "container" and one.id.startswith(target)
