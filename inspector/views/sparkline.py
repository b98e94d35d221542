"""A few figures as a line of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

__all__ = ["condensed", "sparkline"]

BLOCKS = "▁▂▃▄▅▆▇█"
LETTERS = "_.-:=+*#"


def condensed(values: Sequence[float | None], width: int) -> list[float | None]:
    """Return at most `width` values, the newest last: each the most of as many as it takes, unknown where all are."""
    each = -(-len(values) // width)
    if each <= 1:
        return list(values)
    least = -inf  # below all that is known
    known = [least if value is None else value for value in values] if None in values else values
    most = [max(known[max(end - each, 0) : end]) for end in range(len(known), 0, -each)]  # type: ignore[type-var]
    return [None if value == least else value for value in most][::-1]


def sparkline(values: Sequence[float | None], width: int, top: float | None = None, unicode: bool = True) -> str:
    """Return the last `width` values as blocks, the newest on the right, in exactly `width` columns.

    `top` is the figure of a full block (None: the largest of those shown); an
    unknown value is a blank, and so is the time before the first.
    """
    marks = BLOCKS if unicode else LETTERS
    shown = values[-width:] if width > 0 else ()
    most = top or max((value for value in shown if value is not None and value > 0), default=1)
    last = len(marks) - 1
    line = [" " if value is None else marks[min(max(int(value * last / most + 0.5), 0), last)] for value in shown]
    return "".join(line).rjust(width)
