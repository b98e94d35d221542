"""The limits of one container along its cgroups, with what is used of each: read when a person looks at them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from inspector.absence import Absence
from inspector.closeup import Chain, Level, Unit
from inspector.kernel.cgroup_in_full import IN_FULL
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Hugetlb, Io, Memory, Pids, Reading
from inspector.kernel.host import Host
from inspector.kernel.system import System
from inspector.limits import Limit, limits_of
from inspector.measure import Meter
from inspector.model import Container, Key, Observation
from inspector.nsinspect.ceilings import Ceilings, read_ceilings
from inspector.rates import grown

__all__ = ["Chains"]

READ = ("cpu", "cpuacct", "cpuset", "memory", "pids", "io", "hugetlb")
# Of a device: the field of Io, and which of (read, written).
IO: Mapping[str, tuple[str, int, str, Unit]] = {
    "read_bytes_per_second": ("bytes_by_device", 0, "read", "bytes/s"),
    "write_bytes_per_second": ("bytes_by_device", 1, "write", "bytes/s"),
    "reads_per_second": ("operations_by_device", 0, "reads", "operations/s"),
    "writes_per_second": ("operations_by_device", 1, "writes", "operations/s"),
}
Used = Callable[[str], float | None]
Readings = Mapping[Key, Reading]


class Chains:
    """Reads them look after look: rates cover the time since the look before. Not thread safe."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._absence = Absence()
        self._meter = Meter(host, self._absence, files=IN_FULL)
        self._before: tuple[float, Readings] | None = None
        self._seconds: float | None = None
        self._roots: frozenset[str] = frozenset()

    def read(
        self, one: Container, earlier: Observation | None, seen: Observation
    ) -> tuple[tuple[Chain, ...], list[str]]:
        """Return the chains of the resources there are, and what could not be read."""
        self._absence.begin()
        paths = {name: one.cgroups[name] for name in READ if name in one.cgroups and name in seen.located}
        self._meter.begin(seen.located)
        self._roots = frozenset(name for name in paths if seen.located[name][1] in seen.own.true_roots)
        wanted = {
            (name, above): True
            for name, path in paths.items()
            for above in ancestors(path, seen.located[name][0].root)
        }
        readings, _ = self._meter.figures(wanted)
        now = time.monotonic()
        self._seconds = now - self._before[0] if self._before and now > self._before[0] else None
        old = self._before[1] if self._before else {}
        self._before = now, readings
        whole = not seen.own.hidden_ancestors
        limits = limits_of(readings, paths, seen.located, seen.own.true_roots, seen.system.cpus, whole=whole)
        others = read_ceilings(self._host, seen.located, paths, seen.own.true_roots)
        owned = one.owned | ({"swap"} if "memory" in one.owned else set())
        machine = _machine(earlier.system if earlier else None, seen.system)
        found = (*self._main(limits, readings, old, machine), *self._others(others, readings, old, machine))
        found = tuple(chain._replace(shared=chain.resource.split(" ")[0] not in owned) for chain in found)
        return found, [*self._absence.problems, *others.problems]

    def forget(self) -> None:
        """Close what is kept open; the next look has no rates."""
        self._meter.figures({})
        self._before = None

    def _main(
        self, limits: Mapping[str, Limit], readings: Readings, old: Readings, machine: Mapping[str, Level]
    ) -> Iterator[Chain]:
        def cpu(path: str) -> float | None:
            rate = self._rate(readings, old, ("cpuacct", path), lambda one: getattr(one, "usage_us", None))
            return None if rate is None else rate / 1e6

        units: tuple[tuple[str, Unit, Used], ...] = (
            ("cpu", "cores", cpu),
            ("cpuset", "cpus", lambda _: None),
            ("memory", "bytes", lambda path: _of(readings, ("memory", path), Memory, "working_set_bytes")),
            ("pids", "tasks", lambda path: _of(readings, ("pids", path), Pids, "current")),
        )
        for name, unit, used in units:
            if limits[name].chain or limits[name].value is not None:
                yield _chain(name, unit, limits[name], used, machine.get(name), is_root=name in self._roots)

    def _others(
        self, others: Ceilings, readings: Readings, old: Readings, machine: Mapping[str, Level]
    ) -> Iterator[Chain]:
        """Yield those that a cgroup rarely has: of these only what is set."""
        for name, label in (("high", "memory high"), ("swap", "swap")):
            limit = others.memory.get(name)
            field = "swap_bytes" if name == "swap" else "working_set_bytes"
            if limit is not None and (name == "swap" or limit.value is not None):
                yield _chain(label, "bytes", limit, _memory(readings, field), machine.get(label))
        for (device, figure), limit in others.io.items():
            if limit.value is not None and figure in IO:
                field, side, word, unit = IO[figure]
                yield _chain(f"io {device} {word}", unit, limit, self._io(readings, old, device, field, side), None)
        for size, limit in others.hugetlb.items():
            if limit.value is not None:
                yield _chain(f"hugetlb {size}", "bytes", limit, _pages(readings, size), None)

    def _io(self, readings: Readings, old: Readings, device: str, field: str, side: int) -> Used:
        def moved(one: Reading) -> int | None:
            by_device = getattr(one, field) if isinstance(one, Io) else None
            return by_device[device][side] if by_device and device in by_device else None

        return lambda path: self._rate(readings, old, ("io", path), moved)

    def _rate(
        self, readings: Readings, old: Readings, key: Key, get: Callable[[Reading], int | None]
    ) -> float | None:
        """Return a counter's growth a second; None where a side is missing or it fell."""
        if key not in readings or key not in old or self._seconds is None:
            return None
        moved = grown(get(old[key]), get(readings[key]))
        return None if moved is None else moved / self._seconds


