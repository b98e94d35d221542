"""One container's part of the JSON document (inspector.document). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from inspector.findings import ALONE, findings, may_be_short_of_cpus
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Cpu, Cpuset, CpuUsage, Freezer, Io, Memory, Pids, Pressure
from inspector.kernel.mounts import Mount, overlay_layers
from inspector.kernel.process import CLOCK_TICKS
from inspector.limits import Above, Lines, fullest, limited_above, limits_of
from inspector.model import Container, ProcessDetail
from inspector.rates import Interval, grown
from inspector.since import since, started_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from inspector import schema

    R = TypeVar("R", Cpu, CpuUsage, Freezer, Io, Memory, Pids, Pressure)

__all__ = ["Sharers", "entry_of", "rootfs_of"]

Sharers = Mapping[int, list[tuple[str, str]]]
STALLS = ("cpu_some_us", "memory_some_us", "memory_full_us", "io_some_us")
MOST_SHARERS = 20  # names of a network namespace: each of a thousand in one would tell of all the others


def entry_of(interval: Interval, one: Container, sharers: Sharers, lines: Lines) -> schema.Container:
    """Return what is said of one container of the later look; `sharers` are who shares each network namespace.

    `lines` are empty before the first container of an interval (inspector.limits).
    """
    return _Writer(interval, one, sharers, lines).container()


def rootfs_of(root: Mount | None, merged: str | None) -> schema.Rootfs:
    """Describe the mount that is a process's "/"; `merged` is the whole of an overlay, as the host has it mounted."""
    layers = overlay_layers(root) if root else None
    return {
        "type": root.fstype if root else None,
        "source": root.source if root else None,
        "read_only": root.read_only if root else None,
        "lower": list(layers.lower) if layers else [],
        "upper": layers.upper if layers else None,
        "work": layers.work if layers else None,
        "merged": merged if layers else None,
    }


