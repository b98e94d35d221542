"""Containers as rows of values, and rows as columns: what is new is found by comparing columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from inspector.ctop.recording.columns import GROUPS, NUMBERED

__all__ = ["NOTHING", "Columns", "Layout", "Rows", "picked", "put"]

V = TypeVar("V")
Columns = dict[str, Sequence[Any]]
Rows = dict[str, list[tuple[Any, ...]]]
"""By the group of the values, "" for those in none; a row a container."""

NOTHING: Any = object()
"""The value of a container that was not there: no other is equal to it."""


class Layout:
    """Which values a container of a document has, by their names in it ("cpu.usage_cores"): all have the same.

    `abouts` are those that are no figures.
    """

    def __init__(self, first: Mapping[str, Any]) -> None:
        self._first = first
        keys = {"": [key for key in first if key not in GROUPS], **{group: list(first[group]) for group in GROUPS}}
        self._names = {group: [f"{group}.{key}" if group else key for key in own] for group, own in keys.items()}
        self._take = {group: itemgetter(*own) for group, own in keys.items()}
        self.abouts = [name for names in self._names.values() for name in names if name not in NUMBERED]

    def holds(self, first: Mapping[str, Any]) -> bool:
        """Tell whether containers have these values still."""
        old = self._first
        return old.keys() == first.keys() and all(old[group].keys() == first[group].keys() for group in GROUPS)

    def rows(self, containers: Sequence[Any]) -> Rows:
        """Return the values of containers."""
        return {
            group: list(map(take, [one[group] for one in containers] if group else containers))
            for group, take in self._take.items()
        }

    def columns(self, rows: Mapping[str, Sequence[tuple[Any, ...]]]) -> Columns:
        """Return rows column by column; there has to be one."""
        columns: Columns = {}
        for group, names in self._names.items():
            columns.update(zip(names, zip(*rows[group], strict=True), strict=True))
        return columns

    def unknown(self, count: int) -> Rows:
        """Return the rows of so many containers that were not there."""
        return {group: [(NOTHING,) * len(names)] * count for group, names in self._names.items()}


def picked(values: Sequence[V], places: Sequence[int]) -> Sequence[V]:
    """Return what is at some places, which are in order and none of them twice."""
    return values if len(places) == len(values) else [values[place] for place in places]


def put(values: list[V], places: Sequence[int], new: Sequence[V]) -> list[V]:
    """Return values with others at some places; where those are all, what was picked before stays as it was."""
    if len(places) == len(values):
        return list(new)
    for place, value in zip(places, new, strict=True):
        values[place] = value
    return values
