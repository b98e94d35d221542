"""The figures of a tick as columns of whole numbers, and the rates that follow from them. Pure.

Every numeric field of the document (inspector.fields) is a column: counters
and sizes as they are, seconds and the kernel's own shares in millionths. A rate or share is recorded
only where it differs from what `derived` makes of the others: else it follows
from them, rounded as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from inspector.fields import BY_NAME, FIELDS

__all__ = [
    "COLUMNS",
    "DERIVED",
    "EXPECTED",
    "GROUPS",
    "IN_GROUP",
    "KEPT",
    "MICRO",
    "NUMBERED",
    "RULES",
    "TOP",
    "Moment",
    "coded",
    "decoded",
    "derived",
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
MILLION = 1_000_000
WHOLE_OR_NONE, REAL_OR_NONE = {int, type(None)}, {float, type(None)}
CLOCK_TICKS = 100  # what the document counts members' CPU time in (USER_HZ)


def coded(name: str, values: Values) -> tuple[list[int], list[int]]:
    """Return a column as whole numbers, None as 0; and the places of values that this cannot express."""
    numbers = _usual(name, values)
    return (numbers, []) if numbers is not None else _coded(name, values)


def _usual(name: str, values: Values) -> list[int] | None:
    """Code a column as nearly all are: no number is negative or enormous, and each says what its value is."""
    kinds = set(map(type, values))
    if name in MICRO:
        if not kinds <= REAL_OR_NONE or inf in values:
            return None
        try:
            numbers = [0 if value is None else int(value * MILLION + 0.5) + 1 for value in values]
        except ValueError:  # not a number
            return None
        most, is_same = MILLION * MILLION * MILLION, decoded(name, numbers) == list(values)
    else:
        if not kinds <= WHOLE_OR_NONE:
            return None
        numbers = [0 if value is None else int(value) + 1 for value in values]
        most, is_same = 1 << 62, numbers.count(0) == values.count(None)
    return numbers if is_same and (not numbers or 0 <= min(numbers) <= max(numbers) <= most) else None


def _coded(name: str, values: Values) -> tuple[list[int], list[int]]:
    micro = name in MICRO
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
        return [(one - 1 if one > 0 else one) / MILLION if one else None for one in numbers]
    return [(one - 1 if one > 0 else one) if one else None for one in numbers]


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

    def per_second(self, name: str, unit: int = 1) -> list[float | None]:
        """Return a counter's growth a second in units, as inspector.rates and the document divide it."""
        before, after, seconds = self.before[name], self.after[name], self.seconds
        if not seconds:
            return [None] * len(after)
        if before is after:
            return [0.0 if one > 0 else None for one in after]
        pairs = zip(before, after, strict=True)
        if unit == 1:
            return [(new - old) / seconds if 0 < old <= new else None for old, new in pairs]
        return [(new - old) / seconds / unit if 0 < old <= new else None for old, new in pairs]


def _rate(moment: Moment, counter: str) -> Values:
    return moment.per_second(counter)


def _cores(moment: Moment, counter: str) -> Values:
    plain = moment.per_second(counter, MILLION)
    if not moment.seconds or True not in moment.apart:
        return plain
    unit = CLOCK_TICKS * moment.seconds
    each = zip(plain, moment.grown(counter), moment.apart, strict=True)
    return [grown * CLOCK_TICKS // MILLION / unit if apart and grown is not None else one
            for one, grown, apart in each]  # fmt: skip


def _stalled(moment: Moment, counter: str) -> Values:
    return [1.0 if one is not None and one > 1.0 else one for one in moment.per_second(counter, MILLION)]


def _throttled(moment: Moment, throttled: str, periods: str) -> Values:
    pairs = zip(moment.grown(throttled), moment.grown(periods), strict=True)
    return [
        None if part is None or whole is None else min(1.0, part / whole) if whole else 0.0 for part, whole in pairs
    ]


Rule = Callable[..., Values]
RULES: Mapping[str, tuple[Rule, tuple[str, ...]]] = {
    "cpu.usage_cores": (_cores, ("cpu.usage_seconds",)),
    "cpu.user_cores": (_cores, ("cpu.user_seconds",)),
    "cpu.system_cores": (_cores, ("cpu.system_seconds",)),
    "cpu.throttled_ratio": (_throttled, ("cpu.throttled_periods", "cpu.periods")),
    "cpu.pressure_some_ratio": (_stalled, ("cpu.pressure_some_seconds",)),
    "memory.pressure_some_ratio": (_stalled, ("memory.pressure_some_seconds",)),
    "memory.pressure_full_ratio": (_stalled, ("memory.pressure_full_seconds",)),
    "io.read_bytes_per_second": (_rate, ("io.read_bytes",)),
    "io.write_bytes_per_second": (_rate, ("io.write_bytes",)),
    "io.pressure_some_ratio": (_stalled, ("io.pressure_some_seconds",)),
    "network.receive_bytes_per_second": (_rate, ("network.receive_bytes",)),
    "network.transmit_bytes_per_second": (_rate, ("network.transmit_bytes",)),
}
"""How a rate is made, and of which counters."""
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
    if name not in RULES:
        return moment.kept[name]
    rule, counters = RULES[name]
    return rule(moment, *counters)


def _shares(parts: Values, wholes: Values) -> Values:
    pairs = zip(parts, wholes, strict=True)
    return [None if part is None or not whole else part / whole for part, whole in pairs]
