"""Sources that several collectors share: a subject's own reading of one resource, the members of a container."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from exporter.sight import Sight
from exporter.subjects import Subject

__all__ = ["at", "millionth", "no", "reading", "tally"]


def reading(resource: str) -> Callable[[Sight], Callable[[Subject], Any]]:
    """Return the source of a resource: what its control files say in the subject's own cgroup."""

    def source(sight: Sight) -> Callable[[Subject], Any]:
        readings = sight.observation.readings

        def find(subject: Subject) -> Any:  # noqa: ANN401  a type a resource
            key = subject.keys.get(resource)
            return None if key is None else readings.get(key)

        return find

    return source


def tally(sight: Sight) -> Callable[[Subject], Any]:
    """Find what the members of a container without a cgroup of its own used."""
    tallies = sight.observation.tallies
    return lambda subject: tallies.get(subject.container.id) if subject.container else None


def at(name: str) -> Callable[[Any], Any]:
    """Return the getter of an attribute."""
    return attrgetter(name)


def millionth(name: str) -> Callable[[Any], float | None]:
    """Return the getter of an attribute in microseconds, as seconds."""
    get = attrgetter(name)

    def seconds(source: Any) -> float | None:  # noqa: ANN401
        value = get(source)
        return None if value is None else value / 1e6

    return seconds


def no(value: float | None) -> float:
    """Return 0 for no limit, where cAdvisor does."""
    return 0 if value is None else value
