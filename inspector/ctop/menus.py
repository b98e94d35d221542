"""Lists to choose from in place of the table: what to sort by, which columns to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from inspector.ctop.state import State
from inspector.views.columns import BY_SHORT_NAME
from inspector.views.layout import Line
from inspector.views.selection import SORTS
from inspector.views.text import fit

__all__ = ["ColumnMenu", "Menu", "SortMenu"]

MOVES: Mapping[str, int] = {"up": -1, "k": -1, "down": 1, "j": 1, "home": -1000, "end": 1000}
HELP_OF_SORT = {"io": "bytes read and written per second", "net": "bytes received and sent per second"}


class Menu(Protocol):
    """A list with one line under the cursor."""

    cursor: int
    hint: str
    heading: Line

    def lines(self) -> list[Line]:
        """Return the list."""

    def press(self, key: str) -> bool:
        """Take a key by Textual's name; return True when the choice is made."""


class SortMenu:
    """Choose what to sort by: Enter, or the key that opened it, takes the line."""

    hint = "Enter take it  r reverse  Esc back"

    def __init__(self, state: State) -> None:
        self._state = state
        self.heading: Line = [("what to sort by", "dim")]
        shown = [one.name for one, is_shown in state.all_columns() if is_shown]
        names = [name for name in shown if name in SORTS or name not in BY_SHORT_NAME]
        self._names = [*names, *(name for name in SORTS if name not in names)]
        sort = state.selection.sort
        self.cursor = self._names.index(sort) if sort in self._names else 0

    def lines(self) -> list[Line]:
        """Return a line for each order there is, those of the columns in sight first."""
        return [
            [(f"{fit(name, 12)} ", "title"), (HELP_OF_SORT.get(name) or _help(name), "")]
            for name in self._names
        ]  # fmt: skip

    def press(self, key: str) -> bool:
        """Move, or take what is chosen."""
        if key in MOVES:
            self.cursor = _bounded(self.cursor + MOVES[key], len(self._names))
        elif key in ("enter", "space", "s", "f6"):
            again = self._names[self.cursor] == self._state.selection.sort
            reverse = self._state.selection.reverse and again
            self._state.select(sort=self._names[self.cursor], reverse=reverse)
            return True
        elif key in ("r", "I"):
            self._state.select(sort=self._names[self.cursor], reverse=not self._state.selection.reverse)
            return True
        return key in ("escape", "q", "f10")


class ColumnMenu:
    """Choose the columns and their order; every change is seen at once when the menu is left."""

    hint = "Space on/off  < > move  a those that fit  Esc back  S there saves"

    def __init__(self, state: State) -> None:
        self._state = state
        self.heading: Line = [("the columns, in their order", "dim")]
        columns = state.all_columns()
        self._names = [one.name for one, _ in columns]
        self._on = {one.name for one, shown in columns if shown}
        self.cursor = 0

    def lines(self) -> list[Line]:
        """Return a line for each column there is, those shown first."""
        return [
            [("[x] " if name in self._on else "[ ] ", ""), (f"{fit(name, 12)} ", "title"), (_help(name), "")]
            for name in self._names
        ]

    def press(self, key: str) -> bool:
        """Move, turn a column on or off, or move it."""
        if key in MOVES:
            self.cursor = _bounded(self.cursor + MOVES[key], len(self._names))
        elif key in ("space", "enter", "x"):
            self._on ^= {self._names[self.cursor]}
            self._apply()
        elif key in ("less_than_sign", "pageup", "greater_than_sign", "pagedown"):
            self._shift(-1 if key in ("less_than_sign", "pageup") else 1)
        elif key == "a":
            self._state.set_columns(())
            return True
        return key in ("escape", "q", "c", "f2", "f10")

    def _shift(self, step: int) -> None:
        place = _bounded(self.cursor + step, len(self._names))
        names = self._names
        names[self.cursor], names[place] = names[place], names[self.cursor]
        self.cursor = place
        self._apply()

    def _apply(self) -> None:
        if self._on:  # a table without columns is of no use to anyone
            self._state.set_columns([name for name in self._names if name in self._on])


def _help(name: str) -> str:
    known = BY_SHORT_NAME.get(name)
    return known.help if known is not None else "field of the document"


def _bounded(place: int, count: int) -> int:
    return max(0, min(place, count - 1))