def _chain(
    name: str, unit: Unit, limit: Limit, used: Used, machine: Level | None, *, is_root: bool = True
) -> Chain:
    """Make a chain; `is_root` says whether "/" is the root cgroup, and not that of our cgroup namespace."""
    levels = [Level(path, value, used(path)) for path, value in limit.chain]
    if machine is not None and not limit.hidden_ancestors:
        # The root cgroup sets no limit: what there is of the machine is one.
        levels = [*(level for level in levels if level.path != "/" or not is_root), machine]
    return Chain(name, unit, limit.value, limit.set_by, tuple(levels), limit.hidden_ancestors)


def _machine(before: System | None, now: System) -> dict[str, Level]:
    elapsed = now.uptime_seconds - before.uptime_seconds if before else 0.0
    busy = now.cpu_busy_seconds - before.cpu_busy_seconds if before else -1.0
    available = now.memory_available_bytes
    return {
        "cpu": Level("/", now.cpus, min(busy / elapsed, now.cpus) if elapsed > 0 and busy >= 0 else None, machine=True),
        "cpuset": Level("/", now.cpus, None, machine=True),
        "memory": Level("/", now.memory_bytes, now.memory_bytes - available if available else None, machine=True),
        "swap": Level("/", now.swap_bytes, now.swap_bytes - now.swap_free_bytes, machine=True),
    }


def _of(readings: Readings, key: Key, kind: type[Reading], field: str) -> float | None:
    reading = readings.get(key)
    value = getattr(reading, field) if isinstance(reading, kind) else None
    return None if value is None else float(value)


def _memory(readings: Readings, field: str) -> Used:
    return lambda path: _of(readings, ("memory", path), Memory, field)


def _pages(readings: Readings, size: str) -> Used:
    def used(path: str) -> float | None:
        reading = readings.get(("hugetlb", path))
        pages = reading.sizes().get(size) if isinstance(reading, Hugetlb) else None
        return None if pages is None or pages.usage_bytes is None else float(pages.usage_bytes)

    return used
