"""Looks closely at one container, for the page that is open: only what its tab shows, never at every tick."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import ParamSpec, TypeVar

from inspector.absence import Absence
from inspector.closeup import Ask, Closeup, Thread, Traffic
from inspector.ctop.chains import Chains
from inspector.ctop.ending import Ends
from inspector.errors import NoSuchProcess
from inspector.kernel.addresses import read_addresses
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo
from inspector.kernel.network import Interface, parse_net_dev
from inspector.kernel.process import CLOCK_TICKS, parse_stat
from inspector.kernel.sockets import read_listeners
from inspector.layers import Volume, volumes
from inspector.model import Observation
from inspector.nsinspect.gather import Gatherer
from inspector.rates import grown
from inspector.report import Report

__all__ = ["Closer", "parse_passwd"]

P = ParamSpec("P")
T = TypeVar("T")
REPORT_SECONDS = 10.0
"""The report looks at every process of the machine, so it is not made at every tick."""
MOST_THREADS = 5000
MOST_DESCRIPTORS = 2000
SOCKET = re.compile(r"socket:\[([0-9]{1,20})\]", re.ASCII)
PASSWD_BYTES = 1 << 20
Ticks = Mapping[tuple[int, int], int]


# root:x:0:0:root:/root:/bin/bash
def parse_passwd(data: bytes) -> dict[int, str]:
    """Parse /etc/passwd (passwd(5)): names by user id, the first of several; a line that makes no sense is passed."""
    found: dict[int, str] = {}
    for line in data.decode(errors="surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and fields[0] and fields[2].isascii() and fields[2].isdigit() and len(fields[2]) <= 10:  # noqa: PLR2004
            found.setdefault(int(fields[2]), fields[0])
    return found


class Closer:
    """Answers what is asked of one container after another. Not thread safe."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._absence = Absence()
        self._chains = Chains(host)
        self._ends = Ends(host)
        self._container: str | None = None
        self._reported: tuple[float, Report | None, tuple[Volume, ...] | None] | None = None
        self._traffic: tuple[float, dict[str, Interface]] | None = None
        self._ticks: tuple[float, Ticks] | None = None
        self._users: Mapping[int, str] | None = None

    def look(self, ask: Ask, earlier: Observation | None, seen: Observation) -> Closeup:
        """Answer; `earlier` and `seen` are the last two samples. What cannot be read is None and told in `problems`."""
        if ask.container != self._container:
            self._container = ask.container
            self._reported = self._traffic = self._ticks = None
            self._chains.forget()
            self._ends.forget()
        self._absence.begin()
        taken = time.time()
        if "end" in ask.parts:
            return self._ends.told(ask, taken)
        one = next((one for one in seen.containers if one.id == ask.container), None)
        if one is None:
            return Closeup(ask.container, taken, ask.parts)
        self._ends.watch(one, seen)
        pid = one.leader.process.pid if one.leader else next(iter(one.members), None)
        told = Closeup(ask.container, taken, ask.parts, users=self._known_users())
        if pid is None:
            told = told._replace(note="it has no process to look at")
        problems: list[str] = []
        if "limits" in ask.parts:
            chains, problems = self._chains.read(one, earlier, seen)
            # Where it has ended since that sample so have its cgroups: what was read of them before stays on the page.
            if not one.members or any(self._host.access(f"/proc/{member}") for member in one.members):
                told = told._replace(chains=chains)
        if "threads" in ask.parts:
            told = told._replace(threads=self._threads(one.members))
        if pid is not None and "report" in ask.parts:
            _, report, mounted = self._report(pid, earlier, seen)
            told = told._replace(report=report, volumes=mounted, note=None if report else "its process is not readable")
        if pid is not None and "network" in ask.parts:
            listeners = self._try(pid, read_listeners, self._host, pid)
            holders = self._holders(one.members, {listener.inode for listener in listeners or ()})
            told = told._replace(
                traffic=self._interfaces(pid),
                addresses=self._try(pid, read_addresses, self._host, pid),
                listeners=listeners,
                holders=holders,
            )
        denied = [f"{subject}: not readable (needs CAP_SYS_PTRACE)" for subject in sorted(self._absence.denied)]
        return told._replace(problems=(*problems, *self._absence.problems, *denied))

    def _try(self, pid: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        return self._absence.attempt(f"process {pid}", read, *args, **kwargs)

    def _known_users(self) -> Mapping[int, str]:
        if self._users is None:
            data = self._absence.attempt("/etc/passwd", self._host.read_prefix, "/etc/passwd", PASSWD_BYTES)
            self._users = parse_passwd(data or b"")
        return self._users

    def close(self) -> None:
        """Let go of what is kept open."""
        self._ends.forget()

    def _report(
        self, pid: int, earlier: Observation | None, seen: Observation
    ) -> tuple[float, Report | None, tuple[Volume, ...] | None]:
        now = time.monotonic()
        if self._reported is None or now - self._reported[0] >= REPORT_SECONDS:
            report = None
            with contextlib.suppress(NoSuchProcess):
                report = self._try(pid, Gatherer(self._host, seen, pid, earlier).report)
            self._reported = now, report, self._volumes(pid)
        return self._reported

    def _volumes(self, pid: int) -> tuple[Volume, ...] | None:
        mounts = self._try(pid, read_mountinfo, self._host, pid)
        hosts = self._absence.attempt("our own mounts", read_mountinfo, self._host, self._host.viewer)
        return None if mounts is None or hosts is None else volumes(mounts, hosts)

    def _interfaces(self, pid: int) -> tuple[Traffic, ...] | None:
        text = self._try(pid, self._host.read, f"/proc/{pid}/net/dev")
        found = self._try(pid, parse_net_dev, text) if text is not None else None
        if found is None:
            return None
        now = time.monotonic()
        seconds, old = (now - self._traffic[0], self._traffic[1]) if self._traffic else (0.0, {})
        self._traffic = now, {one.name: one for one in found}
        return tuple(_traffic(old.get(one.name), one, seconds) for one in found)

    def _holders(self, pids: Iterable[int], inodes: set[int]) -> dict[int, int]:
        """Find which of these processes hold sockets; of a fleet of descriptors no more than can be read at a tick."""
        found: dict[int, int] = {}
        links = (
            (pid, f"/proc/{pid}/fd/{number}")
            for pid in pids
            for number in self._try(pid, self._host.listdir, f"/proc/{pid}/fd") or ()
        )
        for pid, link in islice(links if inodes else (), MOST_DESCRIPTORS):
            held = SOCKET.fullmatch(self._try(pid, self._host.readlink, link) or "")
            if held and int(held[1]) in inodes:
                found.setdefault(int(held[1]), pid)
        return found

    def _threads(self, pids: Iterable[int]) -> dict[int, tuple[Thread, ...]]:
        """Read the threads of these processes; of a fleet of them no more than a person could look at."""
        now = time.monotonic()
        seconds, old = (now - self._ticks[0], self._ticks[1]) if self._ticks else (0.0, {})
        ticks: dict[tuple[int, int], int] = {}
        found: dict[int, tuple[Thread, ...]] = {}
        for pid in pids:
            threads = []
            for tid in self._try(pid, self._host.listdir, f"/proc/{pid}/task") or ():
                if len(ticks) >= MOST_THREADS:
                    self._absence.problems.append(f"only the first {MOST_THREADS} threads are read")
                    return found
                text = self._try(pid, self._host.read, f"/proc/{pid}/task/{tid}/stat")
                stat = self._try(pid, parse_stat, text) if text is not None else None
                if stat is None:
                    continue
                key, used = (stat.pid, stat.starttime_ticks), stat.utime_ticks + stat.stime_ticks
                ticks[key] = used
                cores = _rate(old.get(key), used, seconds)
                threads.append(
                    Thread(stat.pid, stat.comm, stat.state, None if cores is None else cores / CLOCK_TICKS,
                           used / CLOCK_TICKS)
                )  # fmt: skip
            found[pid] = tuple(threads)
        self._ticks = now, ticks
        return found


def _traffic(old: Interface | None, new: Interface, seconds: float) -> Traffic:
    def rate(name: str) -> float | None:
        return _rate(getattr(old, name) if old else None, getattr(new, name), seconds)

    return Traffic(
        name=new.name,
        receive_bytes_per_second=rate("receive_bytes"),
        transmit_bytes_per_second=rate("transmit_bytes"),
        receive_packets_per_second=rate("receive_packets"),
        transmit_packets_per_second=rate("transmit_packets"),
        receive_bytes=new.receive_bytes,
        transmit_bytes=new.transmit_bytes,
        receive_errors=new.receive_errors,
        transmit_errors=new.transmit_errors,
        receive_dropped=new.receive_dropped,
        transmit_dropped=new.transmit_dropped,
    )


def _rate(before: int | None, after: int, seconds: float) -> float | None:
    moved = grown(before, after)
    return None if moved is None or seconds <= 0 else moved / seconds
