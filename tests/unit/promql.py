"""As much of PromQL as the tests of dashboards and rules need: which selectors a query has, and what is around each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Selector", "selectors"]

TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'[^']*')"""
    r"""|(?P<duration>\[[^\]]*\])|(?P<number>\d[\w.]*|\$\w+)|(?P<name>[a-zA-Z_:][\w:]*)|(?P<other>\S)"""
)
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = GROUPING | {"and", "or", "unless", "offset", "bool", "start", "end", "inf", "nan"}
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')


class Selector(NamedTuple):
    """A metric in a query: its matchers (label -> operator and value), the range behind it, the function around it."""

    metric: str
    matchers: dict[str, tuple[str, str]]
    range: str
    function: str

    @property
    def text(self) -> str:
        """Return metric and matchers, as an instant vector's selector."""
        matchers = ",".join(f'{label}{operator}"{value}"' for label, (operator, value) in self.matchers.items())
        return f"{self.metric}{{{matchers}}}"


def selectors(query: str) -> Iterator[Selector]:
    """Yield a query's selectors; the query must be valid (promtool tells)."""
    tokens = [(match.lastgroup, match.group(), match) for match in TOKEN.finditer(query)]
    functions: list[str] = []  # one for each parenthesis that is open
    skip_until = -1
    for index, (kind, text, match) in enumerate(tokens):
        after = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if match.start() < skip_until:
            continue
        if text == "(":
            before = tokens[index - 1][1] if index else ""
            functions.append(before if re.fullmatch(r"[a-z_]+", before) else "")
        elif text == ")":
            functions.pop()
        elif kind == "name" and text.lower() in GROUPING and after == "(":
            skip_until = query.index(")", match.end()) + 1
        elif kind == "name" and text.lower() not in WORDS and after not in ("(", "by", "without"):
            end = match.end()
            matchers = {}
            if after == "{":
                close = _closing(query, end)
                matchers = {label: (operator, value) for label, operator, value in MATCHER.findall(query[end:close])}
                end = skip_until = close + 1
            behind = re.match(r"\s*(\[[^\]]*\])", query[end:])
            yield Selector(text, matchers, behind[1] if behind else "", functions[-1] if functions else "")


def _closing(query: str, start: int) -> int:
    """Return the place of the brace that closes the matchers; one within a string does not."""
    match = re.compile(r'(?:[^"}]|"(?:[^"\\]|\\.)*")*\}').match(query, query.index("{", start) + 1)
    assert match
    return match.end() - 1
