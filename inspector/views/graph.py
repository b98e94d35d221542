"""Figures over time as a graph of dots (braille, two samples a column) or, in ASCII, of marks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspector.views.layout import Line
from inspector.views.sparkline import sparkline
from inspector.views.text import UNKNOWN, fit

__all__ = ["AXIS", "beside", "graph", "strip"]

AXIS = 8
"""Columns of the figures at the left."""
BRAILLE = 0x2800
# The dots of a braille cell from the bottom up, for the left and the right sample (Unicode, chapter 21).
LEFT, RIGHT = (0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)
DOTS = 4
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
    samples = room * 2 if unicode else room
    shown, bounds = _filled(values, samples), _filled(limits, samples)
    known = [value for value in (*shown, *bounds) if value is not None]
    top = max(known, default=0.0) or least or 1.0
    top = max(top, least)
    step = 2 if unicode else 1
    lines = []
    for level in range(height - 1, -1, -1):
        label = form(top) if level == height - 1 else form(0.0) if level == 0 else ""
        line: Line = [(fit(label, AXIS, "right") + "│", "dim")]
        for start in range(0, samples, step):
            mark = _braille if unicode else _letter
            line.append(mark(shown[start : start + step], bounds[start : start + step], level, height, top))
        lines.append(_joined(line))
    return lines


def _filled(values: Values, count: int) -> Values:
    """Return the last `count` values; before the first there are none."""
    shown = values[-count:]
    return [*([None] * (count - len(shown))), *shown]


def _braille(values: Values, bounds: Values, level: int, height: int, top: float) -> tuple[str, str]:
    code, at_limit = 0, False
    for value, bound, dots in zip(values, bounds, (LEFT, RIGHT), strict=False):
        if value is not None:
            full = round(value / top * height * DOTS)
            # What is used at all has at least a dot.
            full = max(full, 1) if value > 0 else full
            code += sum(dots[: min(max(full - level * DOTS, 0), DOTS)])
            at_limit |= bound is not None and value >= bound * 0.95
    if code:
        return chr(BRAILLE + code), "bad" if at_limit else "good"
    return ("─", "warn") if _crosses(bounds, level, height, top) else (" ", "")


def _letter(values: Values, bounds: Values, level: int, height: int, top: float) -> tuple[str, str]:
    value, bound = values[0], bounds[0]
    if value is not None:
        full = value / top * height
        if full > level and value > 0:
            mark = "#" if full >= level + 0.75 else ":" if full >= level + 0.25 or level else "."
            return mark, "bad" if bound is not None and value >= bound * 0.95 else "good"
    return ("-", "warn") if _crosses(bounds, level, height, top) else (" ", "")


def _crosses(bounds: Values, level: int, height: int, top: float) -> bool:
    """Tell whether the line of the limit passes through this row."""
    return any(
        bound is not None and min(int(bound / top * height), height - 1) == level for bound in bounds
    )


def _joined(line: Line) -> Line:
    """Put neighbours of one meaning together: a line of a hundred cells is slow to draw."""
    found: Line = []
    for text, meaning in line:
        if found and found[-1][1] == meaning:
            found[-1] = (found[-1][0] + text, meaning)
        else:
            found.append((text, meaning))
    return found


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
