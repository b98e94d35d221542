"""A container's limits along its cgroups, with what is used of each, and what it uses in all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from inspector.closeup import Chain, Closeup, Level
from inspector.schema import Container
from inspector.views.cells import FULL, NEAR, Cell
from inspector.views.detail import usage_lines
from inspector.views.facts import fact
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, byte_size, cores, count, in_units, percent, rate, safe

__all__ = ["limit_lines"]

FORMS: Mapping[str, Callable[[float | None], str]] = {
    "cores": cores,
    "bytes": byte_size,
    "tasks": count,
    "cpus": count,
    "bytes/s": rate,
    "operations/s": count,
}
UNITS = {
    "cores": ("core", "cores"),
    "tasks": ("task", "tasks"),
    "cpus": ("CPU", "CPUs"),
    "operations/s": ("operation/s", "operations/s"),
}
LABEL = 14
BAR = 10


def limit_lines(container: Container, closeup: Closeup, width: int) -> list[Line]:
    """Return the chains of limits, the container's own cgroup first, and below them what it uses."""
    lines: list[Line] = []
    if closeup.chains is None:
        why = closeup.note or "reading its cgroups ..."
        lines += [[(f"the cgroups above it: {safe(why)}", "dim" if closeup.note is None else "warn")], []]
    for chain in closeup.chains or ():
        lines += _chain(_known(chain, container))
    if closeup.chains:
        lines.append([])
    lines += usage_lines(container, width)
    above = closeup.report["limits"]["above"] if closeup.report else ()
    return [*lines, *(fact("above", (safe(evidence), "warn")) for evidence in above)]


def _known(chain: Chain, container: Container) -> Chain:
    """Fill in the CPU time that the processes of a cgroup used where that cgroup does not account it (v1)."""
    used = container["cpu"]["usage_cores"] if chain.resource == "cpu" and not chain.shared else None
    first = chain.levels[:1]
    if used is None or not first or first[0].used is not None or first[0].machine:
        return chain
    return chain._replace(levels=(first[0]._replace(used=used), *chain.levels[1:]))


def _chain(chain: Chain) -> Iterator[Line]:
    show = FORMS[chain.unit]
    yield [(f"{safe(chain.resource):<{LABEL}}", "title"), *_verdict(chain, show)]
    for number, level in enumerate(chain.levels):
        binds = chain.value is not None and level.path == chain.set_by and not level.machine
        whose = "" if number or level.machine else "shared " if chain.shared else "its own "
        yield _level(level, show, whose, binds=binds)
    if chain.hidden:
        yield [(f"{'':<{LABEL}}{'?':>9}{'':<32}", "warn"), ("hidden: cgroups above cannot be seen here", "warn")]


def _verdict(chain: Chain, show: Callable[[float | None], str]) -> list[Cell]:
    if chain.value is None and chain.hidden:
        return [("unknown: cgroups above are hidden", "warn")]
    if chain.value is None:
        return [("no limit but the machine's", "dim")]
    value = (in_units(show(chain.value), *UNITS[chain.unit]) if chain.unit in UNITS else show(chain.value), "title")
    if chain.set_by is None:
        return [value, (", set above, where we cannot see", "warn")]
    own = bool(chain.levels) and chain.set_by == chain.levels[0].path
    if own:
        return [value, (f", set by {'the cgroup that it shares' if chain.shared else 'its own cgroup'}", "")]
    return [value, (f", set by the ancestor {safe(chain.set_by)}", "warn")]


def _level(level: Level, show: Callable[[float | None], str], whose: str, *, binds: bool) -> Line:
    share = level.used / level.value if level.used is not None and level.value else None
    meaning = "" if share is None or level.machine else "bad" if share >= FULL else "warn" if share >= NEAR else "good"
    used = show(level.used) if level.used is not None else UNKNOWN
    value = show(level.value) if level.value is not None else UNKNOWN
    where = "the machine" if level.machine else safe(level.path)
    return [
        ("  binds " if binds else "        ", "bad" if binds and meaning == "bad" else "sorted" if binds else ""),
        (f"{used:>9} of {value:>9} {percent(share) if share is not None else '':>7} ", meaning),
        (_bar(share) + "  ", meaning),
        (whose, "dim"),
        (where, "title" if binds else "" if whose else "dim"),
    ]


def _bar(share: float | None) -> str:
    if share is None:
        return " " * BAR
    full = round(min(max(share, 0.0), 1.0) * BAR)
    return "█" * full + "·" * (BAR - full)
