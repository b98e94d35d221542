"""What limits a cgroup has, in either version, and which of it and those above it binds: `sandbox limit` tells."""

from __future__ import annotations

from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroup_on_demand import ON_DEMAND
from inspector.kernel.cgroups import ancestors, locate, path_in, read_cgroup, read_hierarchies
from inspector.kernel.controllers import ControlFile, Memory
from inspector.kernel.host import Host
from inspector.kernel.namespaces import is_initial, read_namespace
from inspector.kernel.system import read_memory
from sandbox.cgroup import Place
from sandbox.errors import printable
from sandbox.limit_files import OOM_CONTROL
from sandbox.subject import Group

__all__ = ["Bounds", "effective", "has", "in_the_way", "raw", "read", "room", "size", "text"]

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
STEP = 1024


class Bounds(NamedTuple):
    """One resource's own limit: microseconds a period, bytes or tasks; None: no limit, or not told by this kernel.

    `with_swap` is v1's limit of memory and swap together; `unreclaimable`
    what memory cannot be made smaller than without swap; `above` v1's least
    limit of memory along all ancestors, also those that are hidden from us.
    """

    limit: int | None = None
    period_us: int | None = None
    burst_us: int | None = None
    usage: int | None = None
    with_swap: int | None = None
    unreclaimable: int | None = None
    above: int | None = None

    @property
    def value(self) -> float | None:
        """The limit in cores, bytes or tasks."""
        return self.limit / self.period_us if self.limit is not None and self.period_us else self.limit


def raw(group: Group, file: str) -> str:
    """Return what a control file says, as it can be written back."""
    said = Host().read(f"{group.place.directory}/{file}").decode().strip()
    return said.split()[1] if file == OOM_CONTROL else said  # what may be written is the first line's number


def has(group: Group, file: str) -> bool:
    """Tell whether the cgroup has a control file."""
    return Host().access(f"{group.place.directory}/{file}")


def read(resource: str, group: Group, directory: str = "") -> Bounds:
    """Read the limit that a cgroup itself sets; `directory` is that of one above it."""
    directory = directory or group.place.directory
    values = _values(directory, FILES[group.version][resource])
    if resource == "memory":
        found = Memory(**values)
        both = _values(directory, ON_DEMAND[1]["memory"]).get("memory_and_swap") if group.version == 1 else None
        return Bounds(
            found.limit_bytes,
            usage=found.usage_bytes,
            with_swap=both,
            unreclaimable=found.unreclaimable_bytes,
            above=found.hierarchical_limit_bytes,
        )
    if resource == "cpu":
        return Bounds(values.get("quota_us"), values.get("period_us"), values.get("burst_us"))
    return Bounds(values.get("limit"), usage=values.get("current"))


def _values(directory: str, files: tuple[ControlFile, ...]) -> dict[str, int | None]:
    host = Host()
    found: dict[str, int | None] = {}
    for file in files:
        try:
            found |= file.parse(host.read(f"{directory}/{file.name}"))
        except (OSError, ParseError):
            continue
    return found


def text(resource: str, bounds: Bounds) -> str:
    """Write a limit for a person: "0.5 cores (50000 of 100000 us)", "64MiB", "none"."""
    if bounds.value is None:
        return "none"
    if resource == "cpu":
        return f"{cores(bounds.value)} ({bounds.limit} of {bounds.period_us} us)"
    return size(bounds.limit) if resource == "memory" else str(bounds.limit)


def cores(value: float) -> str:
    """Write a number of CPUs."""
    return f"{value:.4g} core{'' if value == 1 else 's'}"


def size(value: float | None) -> str:
    """Write bytes in the largest unit that they are a whole number of, or else with a decimal."""
    if value is None:
        return "an unknown size"
    index = 0
    while value >= STEP and index < len(UNITS) - 1:
        value, index = value / STEP, index + 1
    return f"{value:.1f}".removesuffix(".0") + UNITS[index]


def _chain(resource: str, group: Group) -> list[tuple[str, Bounds]]:
    """Return the limits of a cgroup and those above it, the innermost first."""
    hierarchy = group.place.hierarchy
    found = []
    for path in ancestors(group.place.path, hierarchy.root):
        directory = hierarchy.directory(path)
        if directory is not None:
            found.append((path, read(resource, group, directory)))
    return found


def effective(resource: str, group: Group) -> str:
    """Say which limit holds in the end, and whose it is: the least of its own and its visible ancestors'."""
    chain = _chain(resource, group)
    limits = [(bounds.value, path) for path, bounds in chain if bounds.value is not None]
    value, path = min(limits, key=lambda pair: pair[0], default=(None, ""))
    above = chain[0][1].above
    hidden = is_initial("cgroup", read_namespace(Host(), "self", "cgroup")) is not True
    if above is not None and (value is None or above < value):
        return f"effective {size(above)}, set by a cgroup that is not visible here"
    if value is None:
        return "effective none" + (" that is visible here" if hidden else "")
    written = cores(value) if resource == "cpu" else size(value) if resource == "memory" else f"{value:g}"
    own = path == group.place.path
    return f"effective {written}, set by {'itself' if own else f'the cgroup above it {printable(path)}'}"


def room() -> int:
    """Return how many bytes more we may use before the kernel kills something, in our cgroup or at all."""
    host = Host()
    available = read_memory(host)[1]
    hierarchy = locate(read_hierarchies(host), "memory")
    path = path_in(hierarchy, read_cgroup(host, "self")) if hierarchy else None
    if hierarchy is None or path is None:
        return available
    chain = _chain("memory", Group("memory", Place(hierarchy, path, "")))
    limits = ((limit, each.unreclaimable or 0) for _, each in chain for limit in (each.limit, each.above))
    return min((available, *(limit - used for limit, used in limits if limit is not None)))


def in_the_way(group: Group) -> str:
    """Say which cgroup above has a quota: on v1 none may have more than the one above it, nor less than one below."""
    for path, bounds in _chain("cpu", group)[1:]:
        if bounds.value is not None:
            return f": no more than {printable(path)} above it has ({cores(bounds.value)}), nor less than one below it"
    return ": not less than a cgroup below it has"
