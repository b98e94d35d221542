"""A container's spec as JSON and back: frozen values of plain ones, by their own type hints.

What `create` was told is kept in the container's document, and `start` makes
the same container of it. Known are str, int, float, bool, None, unions with
None, tuple, frozenset, list, dict with string keys, and values of these.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from sandbox.errors import SandboxError
from sandbox.value import Value, defaults, fields

__all__ = ["decode", "encode"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")


# types.UnionType and NoneType, without types.
UNION, NOTHING = type(int | None), type(None)


def encode(value: Any) -> Any:  # noqa: ANN401  any of the types above
    """Return a value as what json can write; a field that has its default is left out."""
    if isinstance(value, Value):
        usual = defaults(type(value))
        given = ((name, getattr(value, name)) for name in fields(type(value)))
        return {name: encode(found) for name, found in given if not (name in usual and _is_same(usual[name], found))}
    if isinstance(value, frozenset | set):
        return sorted(encode(item) for item in value)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return value


def _is_same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def decode(kind: type[T], data: object) -> T:
    """Return the value of `kind` that was encoded as `data`; SandboxError when it is not one."""
    try:
        made: T = _decode(kind, data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise SandboxError(f"the container's document does not hold a {kind.__name__}: {error}") from None
    return made


def _hints(kind: type[Value]) -> dict[str, Any]:
    """Return the types of a class's fields: typing.get_type_hints(), without typing."""
    names = vars(sys.modules[kind.__module__])
    return {name: eval(text, names) for name, text in kind.__annotations__.items()}  # noqa: S307  our own source


def _decode(kind: Any, data: Any) -> Any:  # noqa: ANN401, PLR0911  a case a type
    origin: Any = getattr(kind, "__origin__", None)
    inner: tuple[Any, ...] = getattr(kind, "__args__", ())
    if origin is None and isinstance(kind, type) and issubclass(kind, Value):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], value) for name, value in data.items() if name in hints})
    if isinstance(kind, UNION):
        if data is None:
            return None
        return _decode(next(each for each in inner if each is not NOTHING), data)
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:  # noqa: PLR2004
            return tuple(_decode(inner[0], item) for item in data)
        return tuple(_decode(each, item) for each, item in zip(inner, data, strict=True))
    if origin in (frozenset, set, list):
        return origin(_decode(inner[0], item) for item in data)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _decode(inner[1], item) for key, item in data.items()}
    if isinstance(kind, type) and not isinstance(data, kind) and not (kind is float and isinstance(data, int)):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data
