"""The words of a Dockerfile's instruction: quotes, escapes and variables, as BuildKit's shell.Lex reads them; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["expand", "split", "split_expanded"]

WORD = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s'"\\]|\\$)+""", re.DOTALL)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#]")
MODIFIER = re.compile(r":?[-+]")


def split(text: str) -> list[str]:
    """Return the words as they stand, quotes and all; ValueError where a quotation does not end."""
    if WORD.sub("", text).strip():
        raise ValueError("No closing quotation")
    return WORD.findall(text)


def split_expanded(text: str, values: Mapping[str, str]) -> list[str]:
    """Return the words with their variables; one without quotes may become several, or none."""
    found: list[str] = []
    for word in split(text):
        expanded = expand(word, values)
        found += [expanded] if "'" in word or '"' in word else expanded.split()
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return a word without its quotes and escapes, and with variables in their places: $A, ${A}, ${A:-b}, ${A:+b}.

    ValueError where a quotation or a brace does not end, or a brace holds anything else.
    """
    return _Reader(text, values).read("")


class _Reader:
    def __init__(self, text: str, values: Mapping[str, str]) -> None:
        self._text, self._values, self._at = text, values, 0

    def read(self, end: str) -> str:
        """Read up to one of the letters of `end`, which is left out; "" is the end of the text."""
        result = ""
        while self._at < len(self._text):
            letter = self._next()
            if letter in end:
                return result
            if letter == "'" and end != '"':
                result += self._until_quote()
            elif letter == '"':
                result += self.read('"')
            elif letter == "$":
                result += self._variable()
            elif letter == "\\" and (end != '"' or self._text[self._at : self._at + 1] in ('"', "$", "\\")):
                result += self._next()
            else:
                result += letter
        if end:
            raise ValueError("No closing quotation" if end == '"' else "no closing brace")
        return result

    def _next(self) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        return letter

    def _until_quote(self) -> str:
        start, self._at = self._at, self._text.find("'", self._at) + 1
        if not self._at:
            raise ValueError("No closing quotation")
        return self._text[start : self._at - 1]

    def _variable(self) -> str:
        is_braced = self._text.startswith("{", self._at)
        self._at += is_braced
        name = NAME.match(self._text, self._at)
        if name is None and not is_braced:
            return "$"
        self._at = name.end() if name else self._at
        value = self._values.get(name[0], "") if name else ""
        if not is_braced:
            return value
        modifier = MODIFIER.match(self._text, self._at)
        if name is None or not (modifier or self._text.startswith("}", self._at)):
            raise ValueError("the form of a variable is $A, ${A}, ${A:-b} or ${A:+b}")
        if modifier is None:
            self._at += 1
            return value
        self._at = modifier.end()
        other = self.read("}")
        is_set = bool(value) if modifier[0].startswith(":") else name[0] in self._values
        return (other if is_set else "") if modifier[0].endswith("+") else (value if is_set else other)
