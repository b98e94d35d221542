"""The figures of a tick as columns of whole numbers, and the rates that follow from them. Pure.

Every numeric field of the document (inspector.fields) is a column: counters
and sizes as they are, seconds and the kernel's own shares in millionths. A rate or share is recorded
only where it differs from what `derived` makes of the others: else it follows
from them, rounded as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from inspector.fields import BY_NAME, FIELDS
from inspector.schema import Container

__all__ = [
    "COLUMNS",
    "DERIVED",
    "EXPECTED",
    "GROUPS",
    "IN_GROUP",
    "KEPT",
    "MICRO",
    "TOP",
    "Moment",
    "coded",
    "decoded",
    "derived",
    "figures",
]

Number = float | int | None
Values = Sequence[Number]

WHOLE = ("bytes", "count", "microseconds")
MILLIONTHS = ("seconds", "share")
RATES = ("cores", "ratio", "bytes_per_second")
# How a column is expected to change, as the sum of others' changes: memory that grows is mostly of one sort. User
# time is expected to be the share of the CPU time that it always was, the peak to be the usage (recording.packing).
EXPECTED: Mapping[str, tuple[tuple[str, int], ...]] = {
    "cpu.system_seconds": (("cpu.usage_seconds", 1), ("cpu.user_seconds", -1)),
    "memory.usage_bytes": (("memory.anon_bytes", 1),),
    "memory.working_set_bytes": (("memory.usage_bytes", 1),),
    "memory.unreclaimable_bytes": (("memory.anon_bytes", 1),),
    "memory.file_bytes": (("memory.usage_bytes", 1), ("memory.anon_bytes", -1)),
    "memory.peak_bytes": (),
}
# Those that are expected from others come behind them.
COLUMNS = tuple(
    sorted((row.name for row in FIELDS if row.unit in (*WHOLE, *MILLIONTHS)), key=lambda name: name in EXPECTED)
)
MICRO = frozenset(name for name in COLUMNS if BY_NAME[name].unit in MILLIONTHS)
DERIVED = tuple(row.name for row in FIELDS if row.unit in RATES)
NUMBERED = COLUMNS + DERIVED
TOP = frozenset(name for name in NUMBERED if "." not in name)
GROUPS = tuple(dict.fromkeys(name.partition(".")[0] for name in NUMBERED if "." in name))
IN_GROUP: Mapping[str, tuple[str, ...]] = {
    group: tuple(name.partition(".")[2] for name in NUMBERED if name.startswith(f"{group}.")) for group in GROUPS
}
ORDER = (*(f"{group}.{key}" for group in GROUPS for key in IN_GROUP[group]), *sorted(TOP))
MILLION = 1_000_000
WHOLE_OR_NONE = {int, type(None)}
CLOCK_TICKS = 100  # what the document counts members' CPU time in (USER_HZ)

def figures(containers: Sequence[Container]) -> dict[str, tuple[Any, ...]]:
    """Return each column's values, a container after the other."""
    take = [(group, itemgetter(*IN_GROUP[group])) for group in GROUPS]
    top = sorted(TOP)
    one: Any  # mypy allows only literal keys of a TypedDict
    rows = []
    for one in containers:
        row: tuple[Any, ...] = ()
        for group, get in take:
            row += get(one[group])
        rows.append((*row, *(one[name] for name in top)))
    turned = list(zip(*rows, strict=True)) if rows else [()] * len(ORDER)
    return dict(zip(ORDER, turned, strict=True))


def coded(name: str, values: Values) -> tuple[list[int], list[int]]:
    """Return a column as whole numbers, None as 0; and the places of values that this cannot express."""
    micro = name in MICRO
    if not micro and set(map(type, values)) <= WHOLE_OR_NONE:
        numbers = [0 if value is None else int(value) + 1 for value in values]
        # Nearly all are so: none is negative, or a number that stands for something else.
        if not numbers or (0 <= min(numbers) <= max(numbers) <= 1 << 62 and numbers.count(0) == values.count(None)):
            return numbers, []
    numbers, odd = [], []
    for place, value in enumerate(values):
        number = 0
        if value is None:
            pass
        elif micro and type(value) is float and abs(value) < MILLION * MILLION:
            number = round(value * MILLION)
            if number / MILLION != value:
                number = 0
                odd.append(place)
            elif number >= 0:
                number += 1
        elif type(value) is int and not micro and abs(value) < 1 << 62:
            number = value + 1 if value >= 0 else value
        else:
            odd.append(place)
        numbers.append(number)
    return numbers, odd


