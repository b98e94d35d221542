"""Sources that several collectors share: a subject's own reading of one resource, the members of a container."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any

from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Source
from inspector.kernel.cgroups import Hierarchy
from inspector.model import Tally

__all__ = ["at", "control_files", "members", "millionth", "no", "part", "prepared", "reading"]


def reading(resource: str) -> Source:
    """Return the source of a resource: what its control files say in each subject's own cgroup."""
    return lambda sight: sight.subjects.read(sight.observation.readings, resource)


def members(resource: str) -> Source:
    """Return the source of what the members of a container used that has no cgroup of its own for a resource."""

    def source(sight: Sight) -> Sequence[Any]:
        tallies = sight.observation.tallies

        def find(subject: Subject) -> Tally | None:
            return tallies.get(subject.container.id) if subject.container and resource not in subject.owned else None

        return sight.subjects.each(("members", resource), tallies, find)

    return source


def prepared(name: str) -> Source:
    """Return the source of what a collector has prepared by the subjects' labels."""
    return lambda sight: [*map(sight.of(name).get, sight.subjects.labels)]


def control_files(sight: Sight, resource: str, name: str) -> Iterator[tuple[str, Hierarchy, bytes]]:
    """Yield of each subject with a cgroup of its own for a resource: labels, hierarchy, and what a file of it says.

    For files that hardly anybody asks for: opened and closed each time. A cgroup without the file is left out.
    """
    if resource in sight.observation.located:
        hierarchy, _ = sight.observation.located[resource]
        for subject in sight.subjects:
            directory = hierarchy.directory(subject.paths[resource]) if resource in subject.owned else None
            with suppress(OSError):
                if directory is not None:
                    yield subject.labels, hierarchy, sight.host.read(f"{directory}/{name}")


def at(name: str) -> Callable[[Any], Any]:
    """Return the getter of an attribute."""
    return attrgetter(name)


def millionth(name: str) -> Callable[[Any], float | None]:
    """Return the getter of an attribute in microseconds, as seconds."""
    return part(name, 1e6)


def part(name: str, of_one: float) -> Callable[[Any], float | None]:
    """Return the getter of an attribute in units of which `of_one` make one, as that many."""
    get = attrgetter(name)

    def whole(source: Any) -> float | None:  # noqa: ANN401
        value = get(source)
        return None if value is None else value / of_one

    return whole


def no(value: float | None) -> float:
    """Return 0 for no limit, where cAdvisor does."""
    return 0 if value is None else value
