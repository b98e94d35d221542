"""Rows of metrics and how they become text.

A Row is one metric of one source (a reading of a cgroup, an interface, ...);
a Group is the rows that are read from the same source. What a source said is
written again only when it says something else, so that a quiet container
costs a comparison: the sources are values, the kernel's counters as read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.subjects import Subject
from exporter.text import Family, Kind

if TYPE_CHECKING:
    from exporter.sight import Sight

__all__ = ["Collector", "Group", "Lines", "Printer", "Row"]

Lines = tuple[str, tuple[str, ...]]  # a metric's name, and the lines of its samples; one may be empty
# Any: each group knows what its own source is.
Source = Callable[["Sight"], Callable[[Subject], Any]]
Parts = Callable[[Any], Iterable[tuple[str, Any]]]


class Row(NamedTuple):
    """One metric: where its value is in the source, None for no series; `labels` come behind the subject's."""

    metric: str
    kind: Kind
    help: str
    value: Callable[[Any], float | None]
    labels: str = ""


class Group(NamedTuple):
    """Rows of one source. `source` returns the function that finds a subject's, None where it has none.

    `parts` splits a source into several with a label text each: a container's
    interfaces. `gone`: those that are told of though they are gone count too.
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


class Written(NamedTuple):
    """What was written of one subject: its source, the values in it, and a line for each of them."""

    source: Any
    values: tuple[float | None, ...]
    lines: tuple[str, ...]


class Printer:
    """Writes the samples of one group, scrape after scrape. Not thread safe."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._gets = [row.value for row in group.rows]
        # What stands before and behind the subject's labels.
        self._frames = [(f"{row.metric}{{", f"{row.labels}}} ") for row in group.rows]
        self._written: dict[str, Written] = {}  # by the subject's labels

    def write(self, sight: Sight) -> list[Lines]:
        """Return the group's metrics that have samples."""
        find, known, one = self.group.source(sight), self._written, self._lines if self.group.parts else self._line
        written: dict[str, Written] = {}
        for subject in (*sight.subjects, *sight.gone) if self.group.gone else sight.subjects:
            source = find(subject)
            if source is None:
                continue
            labels = subject.labels
            before = known.get(labels)
            if before is None or (before.source is not source and before.source != source):
                before = one(labels, source, before)
            written[labels] = before
        self._written = written
        columns = zip(*[made.lines for made in written.values()], strict=True)
        return [(row.metric, column) for row, column in zip(self.group.rows, columns, strict=False) if any(column)]

    def _line(self, labels: str, source: Any, before: Written | None) -> Written:  # noqa: ANN401
        """Write a subject's samples, those anew that have another value."""
        values = tuple([get(source) for get in self._gets])
        if before is None:
            lines = [
                "" if value is None else f"{head}{labels}{tail}{value}\n"
                for (head, tail), value in zip(self._frames, values, strict=True)
            ]
        else:
            lines = [
                line if value == old else "" if value is None else f"{head}{labels}{tail}{value}\n"
                for (head, tail), value, old, line in zip(
                    self._frames, values, before.values, before.lines, strict=True
                )
            ]
        return Written(source, values, tuple(lines))

    def _lines(self, labels: str, source: Any, _: Written | None) -> Written:  # noqa: ANN401
        """Write a subject's samples where each row has several: one of each part."""
        assert self.group.parts is not None  # noqa: S101  for the type checker
        parts = list(self.group.parts(source))
        rows = zip(self._frames, self._gets, strict=True)
        lines = [
            "".join([
                f"{head}{labels}{more}{tail}{value}\n"
                for more, part in parts
                if (value := get(part)) is not None
            ])
            for (head, tail), get in rows
        ]  # fmt: skip
        return Written(source, (), tuple(lines))
