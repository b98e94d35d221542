"""The context managers that a start has in place of contextlib's do what those do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inspector.kernel.named import NamedTuple, prepare
from inspector.kernel.remembered import remembered
from sandbox import contexts


def plain(told: list[str]) -> Iterator[str]:
    """Tell of both ends."""
    told.append("in")
    try:
        yield "value"
    finally:
        told.append("out")


def swallows(told: list[str]) -> Iterator[str]:
    """Let a ValueError end here."""
    with contextlib.suppress(ValueError):
        yield from plain(told)


def replaces(told: list[str]) -> Iterator[str]:
    """Raise something else."""
    try:
        yield from plain(told)
    except ValueError as error:
        raise KeyError("another") from error


def yields_twice(told: list[str]) -> Iterator[str]:
    """Make a mistake."""
    yield from plain(told)
    yield "again"


@pytest.mark.parametrize("generator", [plain, swallows, replaces, yields_twice])
@pytest.mark.parametrize("error", [None, ValueError("told"), StopIteration("told"), GeneratorExit("told")])
def test_a_context_manager(generator: Callable[[list[str]], Iterator[str]], error: BaseException | None) -> None:
    """What is raised in the block and in the generator comes out as it does of contextlib's."""

    def outcome(make: Any) -> tuple[list[str], type | None, str]:  # noqa: ANN401  either of the two
        told: list[str] = []
        try:
            with make(generator)(told) as value:
                told.append(value)
                if error is not None:
                    raise error  # noqa: TRY301
        except BaseException as raised:  # noqa: BLE001
            return told, type(raised), str(raised) if raised is error or isinstance(raised, KeyError) else ""
        return told, None, ""

    assert outcome(contexts.contextmanager) == outcome(contextlib.contextmanager)


def test_what_is_suppressed() -> None:
    """An exception of one of the kinds ends the block, another one comes through."""
    told = []
    with contexts.suppress(KeyError, OSError):
        told.append("before")
        raise FileNotFoundError
    with pytest.raises(ValueError, match="through"), contexts.suppress(KeyError):
        raise ValueError("through")
    assert told == ["before"]


class Point(NamedTuple):
    """Two numbers."""

    x: int
    y: int = 2

    def sum(self) -> int:
        """Add them."""
        return self.x + self.y


@pytest.mark.parametrize("prepared", [False, True])
def test_a_named_tuple(*, prepared: bool) -> None:
    """It is made, shown, changed, taken apart and refused as typing's is, also when its function was made before."""
    if prepared:
        prepare()
        assert Point.__new__.__qualname__ == "Point.__new__"
    point = Point(1)
    assert (point, point.y, point.sum(), repr(point)) == ((1, 2), 2, 3, "Point(x=1, y=2)")
    assert (point._replace(x=5), point._asdict(), Point._make((3, 4))) == ((5, 2), {"x": 1, "y": 2}, (3, 4))
    assert (Point._fields, Point._field_defaults, Point.__doc__) == (("x", "y"), {"y": 2}, "Two numbers.")
    match Point(7, y=8):
        case Point(x, y):
            assert (x, y) == (7, 8)
    make: Any = Point
    for given, named in (((), {}), ((1, 2, 3), {}), ((1,), {"z": 3})):
        with pytest.raises(TypeError):
            make(*given, **named)
    with pytest.raises(AttributeError):
        point.x = 3  # type: ignore[misc]


def test_results_are_remembered() -> None:
    """A function is called once for the same arguments, as long as they are among the last so many."""
    calls = []

    @remembered(2)
    def double(number: int) -> int:
        """Double it."""
        calls.append(number)
        return 2 * number

    assert [double(number) for number in (1, 1, 2, 3, 1)] == [2, 2, 4, 6, 2]
    assert (calls, double.__doc__) == ([1, 2, 3, 1], "Double it.")
