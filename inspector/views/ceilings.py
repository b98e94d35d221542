"""A container's limits along its cgroups, with what is used of each, and what it uses in all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from inspector.closeup import Chain, Closeup, Level
from inspector.schema import Container
from inspector.views.cells import FULL, NEAR, Cell
from inspector.views.detail import usage_lines
from inspector.views.facts import fact
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, byte_size, cores, count, percent, rate, safe

__all__ = ["limit_lines"]

FORMS: Mapping[str, Callable[[float | None], str]] = {
    "cores": cores,
    "bytes": byte_size,
    "tasks": count,
    "cpus": count,
    "bytes/s": rate,
    "operations/s": count,
}
UNITS = {"cores": " cores", "tasks": " tasks", "cpus": " CPUs", "operations/s": " operations/s"}
LABEL = 14
BAR = 10


def limit_lines(container: Container, closeup: Closeup, width: int) -> list[Line]:
    """Return the chains of limits, the container's own cgroup first, and below them what it uses."""
    lines: list[Line] = []
    if closeup.chains is None:
        why = closeup.note or "reading its cgroups ..."
        lines += [[(f"the cgroups above it: {safe(why)}", "dim" if closeup.note is None else "warn")], []]
    for chain in closeup.chains or ():
        lines += _chain(chain)
    if closeup.chains:
        lines.append([])
    lines += usage_lines(container, width)
    above = closeup.report["limits"]["above"] if closeup.report else ()
    return [*lines, *(fact("above", (safe(evidence), "warn")) for evidence in above)]


def _chain(chain: Chain) -> Iterator[Line]:
    show = FORMS[chain.unit]
    yield [(f"{safe(chain.resource):<{LABEL}}", "title"), *_verdict(chain, show)]
    for number, level in enumerate(chain.levels):
        binds = chain.value is not None and level.path == chain.set_by and not level.machine
        yield _level(level, show, own=number == 0, binds=binds)
    if chain.hidden:
        yield [(f"{'':<{LABEL}}{'?':>9}{'':<32}", "warn"), ("hidden above: our cgroup namespace ends here", "warn")]


def _verdict(chain: Chain, show: Callable[[float | None], str]) -> list[Cell]:
    if chain.value is None and chain.hidden:
        return [("unknown: cgroups above are hidden", "warn")]
    if chain.value is None:
        return [("no limit but the machine's", "dim")]
    value = (f"{show(chain.value)}{UNITS.get(chain.unit, '')}", "title")
    if chain.set_by is None:
        return [value, (", set above, where we cannot see", "warn")]
    own = bool(chain.levels) and chain.set_by == chain.levels[0].path
    where = "set by its own cgroup" if own else f"set by the ancestor {safe(chain.set_by)}"
    return [value, (f", {where}", "" if own else "warn")]


def _level(level: Level, show: Callable[[float | None], str], *, own: bool, binds: bool) -> Line:
    share = level.used / level.value if level.used is not None and level.value else None
    meaning = "" if share is None or level.machine else "bad" if share >= FULL else "warn" if share >= NEAR else "good"
    used = show(level.used) if level.used is not None else UNKNOWN
    value = show(level.value) if level.value is not None else UNKNOWN
    where = "the machine" if level.machine else safe(level.path)
    note = "its own " if own and not level.machine else ""
    return [
        ("  binds " if binds else "        ", "bad" if binds and meaning == "bad" else "sorted" if binds else ""),
        (f"{used:>9} of {value:>9} {percent(share) if share is not None else '':>7} ", meaning),
        (_bar(share) + "  ", meaning),
        (note, "dim"),
        (where, "title" if binds else "" if own else "dim"),
    ]


def _bar(share: float | None) -> str:
    if share is None:
        return " " * BAR
    full = round(min(max(share, 0.0), 1.0) * BAR)
    return "█" * full + "·" * (BAR - full)
