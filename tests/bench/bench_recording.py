"""What a recording costs: a made-up day of 200 containers, some busy, most nearly idle, a few born and dying.

The figures move as they do on real hosts: CPU time in microseconds with noise, memory in pages, network traffic and
pressure in bursts, throttling at a quota, and a machine whose clock and load are never the same. Of the day some
stretches are taken and multiplied, as their cost is the same all day long: CPU seconds a tick, bytes a day, and what
it takes to go back to a moment.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.writer import Writer
from inspector.findings import findings
from inspector.schema import Document
from tests.unit.documents import container, document

DAY = 86400
TICKS = 1200  # so many that it does not matter how full the last page is
PAGE = 4096
START = 1_700_100_000.0


class Sort(NamedTuple):
    """How a container behaves.

    How many of 200; cores used; in which share of the seconds it wakes; quota in us; bytes/s, and in which share of
    the seconds there is traffic and are pages written.
    """

    many: int
    cores: float
    wakes: float
    quota: int | None
    traffic: int
    called: float
    writes: float


SORTS = (
    Sort(6, 0.85, 1.0, None, 0, 0.0, 0.3),  # batch jobs
    Sort(10, 0.2, 1.0, 20000, 4000, 1.0, 0.1),  # at their quota, throttled
    Sort(24, 0.04, 1.0, 100000, 20000, 1.0, 0.2),  # services with traffic
    Sort(60, 0.002, 0.8, None, 1500, 0.2, 0.02),  # services that wait: their timers, two health checks in ten seconds
    Sort(100, 0.0003, 0.1, None, 0, 0.0, 0.0),  # sidecars, databases nobody asks, sleepers
)
BUSY = (Sort(200, 0.04, 1.0, 100000, 20000, 1.0, 0.2),)


class Used(NamedTuple):
    """By how much the counters of one container grew in a tick."""

    used: int = 0
    user: int = 0
    periods: int = 0
    throttled: int = 0
    waited: int = 0
    received: int = 0
    sent: int = 0
    written: int = 0


@dataclass
class Made:
    """One made-up container and its counters."""

    name: str
    sort: Sort
    rng: random.Random
    usage: int = 0
    user: int = 0
    periods: int = 0
    throttled: int = 0
    throttled_us: int = 0
    waited: int = 0
    stalled: float = 0.0
    stalled_lately: float = 0.0
    anon: int = 20000 * PAGE
    file: int = 30000 * PAGE
    peak: int = 0
    received: int = 0
    sent: int = 0
    written: int = 0
    row: dict[str, Any] = field(default_factory=dict)
    still: dict[str, Any] | None = None

    def tick(self, seconds: float) -> dict[str, Any]:
        """Go on by some time; returns the container's part of the document."""
        rng, sort = self.rng, self.sort
        if self.row and rng.random() > sort.wakes:
            # As inspector.still: what did nothing since the tick before is the same object from then on.
            self.still = self.still or {**self.row, **self._rates(seconds, Used())}
            return self.still
        self.still = None
        used = int(max(0.0, rng.gauss(sort.cores, sort.cores / 6)) * seconds * 1e6)
        user = int(used * min(1.0, max(0.0, rng.gauss(0.8, 0.05))))
        periods = throttled = throttled_us = 0
        if sort.quota is not None:
            periods = 10 if sort.cores > 0.1 else rng.randint(7, 10)
            throttled = rng.randint(8, 10) if sort.quota <= sort.cores * 100000 else 0
            throttled_us = throttled and int(rng.gauss(0.7, 0.05) * seconds * 1e6)
        waited = int(rng.expovariate(1 / (used * 0.05))) if used > 5000 else 0
        share = min(1.0, waited / seconds / 1e6)
        self.stalled += (share - self.stalled) / 10
        self.stalled_lately += (share - self.stalled_lately) / 60
        called = rng.random() < sort.called
        received, sent = (int(rng.expovariate(1 / sort.traffic) * seconds) if called else 0 for _ in range(2))
        written = PAGE * rng.randint(1, 50) if rng.random() < sort.writes else 0
        if rng.random() < sort.cores * 5:
            self.anon += PAGE * rng.randint(-30, 30)
        if rng.random() < sort.cores * 3 or written:
            self.file += PAGE * rng.randint(0, 10)
        self.usage, self.user = self.usage + used, self.user + user
        self.periods, self.throttled = self.periods + periods, self.throttled + throttled
        self.throttled_us, self.waited = self.throttled_us + throttled_us, self.waited + waited
        self.received, self.sent, self.written = self.received + received, self.sent + sent, self.written + written
        self.row = self._totals()
        grown = Used(used, user, periods, throttled, waited, received, sent, written)
        return {**self.row, **self._rates(seconds, grown)}

    def _totals(self) -> dict[str, Any]:
        path = f"/system.slice/docker-{self.name}.scope"
        usage = self.anon + self.file + 500 * PAGE
        self.peak = max(self.peak, usage)
        quota = self.sort.quota
        cpu = {"usage_seconds": self.usage / 1e6, "user_seconds": self.user / 1e6, "quota_us": quota,
               "system_seconds": (self.usage - self.user) / 1e6, "limit_cores": quota and quota / 100000,
               "limit_set_by": quota and path, "periods": self.periods if quota else None,
               "throttled_periods": self.throttled if quota else None,
               "throttled_seconds": self.throttled_us / 1e6 if quota else None,
               "pressure_some_seconds": self.waited / 1e6,
               "pressure_full_avg10": round(self.stalled, 4),
               "pressure_full_avg60": round(self.stalled_lately, 4)}  # fmt: skip
        memory = {"usage_bytes": usage, "working_set_bytes": usage - 20000 * PAGE, "anon_bytes": self.anon,
                  "file_bytes": self.file, "unreclaimable_bytes": self.anon + 400 * PAGE,
                  "peak_bytes": self.peak, "limit_bytes": 1 << 30, "limit_set_by": path,
                  "own_limit_bytes": 1 << 30}  # fmt: skip
        network = {"receive_bytes": self.received, "transmit_bytes": self.sent}
        return container(
            self.name[:12], id=self.name, cgroups=dict.fromkeys(("cpu", "cpuacct", "memory", "pids", "io"), path),
            cpu=cpu, memory=memory, network=network, io={"write_bytes": self.written},
        )  # type: ignore[return-value]  # fmt: skip

    def _rates(self, seconds: float, grown: Used) -> dict[str, Any]:
        row = self.row
        used, user, periods, throttled, waited, received, sent, written = grown
        cores = used / seconds / 1e6
        quota = self.sort.quota
        ratio = None if quota is None else throttled / periods if periods else 0.0
        cpu = {**row["cpu"], "usage_cores": cores, "user_cores": user / seconds / 1e6,
               "system_cores": (used - user) / seconds / 1e6, "limit_ratio": quota and cores / (quota / 100000),
               "throttled_ratio": ratio, "throttled_by": row["cpu"]["limit_set_by"] if ratio else None,
               "pressure_some_ratio": min(1.0, waited / seconds / 1e6)}  # fmt: skip
        memory = {**row["memory"], "limit_ratio": row["memory"]["working_set_bytes"] / (1 << 30)}
        network = {**row["network"], "receive_bytes_per_second": received / seconds,
                   "transmit_bytes_per_second": sent / seconds}  # fmt: skip
        io = {**row["io"], "read_bytes_per_second": 0.0, "write_bytes_per_second": written / seconds}
        made: Any = {**row, "cpu": cpu, "memory": memory, "network": network, "io": io}
        return {"cpu": cpu, "memory": memory, "network": network, "io": io, "findings": findings(made, {})}


