"""A few figures as a line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["sparkline"]

BLOCKS = "▁▂▃▄▅▆▇█"
LETTERS = "_.-:=+*#"


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
