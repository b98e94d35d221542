"""typing.NamedTuple, for modules that starting a container imports: without typing, and without collections.

Both take longer to import than all those modules do, and collections.namedtuple
makes eight functions for each class, where these have theirs in common.
"""

from __future__ import annotations

__all__ = ["NamedTuple", "prepare"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, NamedTuple

    def prepare() -> None:
        """Make now what each class has of its own, for a process that others go on from."""

else:
    from _collections import _tuplegetter

    new = tuple.__new__
    MANY = 100

    class _Tuple(tuple):
        """What collections.namedtuple gives each class, under the same names."""

        __slots__ = ()
        _fields: tuple[str, ...] = ()
        _field_defaults: Mapping[str, Any] = {}

        @classmethod
        def _make(cls, values: Iterable[Any]) -> _Tuple:
            return cls(*values)

        def _replace(self, **changes: Any) -> _Tuple:  # noqa: ANN401  the fields' own types
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

    class _Kind(type):
        """Makes a class of each, with what else is in its body."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            """Return the class; its annotations are the fields, in order."""
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            body |= {field: _tuplegetter(number, f"Field {number}") for number, field in enumerate(fields)}
            body |= {"__slots__": (), "_fields": fields, "__match_args__": fields, "_field_defaults": defaults}

            left = MANY

            def plain(cls: type, *values: Any, **named: Any) -> Any:  # noqa: ANN401  the fields' own types
                nonlocal left
                left -= 1
                if left and len(values) == len(fields) and not named:
                    return new(cls, values)
                kind.__new__ = _own_new(name, fields, defaults)
                return kind.__new__(cls, *values, **named)

            kind = type(name, (_Tuple,), {**body, "__new__": plain})
            return kind

    def _own_new(name: str, fields: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., Any]:
        """Return the one function that is each class's own: its arguments are the fields.

        It is made when many are, or one with names, as it takes longer to compile than all else of a class.
        """
        words = ", ".join(fields)
        made = eval(f"lambda _cls, {words}: new(_cls, ({words},))", {"new": new})  # noqa: S307  names
        made.__defaults__ = tuple(defaults.values())
        made.__name__, made.__qualname__ = "__new__", f"{name}.__new__"
        return staticmethod(made)

    def prepare() -> None:
        """Do so."""
        for kind in _Tuple.__subclasses__():
            kind.__new__ = _own_new(kind.__name__, kind._fields, kind._field_defaults)

    class NamedTuple(metaclass=_Kind):
        """A base that no class has: each is a tuple."""