class Machine:
    """A made-up machine of containers by their sorts; every ten minutes or so one of them is replaced."""

    def __init__(self, sorts: tuple[Sort, ...], seed: int = 1) -> None:
        self._rng = random.Random(seed)  # noqa: S311  the same day each time
        self._made = [self._new(sort) for sort in sorts for _ in range(sort.many)]
        self._now, self._load = START, 2.0

    def _new(self, sort: Sort) -> Made:
        return Made(f"{self._rng.getrandbits(256):064x}", sort, random.Random(self._rng.random()))  # noqa: S311

    def tick(self) -> Document:
        """Return the next document, a second or so after the one before."""
        seconds = 1 + abs(self._rng.gauss(0, 0.0005))
        self._now += seconds
        if self._rng.random() < 1 / 600:
            place = self._rng.randrange(len(self._made))
            self._made[place] = self._new(self._made[place].sort)
        self._load = max(0.1, self._load + self._rng.gauss(0, 0.05))
        free = PAGE * self._rng.randint(1_000_000, 1_100_000)
        rows: Any = [one.tick(seconds) for one in self._made]
        host = {"load": [round(self._load, 2), round(self._load * 0.9, 2), 1.9], "memory_available_bytes": free,
                "memory_used_bytes": (8 << 30) - free, "usage_cores": self._rng.random()}  # fmt: skip
        return document(*rows, taken_at=self._now, interval_seconds=seconds, host=host)


def measure(sorts: tuple[Sort, ...]) -> tuple[float, float, float]:
    """Return CPU seconds a tick, bytes a day, and the longest time to go to a moment, for one machine."""
    machine = Machine(sorts)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "recording")
        spent, sizes = 0.0, []
        with Writer(path) as writer:
            # Twice, as the first stretch has what is recorded only once.
            for _ in range(2):
                for _ in range(TICKS):
                    current = machine.tick()
                    start = time.process_time()
                    writer.write(current)
                    writer.last()
                    spent += time.process_time() - start
                with contextlib.closing(sqlite3.connect(path)) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                sizes.append(os.stat(path).st_size)
        with Recording(path) as recording:
            worst = 0.0
            for number in (TICKS, 60, TICKS // 2 + 119, 1):
                start = time.perf_counter()
                recording.document(number)
                worst = max(worst, time.perf_counter() - start)
    return spent / TICKS / 2, (sizes[1] - sizes[0]) / TICKS * DAY, worst


def main() -> None:
    """Print the costs for a day of an ordinary machine, and of one on which all containers are busy."""
    for name, sorts in (("200 containers", SORTS), ("200 containers, all of them busy", BUSY)):
        seconds, size, jump = measure(sorts)
        sys.stdout.write(
            f"{name}: {seconds * 1000:.1f} ms CPU a tick ({seconds:.2%} of a core at 1 s), {size / 1e6:.0f} MB a day, "
            f"to a moment in {jump * 1000:.0f} ms at most\n"
        )


def test_cost_of_recording() -> None:
    """Print what recording costs."""
    main()


if __name__ == "__main__":
    main()