class _Writer:
    """Writes one container's part of the document."""

    def __init__(self, interval: Interval, one: Container, sharers: Sharers, lines: Lines) -> None:
        self.interval = interval
        self.after = interval.after
        self.one = one
        self.sharers = sharers
        self.readings = self.after.readings
        # Its own cgroups by resource: of one that it shares with others there is none.
        self.own = {resource: one.cgroups[resource] for resource in one.owned}
        self.pressure = self.read("pressure", Pressure)
        stalls = interval.rates("pressure", self.own.get("pressure"), *STALLS)
        shares = [None if us is None else min(1.0, us / 1e6) for us in stalls]
        self.stalled = dict(zip(STALLS, shares, strict=True))
        after = self.after
        self.limits = limits_of(
            self.readings, one.cgroups, after.located, after.own.true_roots, after.system.cpus, lines
        )

    def container(self) -> schema.Container:
        one, leader = self.one, self.one.leader
        frozen = self.read("freezer", Freezer)
        started, created = since(one, self.after.system.boot_time)
        document: schema.Container = {
            "id": one.id,
            "name": one.name,
            "kind": one.kind,
            "runtime": one.runtime,
            "image": one.image,
            "labels": dict(one.labels),
            "parent": one.parent,
            "pod": one.pod,
            "created_at": created,
            "started_at": started,
            "state": "paused" if frozen.frozen else "hollow" if one.id in self.after.hollow else "running",
            "pid": leader.process.pid if leader else None,
            "members": len(one.members),
            "evidence": list(one.evidence),
            "cgroups": dict(one.cgroups),
            "namespaces": dict(leader.namespaces) if leader else {},
            "cpu": self.cpu(),
            "memory": self.memory(),
            "pids": self.pids(),
            "io": self.io(),
            "network": self.network(),
            "rootfs": self.rootfs(),
            "findings": [],
            "processes": self.processes(),
        }
        stalls = self.pressure
        matters = may_be_short_of_cpus(stalls.cpu_full_avg10, stalls.cpu_full_avg60)
        below = self.interval.stopped_below(one.cgroups.get("cpu")) if matters else 0.0
        hollow = self.after.hollow.get(one.id)
        document["findings"] = findings(document, self.after.own.namespaces, hollow, below, self.above())
        return document

    def above(self) -> Above:
        """Return who above it has nearly used what it may."""
        places = [(name, limited_above(self.limits[name], self.own.get(name))) for name in Above._fields]
        if not any(paths for _, paths in places):  # of most
            return ALONE
        return Above(*(fullest(name, paths, self.readings) for name, paths in places))

    def read(self, resource: str, kind: type[R]) -> R:
        """Return the container's own reading of a resource: all None where it has none."""
        reading = self.readings.get((resource, self.own.get(resource, "")))
        return reading if isinstance(reading, kind) else kind()

    def cpu(self) -> schema.Cpu:
        usage, cpu, limit = self.read("cpuacct", CpuUsage), self.read("cpu", Cpu), self.limits["cpu"]
        own = self.own.get("cpuacct")
        rates = self.interval.rates("cpuacct", own, "usage_us", "user_us", "system_us")
        cores, user, system = map(_millionth, rates)
        seconds = [*map(_millionth, (usage.usage_us, usage.user_us, usage.system_us))]
        if own is None:
            seconds = self.member_seconds()
            both = self.interval.member_cores(self.one.id)
            user, system = both or (None, None)
            cores = sum(both) if both else None
        throttled, inherited, by = self.throttling()
        pressure = self.pressure
        return {
            "source": "processes" if own is None else "cgroup",
            "cpuset": self.cpuset(),
            "usage_seconds": seconds[0],
            "user_seconds": seconds[1],
            "system_seconds": seconds[2],
            "usage_cores": cores,
            "user_cores": user,
            "system_cores": system,
            "quota_us": cpu.quota_us,
            "period_us": cpu.period_us,
            "burst_us": cpu.burst_us,
            "weight": cpu.weight,
            "limit_cores": limit.value,
            "limit_set_by": limit.set_by,
            "limit_ratio": _ratio(cores, limit.value),
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_seconds": _millionth(cpu.throttled_us),
            "throttled_ratio": throttled,
            "throttled_by": by,
            "inherited_throttled_ratio": inherited,
            "pressure_some_seconds": _millionth(pressure.cpu_some_us),
            "pressure_some_ratio": self.stalled["cpu_some_us"],
            "pressure_full_avg10": pressure.cpu_full_avg10,
            "pressure_full_avg60": pressure.cpu_full_avg60,
        }

    def member_seconds(self) -> list[float | None]:
        tally = self.after.tallies.get(self.one.id)
        if tally is None:
            return [None, None, None]
        user, system = (sum(ticks[side] for ticks in tally.ticks.values()) / CLOCK_TICKS for side in (0, 1))
        return [user + system, user, system]

    def cpuset(self) -> str | None:
        """Return the CPUs of the nearest cgroup that says: v2 need not enable the controller all the way down."""
        for path in ancestors(self.one.cgroups.get("cpuset", "/")):
            above = self.readings.get(("cpuset", path))
            if isinstance(above, Cpuset) and above.cpus:
                return above.cpus
        return None

    def throttling(self) -> tuple[float | None, float | None, str | None]:
        """Return the share of periods throttled by the own quota, by the worst ancestor's, and who throttles most."""
        own = inherited = by = None
        most = 0.0
        for path, quota in self.limits["cpu"].chain:
            share = None if quota is None else self.interval.throttled(path)
            if share is None:
                continue
            if path == self.own.get("cpu"):
                own = share
            elif inherited is None or share > inherited:
                inherited = share
            if share > most:
                most, by = share, path
        return own, inherited, by

    def memory(self) -> schema.Memory:
        memory, limit, pressure = self.read("memory", Memory), self.limits["memory"], self.pressure
        own = "memory" in self.own
        tally = self.after.tallies.get(self.one.id)
        anon = memory.anon_bytes if own else tally.anon_bytes if tally else None
        working_set = memory.working_set_bytes if own else anon
        return {
            "source": "cgroup" if own else "processes",
            "usage_bytes": memory.usage_bytes,
            "working_set_bytes": working_set,
            "anon_bytes": anon,
            "file_bytes": memory.file_bytes,
            "unreclaimable_bytes": memory.unreclaimable_bytes,
            "swap_bytes": memory.swap_bytes,
            "limit_bytes": None if limit.value is None else int(limit.value),
            "limit_set_by": limit.set_by,
            "limit_ratio": _ratio(working_set, limit.value),
            "own_limit_bytes": memory.limit_bytes,
            "oom_kills": memory.oom_kills,  # also in cgroups within its own
            "limit_hits": memory.limit_hits,
            "peak_bytes": memory.peak_bytes,
            "pressure_some_seconds": _millionth(pressure.memory_some_us),
            "pressure_full_seconds": _millionth(pressure.memory_full_us),
            "pressure_some_ratio": self.stalled["memory_some_us"],
            "pressure_full_ratio": self.stalled["memory_full_us"],
            "pressure_full_avg10": pressure.memory_full_avg10,
            "pressure_full_avg60": pressure.memory_full_avg60,
        }

    def pids(self) -> schema.Pids:
        limit, tally = self.limits["pids"], self.after.tallies.get(self.one.id)
        current = self.read("pids", Pids).current
        return {
            "current": tally.threads if current is None and tally else current,
            "limit": None if limit.value is None else int(limit.value),
            "limit_set_by": limit.set_by,
        }

    def io(self) -> schema.Io:
        io, pressure = self.read("io", Io), self.pressure
        read, written = self.interval.rates("io", self.own.get("io"), "read_bytes", "write_bytes")
        return {
            "read_bytes": io.read_bytes,
            "write_bytes": io.write_bytes,
            "read_bytes_per_second": read,
            "write_bytes_per_second": written,
            "pressure_some_seconds": _millionth(pressure.io_some_us),
            "pressure_some_ratio": self.stalled["io_some_us"],
            "pressure_full_avg10": pressure.io_full_avg10,
            "pressure_full_avg60": pressure.io_full_avg60,
        }

    def network(self) -> schema.Network:
        inode = self.one.leader.namespaces.get("net") if self.one.leader else None
        own = self.after.own
        shared = None if inode is None or own.inside_container else inode == own.namespaces.get("net")
        known = self.after.interfaces.get(inode or 0)
        interfaces = [one for one in known or () if one.name != "lo"]
        received, sent = self.interval.traffic(inode)
        sharers = self.sharers.get(inode or 0, [])
        return {
            "shared_with_host": shared,
            "shared_with": [name for key, name in sharers[: MOST_SHARERS + 1] if key != self.one.id][:MOST_SHARERS],
            "shared_with_count": max(0, len(sharers) - (self.one.kind == "container")),
            "receive_bytes": sum([one.receive_bytes for one in interfaces]) if known is not None else None,
            "transmit_bytes": sum([one.transmit_bytes for one in interfaces]) if known is not None else None,
            "receive_bytes_per_second": received,
            "transmit_bytes_per_second": sent,
        }

    def rootfs(self) -> schema.Rootfs:
        root = self.one.leader.root if self.one.leader and self.one.kind != "cgroup" else None
        layers = overlay_layers(root) if root else None
        # Where every runtime mounts it; whether the host sees it there, nsinspect looks up.
        return rootfs_of(root, layers.upper.rpartition("/")[0] + "/merged" if layers and layers.upper else None)

    def processes(self) -> list[schema.ProcessRow] | None:
        details = self.after.processes.get(self.one.id)
        if details is None:
            return None
        before = self.interval.before
        old = {one.process.identity: one for one in (before.processes.get(self.one.id, ()) if before else ())}
        return [self.process_row(detail, old.get(detail.process.identity)) for detail in details]

    def process_row(self, detail: ProcessDetail, before: ProcessDetail | None) -> schema.ProcessRow:
        cores = self.interval.over_time(grown(before.ticks if before else None, detail.ticks))
        return {
            "pid": detail.process.pid,
            "inner_pid": detail.inner_pid,
            "ppid": detail.process.ppid,
            "comm": detail.process.comm,
            "cmdline": detail.cmdline,
            "state": detail.state,
            "cpu_cores": None if cores is None else cores / CLOCK_TICKS,
            "rss_bytes": detail.rss_bytes,
            "cpu_seconds": detail.ticks / CLOCK_TICKS,
            "threads": detail.threads,
            "uid": detail.uid,
            "started_at": started_at(detail.process, self.after.system.boot_time),
        }


def _millionth(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
