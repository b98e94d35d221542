"""The sandbox's values, beside the dataclasses that they stand in for."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from dataclasses import replace as dataclass_replace
from typing import Any

import pytest

from sandbox.value import Value, defaults, fields, replace


class Point(Value):
    """A value."""

    x: int
    y: int = 2
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse what the other refuses."""
        if self.x < 0:
            raise ValueError(self.x)

    @property
    def total(self) -> int:
        """Return something computed."""
        return self.x + self.y


class Other(Value):
    """One with the same fields."""

    x: int
    y: int = 2
    name: str = ""


class Nothing(Value):
    """One without fields."""


@dataclass(frozen=True, slots=True)
class Oracle:
    """The same as a dataclass."""

    x: int
    y: int = 2
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse."""
        if self.x < 0:
            raise ValueError(self.x)


def outcome(kind: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401  either class
    """Return the fields of what is made, or the kind of error."""
    try:
        made = kind(*given, **named)
    except (TypeError, ValueError) as error:
        return type(error)
    return made.x, made.y, made.name


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((1,), {}), ((1, 3), {}), ((1, 3, "a"), {}), ((1,), {"name": "a"}), ((), {"x": 1, "y": 0, "name": "a"}),
        ((), {}), ((), {"y": 1}), ((1, 2, "a", 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((-1,), {}),
        ((1, 2), {"y": 2}), ((), {"name": "a", "z": 1}),
    ],
)  # fmt: skip
def test_it_is_made_of_the_arguments_a_dataclass_takes(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Positional, named and missing values, too many and unknown ones: all as in a dataclass."""
    assert outcome(Point, *given, **named) == outcome(Oracle, *given, **named)


def test_equal_values_are_equal_of_their_kind_only() -> None:
    """Equality and hash are over all fields and the class."""
    assert Point(1) == Point(1, 2, "")
    assert hash(Point(1)) == hash(Point(1, 2, ""))
    assert Point(1) != Point(1, 3)
    assert Point(1) != Other(1)
    assert Nothing() == Nothing()
    assert {Point(1), Point(1, 2), Point(2)} == {Point(1), Point(2)}


def test_it_reads_as_a_dataclass_does() -> None:
    """The representation names class and fields."""
    assert repr(Point(1, name="a")) == repr(Oracle(1, name="a")).replace("Oracle", "Point")
    assert repr(Nothing()) == "Nothing()"


def test_it_cannot_be_changed() -> None:
    """Neither a field nor anything else can be assigned or deleted."""
    point: Any = Point(1)
    frozen: Any = Oracle(1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError):
            setattr(point, name, 5)
        with pytest.raises(AttributeError):
            delattr(point, name)
    with pytest.raises(FrozenInstanceError):
        frozen.x = 5
    assert (point.x, point.total) == (1, 3)
    assert not hasattr(point, "__dict__")


def test_a_changed_copy_is_checked_like_a_new_one() -> None:
    """replace() changes some fields, refuses unknown ones, and runs the checks."""
    assert replace(Point(1, 5), x=2) == Point(2, 5)
    assert dataclass_replace(Oracle(1, 5), x=2) == Oracle(2, 5)
    with pytest.raises(ValueError, match="-1"):
        replace(Point(1), x=-1)
    with pytest.raises(TypeError):
        replace(Point(1), z=1)


def test_fields_and_defaults_can_be_asked_for() -> None:
    """As codec.py does."""
    assert fields(Point) == ("x", "y", "name")
    assert defaults(Point) == {"y": 2, "name": ""}
    assert (fields(Nothing), defaults(Nothing)) == ((), {})
