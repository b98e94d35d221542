"""What is taken out of the texts of control files, of many cgroups at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from inspector.errors import ParseError
from inspector.kernel.controllers import Values
from inspector.kernel.remembered import remembered
from inspector.plan import Parse, Use

__all__ = ["NOTHING", "UNKNOWN", "UNREAD", "Row", "take_out"]

# What the files of one cgroup say, what was taken out of them (by the plan's slots), and who is told of a file, by its
# number, that cannot be parsed. No class of its own, as a Use.
Row = tuple[Sequence[bytes], list[Values], Callable[[int, ParseError], None]]

SHORT = 80  # bytes
NOTHING: Values = {}
UNREAD = b"\0"  # in the place of a file's text, or before what it said some time ago: no control file says that
UNKNOWN: Values = {}  # and of its values
AVERAGES = "_avg10", "_avg60"


def take_out(uses: Iterable[Use], rows: Sequence[Row]) -> None:
    """Parse some files of cgroups that have the same ones: file by file, as what parses it is at hand by then.

    That is the processor's affair, and takes a tenth less than cgroup by cgroup.
    """
    for number, slot, _, parse in uses:
        for texts, values, refuse in rows:
            text = texts[number]
            try:
                if len(text) < SHORT:
                    values[slot] = _parsed(parse, text)
                else:
                    values[slot] = parse(text) if text[0] else _lasting(parse, text)
            except ParseError as error:
                values[slot] = NOTHING
                refuse(number, error)


@remembered(1024)
def _parsed(parse: Parse, text: bytes) -> Values:
    """Parse a short text; many cgroups say the same there: "max", "100000", that nothing was throttled or killed."""
    return parse(text) if text[:1] != UNREAD else _lasting(parse, text)


def _lasting(parse: Parse, text: bytes) -> Values:
    """Return what holds of a text that was read some time ago: its averages, and no counter."""
    if text == UNREAD:
        return UNKNOWN
    return {name: value for name, value in parse(text[1:]).items() if name.endswith(AVERAGES)} or UNKNOWN
