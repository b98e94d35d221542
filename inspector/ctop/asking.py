"""What is asked in the status line before something is done: a text, one of a few keys, yes or no.

press() takes keys by Textual's names and returns what to ask next: itself
while it is not answered, None when there is nothing more to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from inspector.views.layout import Line

__all__ = ["Asking", "Choice", "Prompt", "Question"]

MOST_TEXT = 40
CHARACTERS = {"full_stop": ".", "colon": ":", "space": " ", "minus": "-", "plus": "+"}


class Asking(Protocol):
    """Something that is asked in one line."""

    def line(self) -> Line:
        """Return the line."""

    def press(self, key: str) -> Asking | None:
        """Take a key."""


class Question:
    """Yes or no; only `y` is yes, and Enter is nothing, so that no key too many does what was not meant."""

    def __init__(self, text: str, yes: Callable[[], None]) -> None:
        self.text = text
        self._yes = yes

    def line(self) -> Line:
        """Return the question; how to answer comes first, as a narrow terminal cuts the end."""
        return [("y/n  ", "title"), (f"{self.text}?", "warn")]

    def press(self, key: str) -> Asking | None:
        """Take the answer."""
        if key in ("y", "Y"):
            self._yes()
        return None if key in ("y", "Y", "n", "N", "escape", "q") else self


class Choice:
    """One of a few keys."""

    def __init__(self, text: str, choices: Mapping[str, tuple[str, Callable[[], Asking | None]]]) -> None:
        self._text = text
        self._choices = choices

    def line(self) -> Line:
        """Return the choices."""
        line: Line = [(f"{self._text}: ", "title")]
        for key, (name, _) in self._choices.items():
            line += [(key, "title"), (f" {name}  ", "")]
        return [*line, ("Esc back", "dim")]

    def press(self, key: str) -> Asking | None:
        """Take one."""
        if key in self._choices:
            return self._choices[key][1]()
        return None if key in ("escape", "q") else self


class Prompt:
    """A word to type; `take` gets it and returns what to ask next, or raises ValueError with what is wrong with it."""

    def __init__(self, text: str, hint: str, take: Callable[[str], Asking | None]) -> None:
        self._text, self._hint = text, hint
        self._take = take
        self._typed = self._problem = ""

    def line(self) -> Line:
        """Return the prompt, what has been typed, and what may be."""
        after = (f"  {self._problem}", "bad") if self._problem else (f"  {self._hint}", "dim")
        return [(f"{self._text}: ", "title"), (self._typed, ""), (" ", "sorted"), after]

    def press(self, key: str) -> Asking | None:
        """Take a letter, or all of them at Enter."""
        self._problem = ""
        if key == "escape":
            return None
        if key == "enter" and self._typed:
            try:
                return self._take(self._typed)
            except ValueError as error:
                self._problem = str(error)
        elif key in ("backspace", "ctrl+h"):
            self._typed = self._typed[:-1]
        elif key in ("ctrl+u", "ctrl+w"):
            self._typed = ""
        else:
            letter = CHARACTERS.get(key, key)
            if len(letter) == 1 and len(self._typed) < MOST_TEXT:
                self._typed += letter
        return self
