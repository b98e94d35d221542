"""What a container is: who made it, its namespaces, its age, its health."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from exporter.families.readings import at, reading
from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.controllers import Freezer
from inspector.model import Container, Leader
from inspector.since import Since, since

__all__ = ["ABOUT", "HEALTH", "NAMESPACES"]

HEALTHY = {"": -1, "none": -1, "healthy": 1}  # anything else, "starting" and "unhealthy", is 0: cAdvisor's values


class _About(NamedTuple):
    """What container_info is made from."""

    kind: str
    runtime: str | None
    state: str
    parent: str | None
    leader: Leader | None


def _about(sight: Sight) -> Sequence[Any]:
    hollow = sight.observation.hollow
    freezers = reading("freezer")(sight)

    def make() -> list[_About | None]:
        return [_state(one.container, freezer, hollow) for one, freezer in zip(sight.subjects, freezers, strict=True)]

    return sight.subjects.once("info", (freezers, hollow), make)


def _state(one: Container | None, freezer: Freezer | None, hollow: Collection[str]) -> _About | None:
    if one is None:
        return None
    state = "paused" if freezer and freezer.frozen else "hollow" if one.id in hollow else "running"
    return _About(one.kind, one.runtime, state, one.parent, one.leader)


def _info(about: _About) -> Iterator[tuple[str, int]]:
    """Tell of a container; what is not known has no label."""
    leader = about.leader
    told = {
        "kind": about.kind,
        "runtime": about.runtime,
        "state": about.state,
        "pid": str(leader.process.pid) if leader and about.kind == "container" else "",
        "parent": about.parent,
        "rootfs": leader.root.fstype if leader and leader.root and about.kind != "cgroup" else "",
    }
    yield "," + pairs({name: value for name, value in told.items() if value}), 1


def _now(sight: Sight) -> Sequence[Any]:
    return [sight.observation.taken_at] * len(sight.subjects)


def _since(sight: Sight) -> Sequence[Any]:
    boot = sight.observation.system.boot_time

    def find(subject: Subject) -> Since:
        return Since(boot, boot) if subject.container is None else since(subject.container, boot)

    return sight.subjects.each("since", boot, find)


def _same(value: float) -> float:
    return value


ABOUT = Collector(
    "info",
    "what each container is and since when",
    (
        Group((Row("container_last_seen", "gauge", "When it was last seen.", _same),), _now),
        Group(
            (
                Row("container_start_time_seconds", "gauge", "When its first process started.", at("started")),
                Row("container_creation_time_seconds", "gauge",
                    "When its runtime made it, or else when its first process started.", at("created")),
            ),
            _since,
        ),
        Group((Row("container_info", "info", "Who made it, what it is and its state.", _same),), _about, _info),
    ),
)


class _Namespaces(NamedTuple):
    """Namespaces by kind: a container's, and the host's where they are known."""

    own: Mapping[str, int]
    hosts: Mapping[str, int]


def _namespaces(sight: Sight) -> Sequence[Any]:
    own = sight.observation.own
    hosts: Mapping[str, int] = {} if own.inside_container else own.namespaces

    def find(subject: Subject) -> _Namespaces | None:
        one = subject.container
        return _Namespaces(one.leader.namespaces, hosts) if one and one.kind == "container" and one.leader else None

    return sight.subjects.each("namespaces", hosts, find)


def _each(namespaces: _Namespaces) -> Iterator[tuple[str, int]]:
    for kind, inode in sorted(namespaces.own.items()):
        if not kind.endswith("_for_children"):
            hosts = namespaces.hosts.get(kind)
            shared = "unknown" if hosts is None else str(inode == hosts).lower()
            yield f',{pairs({"kind": kind})},inode="{inode}",shared_with_host="{shared}"', 1


NAMESPACES = Collector(
    "namespaces",
    "each container's namespaces, and whether they are the host's",
    (
        Group(
            (Row("container_namespace_info", "info", "A namespace of its first process: whose it is.", _same),),
            _namespaces,
            _each,
        ),
    ),
)


def _health(sight: Sight) -> Sequence[Any]:
    health = sight.observation.health
    return sight.subjects.each("health", health, lambda subject: _checked(subject.container, health))


def _checked(one: Container | None, health: Mapping[str, str]) -> tuple[str] | None:
    """Return what the check of a container said; None where its runtime's files could not be read: it may have one."""
    if one is None or (one.runtime in ("docker", "podman") and one.created_at is None):
        return None
    return (health.get(one.id, ""),)


HEALTH = Collector(
    "health",
    "health checks of Docker, Podman and our sandbox",
    (
        Group(
            (
                Row("container_health_state", "gauge", "Result of the health check: 1 healthy, 0 not, -1 there is none.",
                    lambda health: HEALTHY.get(health[0], 0)),
            ),
            _health,
        ),
    ),
)  # fmt: skip
