"""Which container is in which. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from inspector.kernel.cgroups import ancestors
from inspector.model import Census, Container

__all__ = ["parents_of"]


def parents_of(
    found: Mapping[str, Container], census: Census, held: Mapping[int, str], claimed: Mapping[str, str]
) -> dict[str, str]:
    """Find the container around each that is in one, never in a circle.

    Processes and cgroups can contradict each other, by somebody's intent or as they were read at different moments.
    """
    looked = ((one.id, _parent(one, census, held, claimed)) for one in found.values())
    parents = {id_: parent for id_, parent in looked if parent is not None}
    settled: set[str] = set()
    for start in list(parents):
        passed: dict[str, None] = {}
        around = start
        while around in parents and around not in settled:
            if around in passed:
                # The oldest of a circle is not in the others.
                circle = list(passed)[list(passed).index(around) :]
                del parents[min(circle, key=lambda id_: (_begun(found[id_]), id_))]
                break
            passed[around] = None
            around = parents[around]
        settled.update(passed)
    return parents


def _begun(container: Container) -> int:
    return container.leader.process.starttime_ticks if container.leader else 0


def _parent(
    container: Container, census: Census, held: Mapping[int, str], claimed: Mapping[str, str]
) -> str | None:
    """Find the container around this one: by its first process's ancestors, or by the cgroups above its own.

    A control group's first process is often a container's that lies below it, so there the cgroups alone tell.
    """
    process = container.leader.process if container.leader and container.kind != "cgroup" else None
    seen = set()
    while process is not None and process.pid not in seen:
        seen.add(process.pid)
        around = held.get(process.pid)
        if around is not None and around != container.id:
            return around
        process = census.processes.get(process.ppid)
    own = set(map(container.cgroups.__getitem__, container.owned))
    above = (path for cgroup in dict.fromkeys(container.cgroups.values()) for path in ancestors(cgroup))
    return next((claimed[path] for path in above if path not in own and path in claimed), None)
