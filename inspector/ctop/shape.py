"""Holds what came from elsewhere against the document's types: a server may lie, a file may be damaged.

The types are those of inspector.schema, read once. What is more is dropped,
what is missing is null where that may be (an older exporter), else and when it
is of another type a ValueError that names its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from inspector.schema import SCHEMA, Document

__all__ = ["checked"]

Check = Callable[[Any, str], Any]

MOST_TEXT = 1 << 16
MOST_NUMBER = 1 << 63
LONGEST_PLACE = 80


def checked(value: object) -> Document:
    """Return a document of the schema's types and nothing else; ValueError with the place and what is wrong there."""
    if not isinstance(value, dict):
        raise _wrong("the document", value, "an object")
    if value.get("schema") != SCHEMA:
        raise ValueError(f"the document's schema is {str(value.get('schema'))[:20]!r}, not {SCHEMA}")
    document = cast("Document", _check_of(Document)(value, ""))
    ids = {container["id"] for container in document["containers"]}
    if len(ids) != len(document["containers"]):
        raise ValueError("two containers have the same id")
    if len({"node" in container for container in document["containers"]}) > 1:  # of one machine, or of many
        raise ValueError("some containers have a node and others none")
    return document


def _wrong(place: str, value: object, wanted: str) -> ValueError:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", NoneType: "null"}
    found = names.get(type(value), "a number")
    return ValueError(f"{place[:LONGEST_PLACE]} is {found}, not {wanted}")


@cache
def _check_of(kind: Any) -> Check:  # noqa: ANN401  a type, or what typing makes of one
    if is_typeddict(kind):
        return _object(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        [only] = [one for one in inner if one is not NoneType]
        check = _check_of(only)
        return lambda value, place: None if value is None else check(value, place)
    if origin is Literal:
        return _one_of(inner)
    if origin is list:
        return _list(_check_of(inner[0]))
    if origin is dict:
        return _mapping(_check_of(inner[1]))
    return {str: _text, bool: _truth, int: _whole, float: _number}[kind]


def _object(kind: Any) -> Check:  # noqa: ANN401  a TypedDict
    hints = get_type_hints(kind)
    checks = [(name, _check_of(hint)) for name, hint in hints.items()]
    nulls = {name: None for name, hint in hints.items() if NoneType in get_args(hint)}
    extra = kind.__optional_keys__

    def check(value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        if not value.keys() >= hints.keys():
            value = nulls | value
        try:
            return {name: inner(value[name], name) for name, inner in checks if name in value or name not in extra}
        except KeyError as error:
            raise ValueError(f"{place or 'the document'} has no {error.args[0]}"[: LONGEST_PLACE * 2]) from error
        except ValueError as error:
            raise ValueError(f"{place}{'.' if place else ''}{error}"[: LONGEST_PLACE * 2]) from None

    return check


def _list(inner: Check) -> Check:
    def check(value: object, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(place, value, "a list")
        return [inner(item, place) for item in value]

    return check


def _mapping(inner: Check) -> Check:
    def check(value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(place, value, "an object")
        return {_text(key, place): inner(item, place) for key, item in value.items()}

    return check


def _one_of(allowed: tuple[object, ...]) -> Check:
    def check(value: object, place: str) -> object:
        if not isinstance(value, str) or value not in allowed:
            raise _wrong(place, value, " or ".join(map(str, allowed)))
        return value

    return check


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _wrong(place, value, "text")
    return value if len(value) <= MOST_TEXT else value[:MOST_TEXT]


def _truth(value: object, place: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(place, value, "true or false")
    return value


def _whole(value: object, place: str) -> int:
    if type(value) is not int:
        if type(value) is float and value.is_integer() and abs(value) < MOST_NUMBER:
            return int(value)
        raise _wrong(place, value, "a whole number")
    if abs(value) >= MOST_NUMBER:
        raise ValueError(f"{place} is too large a number")
    return value


def _number(value: object, place: str) -> float:
    if type(value) is not float and type(value) is not int:
        raise _wrong(place, value, "a number")
    if not math.isfinite(value) or abs(value) >= MOST_NUMBER:
        raise ValueError(f"{place} is no finite number")
    return value
