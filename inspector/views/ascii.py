"""The same lines for a terminal that has no other characters than ASCII."""

from __future__ import annotations

from inspector.views.sparkline import BLOCKS, LETTERS
from inspector.views.text import width_of

__all__ = ["drawn_in_ascii", "to_ascii"]

DRAWN = str.maketrans({
    **dict(zip(BLOCKS, LETTERS, strict=True)),
    "▒": "+", "·": ".", "…": "~", "▲": "!", "●": "*", "├": "|", "└": "`", "│": "|", "─": "-", "┤": "|", "→": ">",
})  # fmt: skip


def drawn_in_ascii(text: str) -> str:
    """Return text with what we draw in ASCII; other characters, of names, stay."""
    return text if text.isascii() else text.translate(DRAWN)


def to_ascii(text: str) -> str:
    """Return text of the same width in ASCII alone: a name's other characters are "?"."""
    text = drawn_in_ascii(text)
    return text if text.isascii() else "".join(one if one.isascii() else "?" * width_of(one) for one in text)
