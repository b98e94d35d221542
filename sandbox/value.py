"""Frozen values with named fields: what dataclass(frozen=True, slots=True) makes, without writing code at import.

dataclasses compiles the methods of each class when it is imported, 0.6 ms a
class, and is itself longer to import than all of the sandbox: what a start
needs would take longer to declare than to use. A class's annotations are its
fields, in order; what is assigned to one is its default.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it from typing takes as long as ten modules of ours
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn, TypeVar, dataclass_transform

    V = TypeVar("V", bound="Value")
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """Change nothing: typing's is for the type checker alone."""
        return lambda kind: kind


__all__ = ["Value", "defaults", "fields", "replace"]

_set = object.__setattr__


class _Fields(type):
    """Makes a class's annotations its slots, and keeps their defaults apart, as a slot cannot have one."""

    __match_args__: tuple[str, ...]
    __defaults__: dict[str, Any]

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> _Fields:
        names = tuple(body.get("__annotations__", ()))
        kept = {field: body.pop(field) for field in names if field in body}
        body |= {"__slots__": names, "__match_args__": names, "__defaults__": kept}
        return super().__new__(cls, name, bases, body)


@dataclass_transform(frozen_default=True)
class Value(metaclass=_Fields):
    """Base of the values. `__post_init__` is called when all fields are set."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401  each class's own fields
        kind = type(self)
        names = kind.__match_args__
        values = {**kind.__defaults__, **named}
        known = len(given) <= len(names)
        if given:
            known = known and named.keys().isdisjoint(names[: len(given)])
            values.update(zip(names, given, strict=False))
        try:
            for name in names:
                _set(self, name, values[name])
        except KeyError:
            known = False
        if not known or len(values) > len(names):
            raise TypeError(f"{kind.__name__}: {len(given)} values and {', '.join(named) or 'no names'} for {names}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Refuse what makes no sense together; nothing by default."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in fields(type(self)))})"

    def __setattr__(self, name: str, _: object) -> NoReturn:
        raise AttributeError(f"cannot assign to {name} of a {type(self).__name__}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete {name} of a {type(self).__name__}")


def _values(value: Value) -> tuple[Any, ...]:
    return tuple([getattr(value, name) for name in type(value).__match_args__])


def fields(kind: type[Value]) -> tuple[str, ...]:
    """Return the names of a class's fields, in order."""
    return kind.__match_args__


def defaults(kind: type[Value]) -> Mapping[str, Any]:
    """Return the defaults of those fields that have one."""
    return kind.__defaults__


def replace(value: V, **changes: Any) -> V:  # noqa: ANN401  the fields' own types
    """Return a value with some fields changed."""
    kind = type(value)
    return kind(**{**dict(zip(kind.__match_args__, _values(value), strict=True)), **changes})
