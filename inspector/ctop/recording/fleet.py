"""The containers of a recording as of its last tick, and what is new of them in the next. Pure.

A container whose part of the document has been the same object for two ticks
costs nothing: its figures stand still, as do those that are kept of it
(inspector.still makes them so). Of the others each column is looked at that
is not what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_, sub
from typing import Any, NamedTuple

from inspector.ctop.recording.columns import COLUMNS, DERIVED, KEPT, RULES, Moment, coded, decoded, derived
from inspector.ctop.recording.packing import FORETOLD_BY, Moved
from inspector.ctop.recording.picture import About, columns_in_order, kept_of_findings, none_of
from inspector.ctop.recording.rounding import ROUGH, SHARES, finest, rounded, rounded_rest, whole_percents
from inspector.ctop.recording.rows import NOTHING, Columns, Layout, Rows, picked, put
from inspector.findings import DRAWN_FROM, WHETHER_KNOWN
from inspector.schema import Container, Document

__all__ = ["Fleet", "News"]

Numbers = dict[str, Sequence[int]]
INEXACT = ROUGH | SHARES
LOOKED_AT = frozenset(
    {*INEXACT, *FORETOLD_BY, "memory.working_set_bytes", "memory.limit_bytes"}.union(*(of for _, of in RULES.values()))
)
"""Columns that are needed also where they have not changed."""
SHARE, PART = "cpu.limit_ratio", "cpu.usage_cores"
TOTAL, USER, REST = "cpu.usage_seconds", "cpu.user_seconds", "cpu.system_seconds"
"""The last is kept as the other two leave it: it comes behind them (recording.columns.EXPECTED)."""


class News(NamedTuple):
    """What a tick tells: by how much columns grew at the places of `moved`, abouts by place, values no rule gives."""

    moved: Moved
    changes: Mapping[str, list[int]]
    abouts: dict[int, About]
    fixes: list[tuple[str, int, Any]]


class Counted(NamedTuple):
    """The columns of the containers that may have moved, before and after: exact, and as they are kept."""

    before: Numbers
    after: Numbers
    kept_before: Numbers
    kept_after: Numbers
    changes: dict[str, list[int]]


class Fleet:
    """`numbers` are the columns as they are kept, `shown` the containers as they will be read again."""

    def __init__(self) -> None:
        self.numbers = none_of(0)
        self.shown: list[Container] = []
        self._exact = none_of(0)  # of INEXACT alone
        self._layout: Layout | None = None
        self._rows: Rows = {}
        self._findings: list[Any] = []
        self._fixes: dict[str, dict[int, Any]] = {}
        self._ids: list[str] = []
        self._seen: Sequence[Container] = ()
        self._calm: list[bool] = []
        self._timed: bool | None = None

    def follow(self, containers: Sequence[Container]) -> list[int | None] | None:
        """Take over the order of the containers; return where each was before, None when all are where they were."""
        ids = [one["id"] for one in containers]
        known = self._layout is not None and (not containers or self._layout.holds(containers[0]))
        if not known:
            self._layout = Layout(containers[0]) if containers else None
            self._rows = self._layout.unknown(len(self._ids)) if self._layout else {}
            self._seen = ()
        if ids == self._ids:
            return None
        places = {name: place for place, name in enumerate(self._ids)}
        before = [places.get(name) for name in ids]
        self._ids = ids
        self.numbers = columns_in_order(self.numbers, before)
        self._exact = columns_in_order(self._exact, before)
        unknown = self._layout.unknown(1) if self._layout else {}
        self._rows = {group: _in_order(rows, before, unknown[group][0]) for group, rows in self._rows.items()}
        self._findings = _in_order(self._findings, before, NOTHING)
        self._fixes = {
            name: {now: fixes[was] for now, was in enumerate(before) if was in fixes}
            for name, fixes in self._fixes.items()
        }
        self._seen = ()
        return before

    def take(self, document: Document, seconds: float | None, *, whole: bool) -> News:
        """Take a document whose order is known, its interval as it is kept; return its news, all of a `whole` tick."""
        containers = document["containers"]
        places = self._moving(containers, timed=bool(seconds), whole=whole)
        if len(self.shown) != len(containers):
            self.shown = list(containers)
        if not places or self._layout is None:
            return News(Moved((), {}, len(containers)), {}, {}, self._all_fixes())
        chosen = picked(containers, places)
        rows = self._layout.rows(chosen)
        old = self._layout.columns({group: picked(known, places) for group, known in self._rows.items()})
        new = self._layout.columns(rows)
        for group, known in self._rows.items():
            self._rows[group] = put(known, places, rows[group])
        old["findings"], new["findings"] = self._note_findings(new, old, places, chosen)
        counted = self._count(new, old, places, document["interval_seconds"])
        unruled = self._derive(new, old, places, counted, document["interval_seconds"], whole=whole)
        self.shown = put(self.shown, places, _redrawn(chosen, self._kept_figures(new, places, counted, seconds)))
        return News(
            Moved(places, {name: counted.kept_before[name] for name in FORETOLD_BY}, len(containers)),
            counted.changes,
            self._abouts(new, old, places, whole=whole),
            self._all_fixes() + unruled,
        )

    def _moving(self, containers: Sequence[Container], *, timed: bool, whole: bool) -> Sequence[int]:
        """Return the places of all containers but those that stood still at this tick and the last one."""
        known = len(self._seen) == len(containers)
        same = list(map(is_, containers, self._seen)) if known else [False] * len(containers)
        anew = whole or not known or timed != self._timed
        calm, self._seen, self._calm, self._timed = self._calm, containers, same, timed
        return [place for place, one in enumerate(same) if anew or not (one and calm[place])]

    def _note_findings(
        self, new: Columns, old: Columns, places: Sequence[int], chosen: Sequence[Container]
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return what was kept of the findings of each, and what is kept now."""
        moved: set[int] = set()
        for name in ("findings", *DRAWN_FROM):
            if new[name] != old[name]:
                each = enumerate(zip(new[name], old[name], strict=True))
                moved.update(index for index, (value, was) in each if value != was)
        pairs = enumerate(zip(new[WHETHER_KNOWN], old[WHETHER_KNOWN], strict=True))
        moved.update(index for index, (value, was) in pairs if (value is None) != (was is None))
        before = picked(self._findings, places)
        now = list(before)
        for index in moved:
            now[index] = kept_of_findings(chosen[index])
        self._findings = put(self._findings, places, now)
        return before, now

    def _abouts(self, new: Columns, old: Columns, places: Sequence[int], *, whole: bool) -> dict[int, About]:
        names = self._layout.abouts if self._layout else []
        if whole:
            rows = zip(*(new[name] for name in names), strict=True)
            return {place: dict(zip(names, row, strict=True)) for place, row in zip(places, rows, strict=True)}
        abouts: dict[int, About] = {}
        for name in names:
            if new[name] != old[name]:
                for place, value, was in zip(places, new[name], old[name], strict=True):
                    if value != was:
                        abouts.setdefault(place, {})[name] = value
        return abouts

    def _count(self, new: Columns, old: Columns, places: Sequence[int], seconds: float | None) -> Counted:
        counted = Counted({}, {}, {}, {}, {})
        for name in COLUMNS:
            is_same, inexact = new[name] == old[name], name in INEXACT
            if is_same and name not in LOOKED_AT:
                continue
            kept = kept_before = picked(self.numbers[name], places)
            exact = before = picked(self._exact[name], places) if inexact else kept
            if not is_same:
                exact, odd = coded(name, new[name])
                self._note(name, places, new, odd)
                kept = exact
                if name in SHARES:
                    kept = whole_percents(exact)
                elif name == REST:
                    left = _left(counted.changes, len(kept))
                    kept = rounded_rest(exact, before, kept_before, finest(name, seconds), left)
                elif inexact:
                    kept = rounded(exact, before, kept_before, finest(name, seconds))
                counted.changes[name] = list(map(sub, kept, kept_before))
                self.numbers[name] = put(self.numbers[name], places, kept)
                self._exact[name] = put(self._exact[name], places, exact) if inexact else self._exact[name]
            counted.before[name], counted.after[name] = before, exact
            counted.kept_before[name], counted.kept_after[name] = kept_before, kept
        return counted

    def _derive(
        self, new: Columns, old: Columns, places: Sequence[int], counted: Counted, seconds: float | None, *, whole: bool
    ) -> list[tuple[str, int, Any]]:
        """Note the rates that are not what the rules make of exact figures; return those that have no rule and changed.

        What the rules make of the exact figures they will make of those that are kept, for who reads.
        """
        kept = {name: [None if whole or one is NOTHING else one for one in old[name]] for name in KEPT}
        apart = [one == "processes" for one in new["cpu.source"]]
        moment = Moment(counted.after, counted.before, seconds, kept, apart)
        unruled: list[tuple[str, int, Any]] = []
        for name in DERIVED:
            real, expected = new[name], derived(name, moment, new)
            odd: list[int] = []
            if list(real) != expected:
                pairs = enumerate(zip(expected, real, strict=True))
                odd = [index for index, (one, value) in pairs if one != value]
            if name in KEPT:
                unruled += [(name, places[index], real[index]) for index in odd]
            else:
                self._note(name, places, new, odd)
        return unruled

    def _note(self, name: str, places: Sequence[int], new: Columns, odd: Sequence[int]) -> None:
        """Note the values that no rule gives: those of the places at the indices `odd`, of the others none."""
        if odd or name in self._fixes:
            gone = set(places)
            left = {place: value for place, value in self._fixes.get(name, {}).items() if place not in gone}
            left |= {places[index]: new[name][index] for index in odd}
            self._fixes = {**self._fixes, name: left}
            if not left:
                del self._fixes[name]

    def _all_fixes(self) -> list[tuple[str, int, Any]]:
        return [(name, place, value) for name, fixes in self._fixes.items() for place, value in fixes.items()]

    def _kept_figures(
        self, new: Columns, places: Sequence[int], counted: Counted, seconds: float | None
    ) -> dict[str, list[Any]]:
        """Return the figures that are not kept as they are, as who reads will make them."""
        before, after = counted.kept_before, counted.kept_after
        differ = (name for name in INEXACT if after[name] != counted.after[name])
        figures: dict[str, list[Any]] = {name: decoded(name, after[name]) for name in differ}
        moment = Moment(after, before, seconds, {})
        for name, (_, counters) in RULES.items():
            if any(one in ROUGH and after[one] is not before[one] for one in counters):
                figures[name] = list(derived(name, moment, new))
        self._put_fixes(figures, places)
        if PART in figures:
            shares = {SHARE: list(derived(SHARE, moment, {**new, **figures}))}
            self._put_fixes(shares, places)
            figures |= shares
        return figures

    def _put_fixes(self, figures: Mapping[str, list[Any]], places: Sequence[int]) -> None:
        for name in figures.keys() & self._fixes.keys():
            fixes, values = self._fixes[name], figures[name]
            values[:] = [fixes.get(place, value) for place, value in zip(places, values, strict=True)]


def _left(changes: Mapping[str, list[int]], count: int) -> list[int]:
    """Return what the total's change leaves when user time's is taken of it."""
    nothing = [0] * count
    return list(map(sub, changes.get(TOTAL, nothing), changes.get(USER, nothing)))


def _in_order(values: Sequence[Any], before: Sequence[int | None], unknown: object) -> list[Any]:
    return [unknown if place is None else values[place] for place in before]


def _redrawn(containers: Sequence[Any], figures: Mapping[str, Sequence[Any]]) -> Sequence[Container]:
    """Return containers with other figures; those themselves stay as they are."""
    if not figures:
        return containers
    made = [one.copy() for one in containers]
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, values in figures.items():
        group, _, key = name.partition(".")
        if group not in groups:
            groups[group] = [one[group].copy() for one in containers]
        for part, value in zip(groups[group], values, strict=True):
            part[key] = value
    for group, parts in groups.items():
        for one, part in zip(made, parts, strict=True):
            one[group] = part
    return made
