"""A container's spec as JSON and back: frozen dataclasses of plain values, by their own type hints.

What `create` was told is kept in the container's document, and `start` makes
the same container of it. Known are str, int, float, bool, None, unions with
None, tuple, frozenset, list, dict with string keys, and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from sandbox.errors import SandboxError

__all__ = ["decode", "encode"]

T = TypeVar("T")


def encode(value: Any) -> Any:  # noqa: ANN401  any of the types above
    """Return a value as what json can write; a field that has its default is left out."""
    if dataclasses.is_dataclass(value):
        given = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: encode(found) for field, found in given if not _is_default(field, found)}
    if isinstance(value, frozenset | set):
        return sorted(encode(item) for item in value)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def _is_default(field: dataclasses.Field[Any], value: object) -> bool:
    return field.default is not dataclasses.MISSING and type(value) is type(field.default) and value == field.default


def decode(kind: type[T], data: object) -> T:
    """Return the dataclass `kind` that was encoded as `data`; SandboxError when it is not one."""
    try:
        made: T = _decode(kind, data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise SandboxError(f"the container's document does not hold a {kind.__name__}: {error}") from None
    return made


def _decode(kind: Any, data: Any) -> Any:  # noqa: ANN401, PLR0911  a case a type
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decode(hints[name], value) for name, value in data.items() if name in hints})
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        return _decode(next(each for each in inner if each is not types.NoneType), data)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:  # noqa: PLR2004
            return tuple(_decode(inner[0], item) for item in data)
        return tuple(_decode(each, item) for each, item in zip(inner, data, strict=True))
    if origin in (frozenset, set, list):
        return origin(_decode(inner[0], item) for item in data)
    if origin is not None and issubclass(origin, typing.Mapping):
        return {key: _decode(inner[1], item) for key, item in data.items()}
    if isinstance(kind, type) and not isinstance(data, kind) and not (kind is float and isinstance(data, int)):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data