def decoded(name: str, numbers: Sequence[int]) -> list[Number]:
    """Return what a column's whole numbers say."""
    if name in MICRO:
        return [None if not number else (number - 1 if number > 0 else number) / MILLION for number in numbers]
    return [None if not number else number - 1 if number > 0 else number for number in numbers]


class Moment(NamedTuple):
    """What rates are made of: two ticks' columns as whole numbers, the seconds between, what was before.

    `apart` tells of each container whether its CPU time is its members' sum, of exact columns, in which
    that is whole clock ticks; `before` and `kept`, the rates before that no rule makes, are in the
    order of the containers now.
    """

    after: Mapping[str, Sequence[int]]
    before: Mapping[str, Sequence[int]]
    seconds: float | None
    kept: Mapping[str, Values]
    apart: Sequence[bool] = ()

    def grown(self, name: str) -> list[int | None]:
        """Return by how much a counter grew; None where a side is missing or it fell."""
        pairs = zip(self.before[name], self.after[name], strict=True)
        return [after - before if 0 < before <= after else None for before, after in pairs]

    def per_second(self, name: str) -> list[float | None]:
        """Return a counter's growth a second, as inspector.rates divides it."""
        seconds = self.seconds
        if not seconds:
            return [None] * len(self.after[name])
        return [None if one is None else one / seconds for one in self.grown(name)]


def _rate(counter: str) -> Callable[[Moment], Values]:
    return lambda moment: moment.per_second(counter)


def _cores(counter: str) -> Callable[[Moment], Values]:
    def make(moment: Moment) -> Values:
        plain = [None if one is None else one / MILLION for one in moment.per_second(counter)]
        if not moment.seconds or True not in moment.apart:
            return plain
        unit = CLOCK_TICKS * moment.seconds
        each = zip(plain, moment.grown(counter), moment.apart, strict=True)
        return [grown * CLOCK_TICKS // MILLION / unit if apart and grown is not None else one
                for one, grown, apart in each]  # fmt: skip

    return make


def _stalled(counter: str) -> Callable[[Moment], Values]:
    return lambda moment: [None if one is None else min(1.0, one / MILLION) for one in moment.per_second(counter)]


def _throttled(moment: Moment) -> Values:
    pairs = zip(moment.grown("cpu.throttled_periods"), moment.grown("cpu.periods"), strict=True)
    return [
        None if part is None or whole is None else min(1.0, part / whole) if whole else 0.0 for part, whole in pairs
    ]


RULES: Mapping[str, Callable[[Moment], Values]] = {
    "cpu.usage_cores": _cores("cpu.usage_seconds"),
    "cpu.user_cores": _cores("cpu.user_seconds"),
    "cpu.system_cores": _cores("cpu.system_seconds"),
    "cpu.throttled_ratio": _throttled,
    "cpu.pressure_some_ratio": _stalled("cpu.pressure_some_seconds"),
    "memory.pressure_some_ratio": _stalled("memory.pressure_some_seconds"),
    "memory.pressure_full_ratio": _stalled("memory.pressure_full_seconds"),
    "io.read_bytes_per_second": _rate("io.read_bytes"),
    "io.write_bytes_per_second": _rate("io.write_bytes"),
    "io.pressure_some_ratio": _stalled("io.pressure_some_seconds"),
    "network.receive_bytes_per_second": _rate("network.receive_bytes"),
    "network.transmit_bytes_per_second": _rate("network.transmit_bytes"),
}
SHARES = {"cpu.limit_ratio", "memory.limit_ratio"}
KEPT = tuple(name for name in DERIVED if name not in RULES and name not in SHARES)
"""Rates that no rule makes, such as the limit in cores: they stay as they were."""


def derived(name: str, moment: Moment, known: Mapping[str, Values]) -> Values:
    """Return what a rate or share should be; `known` are those that come before it in DERIVED, as they really were."""
    if name == "cpu.limit_ratio":
        return _shares(known["cpu.usage_cores"], known["cpu.limit_cores"])
    if name == "memory.limit_ratio":
        used, limits = (decoded(f"memory.{key}_bytes", moment.after[f"memory.{key}_bytes"])
                        for key in ("working_set", "limit"))  # fmt: skip
        return _shares(used, limits)
    return RULES[name](moment) if name in RULES else moment.kept[name]


def _shares(parts: Values, wholes: Values) -> Values:
    pairs = zip(parts, wholes, strict=True)
    return [None if part is None or not whole else part / whole for part, whole in pairs]
