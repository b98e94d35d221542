"""A fact a line, behind a label: what the pages of nsinspect and of ctop have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap

from inspector.report import Unreadable
from inspector.views.cells import Cell
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, safe

__all__ = ["LABEL", "fact", "not_readable", "wrapped"]

LABEL = 12
LEAST = 30


def fact(label: str, *cells: Cell | str) -> Line:
    """Return a line of a label and what there is to say."""
    return [(f"  {label:<{LABEL}}", "dim"), *((cell, "") if isinstance(cell, str) else cell for cell in cells)]


def wrapped(label: str, text: str, width: int, meaning: str = "", *, whole: bool = False) -> Iterator[Line]:
    """Yield a text behind a label in as many lines as it needs; the text need not be safe yet.

    `whole`: no word is broken, so that a path can be copied; a terminal breaks the line by itself.
    """
    room = max(width - LABEL - 3, LEAST)
    parts = wrap(safe(text), room, break_on_hyphens=False, break_long_words=not whole) or [UNKNOWN]
    for number, part in enumerate(parts):
        yield fact("" if number else label, (part, meaning))


def not_readable(those: Iterable[Unreadable]) -> Iterator[Line]:
    """Yield below a blank line what could not be read, why, and what would help; nothing where all could."""
    for number, one in enumerate(those):
        if not number:
            yield []
            yield [("NOT READABLE", "title")]
        needs = f" (needs {safe(one['needs'])})" if one["needs"] else ""
        yield [(f"  {safe(one['what'])}: {safe(one['error'])}{needs}", "warn")]
