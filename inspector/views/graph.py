"""Figures over time as a graph of dots (braille, two samples a column) or, in ASCII, of marks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from inspector.views.layout import Line
from inspector.views.sparkline import sparkline
from inspector.views.text import UNKNOWN, fit

__all__ = ["AXIS", "beside", "graph", "strip"]

AXIS = 8
"""Columns of the figures at the left."""
# A braille cell by how many dots are filled from the bottom, in the left half and in the right (Unicode, chapter 21).
LEFT, RIGHT = (0, 0x40, 0x44, 0x46, 0x47), (0, 0x80, 0xA0, 0xB0, 0xB8)
BRAILLE = [[chr(0x2800 + left + right) for right in RIGHT] for left in LEFT]
DOTS = 4
AT_LIMIT = 0.95
Values = Sequence[float | None]
Form = Callable[[float | None], str]


def graph(
    values: Values,
    width: int,
    height: int,
    form: Form,
    limits: Values = (),
    *,
    least: float = 0.0,
    unicode: bool = True,
) -> list[Line]:
    """Return `height` lines of `width` columns: the newest value at the right, `limits` as a line across.

    The top is the largest of all values and limits in sight, no less than `least`; it is written at the left. What
    comes up to the limit is "bad"; an unknown value is a gap.
    """
    room = max(width - AXIS - 1, 1)
    step = 2 if unicode else 1
    shown, bounds = _filled(values, room * step), _filled(limits, room * step)
    known = [value for value in (*shown, *bounds) if value is not None]
    top = max(max(known, default=0.0), least) or 1.0
    places = range(0, room * step, step)
    columns = [_column(shown[at : at + step], bounds[at : at + step], height, top) for at in places]
    mark = _braille if unicode else _letter
    lines = []
    for level in range(height - 1, -1, -1):
        label = form(top) if level == height - 1 else form(0.0) if level == 0 else ""
        lines.append([(fit(label, AXIS, "right") + "│", "dim"), *_row(columns, level, mark)])
    return lines


class Column(NamedTuple):
    """How many dots of the whole height each sample fills, whether one is at the limit, in which row that runs."""

    left: int
    right: int
    at_limit: bool
    limit: int | None


def _filled(values: Values, count: int) -> Values:
    """Return the last `count` values; before the first there are none."""
    shown = values[-count:]
    return [*([None] * (count - len(shown))), *shown]


def _column(values: Values, bounds: Values, height: int, top: float) -> Column:
    # What is used at all has at least a dot.
    full = [max(round(value / top * height * DOTS), value > 0) if value is not None else 0 for value in values]
    pairs = [(value, bound) for value, bound in zip(values, bounds, strict=True) if bound is not None]
    at_limit = any(value is not None and value >= bound * AT_LIMIT for value, bound in pairs)
    limit = min(int(pairs[-1][1] / top * height), height - 1) if pairs else None
    return Column(full[0], full[-1], at_limit, limit)


def _row(columns: Sequence[Column], level: int, mark: Callable[[int, int], str]) -> Line:
    """Draw one row; neighbours of one meaning are one cell, as a line of a hundred cells is slow to draw."""
    found: Line = []
    below = level * DOTS
    for left, right, at_limit, limit in columns:
        if left > below or right > below:
            dots = min(max(left - below, 0), DOTS), min(max(right - below, 0), DOTS)
            cell = mark(*dots), "bad" if at_limit else "good"
        else:
            cell = ("─", "warn") if limit == level else (" ", "")
        if found and found[-1][1] == cell[1]:
            found[-1] = found[-1][0] + cell[0], cell[1]
        else:
            found.append(cell)
    return found


def _braille(left: int, right: int) -> str:
    return BRAILLE[left][right]


def _letter(full: int, _: int) -> str:
    return " .::#"[full]


def strip(values: Values, width: int, meaning: str, *, per_column: int, unicode: bool = True) -> Line:
    """Return one line of blocks below a graph, of which a full one is 1; of a column's samples the largest counts."""
    room = max(width - AXIS - 1, 1)
    shown = _filled(values, room * per_column)
    columns = [shown[start : start + per_column] for start in range(0, len(shown), per_column)]
    most = [max((value for value in column if value is not None), default=None) for column in columns]
    now = next((value for value in reversed(values) if value is not None), None)
    label = f"{now:.0%}" if now is not None else UNKNOWN
    marks = [None if value == 0 else value for value in most]
    return [(fit(label, AXIS, "right") + " ", "dim"), (sparkline(marks, room, 1.0, unicode), meaning)]


def beside(blocks: Sequence[Sequence[Line]], width: int) -> list[Line]:
    """Put blocks of lines beside each other, each in `width` columns."""
    height = max((len(block) for block in blocks), default=0)
    lines = []
    for number in range(height):
        line: Line = []
        for block in blocks:
            cells = list(block[number]) if number < len(block) else []
            used = sum(len(text) for text, _ in cells)
            line += [*cells, (" " * max(width - used, 0), "")]
        lines.append(line)
    return lines
