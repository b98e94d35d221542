"""The functions of a template: Docker's (docker/cli templates/templates.go), and those of Go's text/template; pure."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any

__all__ = ["FUNCTIONS", "NilList", "NilMap", "json_of", "text_of"]

VERB = re.compile(r"%(-?\d*)(?:\.(\d*))?([svdqt%])")


class NilList(list[Any]):
    """A list that nobody has given: it is shown as an empty one, and in JSON as null."""


class NilMap(dict[str, Any]):
    """The same of names and their values."""


def json_of(value: Any) -> str:  # noqa: ANN401  whatever JSON holds
    """Write a value as Go does, without blanks: scripts look for `"Status":"running"`."""
    if isinstance(value, NilList | NilMap):
        return "null"
    return json.dumps(value, separators=(",", ":"))


def text_of(value: Any) -> str:  # noqa: ANN401  whatever JSON holds
    """Write a value as Go's %v does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{text_of(each)}' for key, each in sorted(value.items()))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(text_of, value))}]"
    return "<nil>" if value is None else str(value)


def _printf(form: str, *values: Any) -> str:  # noqa: ANN401  whatever JSON holds
    rest = iter(values)

    def verb(match: re.Match[str]) -> str:
        if match[3] == "%":
            return "%"
        value = next(rest, "%!(MISSING)")
        if match[3] == "d" and isinstance(value, int):
            return f"%{match[1]}d" % value
        text = json.dumps(value) if match[3] == "q" else text_of(value)
        return f"%{match[1]}s" % (text if match[2] is None else text[: int(match[2] or "0")])

    return VERB.sub(verb, form)


def _print(*values: Any) -> str:  # noqa: ANN401  whatever JSON holds
    """Join values as Go's Sprint does: with a blank between two of which neither is a text."""
    text, before = "", True
    for value in values:
        is_text = isinstance(value, str)
        text += ("" if before or is_text else " ") + text_of(value)
        before = is_text
    return text


def _index(value: Any, *keys: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": json_of,
    "join": lambda words, between: between.join(map(text_of, words)),
    "split": lambda text, between: text.split(between),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "truncate": lambda text, length: text[:length],
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "slice": lambda value, *bounds: value[slice(*(bounds if len(bounds) > 1 else (*bounds, None)))],
    "print": _print,
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": _printf,
    "len": len,
    "index": _index,
    "not": operator.not_,
    "and": lambda *values: next((each for each in values if not each), values[-1]),
    "or": lambda *values: next((each for each in values if each), values[-1]),
    "eq": lambda one, *others: one in others,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
