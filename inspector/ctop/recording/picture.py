"""One tick of a recording: a document taken apart into columns and what is about each container. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from inspector.ctop.recording.columns import (
    COLUMNS,
    DERIVED,
    IN_GROUP,
    KEPT,
    TOP,
    Moment,
    decoded,
    derived,
)
from inspector.findings import findings
from inspector.schema import Container, Document

__all__ = ["EMPTY", "About", "Picture", "columns_in_order", "kept_of_findings", "none_of", "reordered"]

About = dict[str, Any]


class Picture(NamedTuple):
    """One tick: the document without containers, each one's about, columns as whole numbers now and before.

    `kept` are the rates that no rule makes; `fixes` the values that differ from what the rules say.
    """

    head: dict[str, Any]
    abouts: list[About]
    numbers: Mapping[str, list[int]]
    before: Mapping[str, list[int]]
    kept: Mapping[str, Sequence[Any]]
    fixes: Sequence[tuple[str, int, Any]] = ()

    def document(self) -> Document:
        """Return the document of this tick."""
        columns = {**{name: decoded(name, self.numbers[name]) for name in COLUMNS}, **self._rates()}
        for name, place, value in self.fixes:
            if name in columns:
                columns[name][place] = value
        groups = [
            (group, keys, list(zip(*(columns[f"{group}.{key}"] for key in keys), strict=True)))
            for group, keys in IN_GROUP.items()
        ]
        containers: list[Any] = []
        words: list[str] = []
        for index, about in enumerate(self.abouts):
            made: dict[str, Any] = dict.fromkeys(KEYS)
            for group, keys, rows in groups:
                made[group] = dict(zip(keys, rows[index], strict=True))
            for name in TOP:
                made[name] = columns[name][index]
            if (own := list(about)) != words:  # those of all are the same, but in a damaged recording
                words, split = own, [name.partition(".") for name in own]
            for (group, _, key), value in zip(split, about.values(), strict=True):
                if key:
                    made[group][key] = value
                else:
                    made[group] = value
            made["findings"] = _findings(cast("Container", made), made["findings"])
            containers.append(made)
        return cast("Document", {**self.head, "containers": containers})

    def _rates(self) -> dict[str, list[Any]]:
        moment = Moment(self.numbers, self.before, self.head["interval_seconds"], self.kept)
        rates: dict[str, list[Any]] = {}
        for name in DERIVED:
            rates[name] = list(derived(name, moment, rates))
            for fixed, place, value in self.fixes:
                if fixed == name:
                    rates[name][place] = value
        return rates


KEYS = tuple(key for key in Container.__annotations__ if key in Container.__required_keys__)
NOTHING: dict[str, list[int]] = {name: [] for name in COLUMNS}
EMPTY = Picture({}, [], NOTHING, NOTHING, dict.fromkeys(KEPT, ()))


def _findings(container: Container, kept: Any) -> Any:  # noqa: ANN401
    """Return what is wrong with a container: what the rules say, but for what they cannot know."""
    if isinstance(kept, list):
        return kept
    own = {"pid": container["namespaces"]["pid"]} if kept and kept["pid"] else {}
    return findings(container, own, kept["hollow"] if kept else None)


def kept_of_findings(container: Container) -> Any:  # noqa: ANN401
    """Return what `_findings` needs: the findings are drawn anew from the figures, as their texts are full of them."""
    real = container["findings"]
    if not real:
        return None if not findings(container, {}) else real
    hollow = real[0]["text"] if real[0]["code"] == "hollow" else None
    host_pid = real[-1]["code"] == "host-pid" and "pid" in container["namespaces"]
    kept = {"hollow": hollow, "pid": host_pid} if hollow is not None or host_pid else None
    return kept if _findings(container, kept) == real else real


def none_of(count: int, names: Iterable[str] = ()) -> dict[str, list[int]]:
    """Return our columns, and others by name, of so many containers of which nothing is known."""
    return {name: [0] * count for name in dict.fromkeys((*COLUMNS, *names))}


def columns_in_order(columns: Mapping[str, list[int]], before: Sequence[int | None]) -> dict[str, list[int]]:
    """Return columns in another order; a container that was not in it has 0."""
    return {name: [0 if place is None else column[place] for place in before] for name, column in columns.items()}


def reordered(picture: Picture, before: Sequence[int | None]) -> Picture:
    """Return a picture in another order; a container that was not in it has None and 0 for everything."""
    return picture._replace(
        abouts=[{} if place is None else picture.abouts[place] for place in before],
        numbers=columns_in_order(picture.numbers, before),
        kept={
            name: [None if place is None else column[place] for place in before]
            for name, column in picture.kept.items()
        },
        fixes=(),
    )
