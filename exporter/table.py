"""Rows of metrics and how they become text.

A Row is one metric of one source (a reading of a cgroup, an interface, ...);
a Group is the rows that are read from the same source. What a source said is
written again only when it says something else, so that a quiet metric
costs a comparison: the sources are values, the kernel's counters as read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.blocks import Block
from exporter.text import Family, Kind

if TYPE_CHECKING:
    from exporter.sight import Sight

__all__ = ["Collector", "Column", "Group", "Printer", "Row", "Source"]

# Any: each group knows what its own source is.
Source = Callable[["Sight"], Sequence[Any]]
NOTHING = Block(b"")
BATCH = 256  # lines
Values = tuple[float | None, ...]
Parts = Callable[[Any], Iterable[tuple[str, Any]]]


class Column(NamedTuple):
    """All samples of one metric from one group: lines that each end with a newline."""

    metric: str
    block: Block


def itself(source: Any) -> Any:  # noqa: ANN401
    """Return the value of a source that is one."""
    return source


class Row(NamedTuple):
    """One metric: where its value is in the source, None for no series; `labels` come behind the subject's."""

    metric: str
    kind: Kind
    help: str
    value: Callable[[Any], float | None] = itself
    labels: str = ""


class Group(NamedTuple):
    """Rows of one source. `source` returns that of each subject, in their order, None where it has none.

    `parts` splits a source into several with a label text each: a container's
    interfaces. `gone`: those that are told of though they are gone follow.
    """

    rows: tuple[Row, ...]
    source: Source
    parts: Parts | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Collector:
    """A part of the page that can be turned on and off, and fails alone.

    `prepare` reads what it needs beside the observation, told by
    `sight.of` its name; `families` are metrics that are about nobody in
    particular; `resources` are cgroups' resources that it alone needs.
    """

    name: str
    help: str
    groups: tuple[Group, ...] = ()
    families: Callable[[Sight], Iterable[Family]] | None = None
    default: bool = True
    prepare: Callable[[Sight], Any] | None = None
    resources: tuple[str, ...] = ()

    @property
    def metrics(self) -> frozenset[str]:
        """Return the names of its metrics."""
        return frozenset(row.metric for group in self.groups for row in group.rows)


class Printer:
    """Writes the samples of one group, scrape after scrape. Not thread safe.

    The first subject's by themselves: it is the machine, which never stands still, and with it would be written anew
    what the others said before.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self._first, self._others = _Columns(group), _Columns(group)

    def write(self, sight: Sight) -> list[Column]:
        """Return the group's metrics that have samples."""
        sources, labels = self.group.source(sight), sight.subjects.labels
        if self.group.gone:
            labels = (*labels, *(one.labels for one in sight.gone))
        self._first.write(labels[:1], sources[:1])
        self._others.write(labels[1:], sources[1:])
        columns = zip(self.group.rows, self._first.blocks, self._others.blocks, strict=True)
        return [Column(row.metric, block) for row, *blocks in columns for block in blocks if block.size]


class _Columns:
    """Writes the samples of some subjects.

    A column is all samples of one row, kept as the bytes that are sent: nothing is written or joined again for a
    metric of which no value has changed. It is settled when it stays, and at first, when all are new at once.
    """

    def __init__(self, group: Group) -> None:
        self._parts = group.parts
        self._gets = [row.value for row in group.rows]
        # What stands before and behind the subject's labels.
        self._frames = [(f"{row.metric}{{", f"{row.labels}}} ") for row in group.rows]
        # Of the last scrape: the subjects' labels, the source of each, and its values (not for parts).
        self._labels: tuple[str, ...] = ()
        self._sources: Sequence[Any] = ()
        self._values: list[Values] = []
        self._blank: Values = (None,) * len(group.rows)
        self.blocks = [NOTHING for _ in group.rows]

    def write(self, labels: tuple[str, ...], sources: Sequence[Any]) -> None:
        """Bring `blocks` up to date, one of each row."""
        if labels == self._labels and sources == self._sources:
            for block in self.blocks:
                block.settle()
        else:
            self.blocks = self._of_parts(labels, sources) if self._parts else self._of_values(labels, sources)
            self._labels, self._sources = labels, sources

    def _of_values(self, labels: tuple[str, ...], sources: Sequence[Any]) -> list[Block]:
        """Write the columns in which a value has changed, of one sample a subject."""
        before: Iterable[tuple[Any, Values]] = zip(self._sources, self._values, strict=True)
        same = labels == self._labels
        if not same:
            known = dict(zip(self._labels, before, strict=True))
            before = (known.get(one, (None, self._blank)) for one in labels)
        olds, gets, blank = self._values, self._gets, self._blank
        self._values = values = [
            blank if source is None
            else known if source is old or source == old
            else tuple([get(source) for get in gets])
            for source, (old, known) in zip(sources, before, strict=True)
        ]  # fmt: skip
        if not values:
            return [NOTHING for _ in gets]
        news = zip(self._frames, self.blocks, zip(*values, strict=True), strict=True)
        if not same:
            return [_column(frame, labels, column).settle() for frame, _, column in news]
        return [
            block.settle() if column == old else _column(frame, labels, column)
            for (frame, block, column), old in zip(news, zip(*olds, strict=True), strict=True)
        ]

    def _of_parts(self, labels: tuple[str, ...], sources: Sequence[Any]) -> list[Block]:
        """Write the columns of several samples a subject: one of each part."""
        assert self._parts is not None  # noqa: S101  for the type checker
        columns = [_Lines() for _ in self._gets]
        rows = list(zip(self._frames, self._gets, columns, strict=True))
        for start in range(0, len(labels), BATCH):
            some = slice(start, start + BATCH)
            parts = [
                (label + more, part)
                for label, source in zip(labels[some], sources[some], strict=True)
                if source is not None
                for more, part in dict(self._parts(source)).items()  # cleaning may have made two names alike
            ]
            for (head, tail), get, column in rows:
                column += [
                    f"{head}{label}{tail}{value}\n" for label, part in parts if (value := get(part)) is not None
                ]
                column.trim()
        blocks = (column.block() for column in columns)
        return list(blocks) if self._labels else [block.settle() for block in blocks]


class _Lines(list[str]):
    """Lines that become a block, a batch after the other: thousands of strings at once leave memory full of holes."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: list[bytes] = []

    def trim(self) -> None:
        """Join the lines so far, when they are many."""
        if len(self) >= BATCH:
            self._batches.append("".join(self).encode())
            self.clear()

    def block(self) -> Block:
        """Return all of them."""
        return Block(b"".join([*self._batches, "".join(self).encode()]))


def _column(frame: tuple[str, str], subjects: Sequence[str], values: Sequence[float | None]) -> Block:
    """Write a line for each subject that has a value."""
    head, tail = frame
    if values[0] is not None and all(map(is_, values, repeat(values[0]))):  # the time of the look; nothing, of most
        end = f"{tail}{values[0]}\n"
        return Block(f"{head}{f'{end}{head}'.join(subjects)}{end}".encode())
    lines = _Lines()
    for start in range(0, len(subjects), BATCH):
        some = slice(start, start + BATCH)
        lines += [
            f"{head}{labels}{tail}{value}\n"
            for labels, value in zip(subjects[some], values[some], strict=True)
            if value is not None
        ]
        lines.trim()
    return lines.block()
