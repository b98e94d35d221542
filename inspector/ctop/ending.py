"""Why a container ended: what the kernel and its runtime's files tell once it is gone, each with where it is from.

Its counters go with its cgroup, so what may tell afterwards is made ready
while it lives: a descriptor of its first process, the clues to its runtime's
files, the last figures of its cgroups. Nobody writes down who sent a SIGKILL
or wrote cgroup.kill, and that is said too.
"""

from __future__ import annotations

import contextlib
import os
import time

from inspector.closeup import Ask, Closeup
from inspector.demise import KILLED_BEFORE, Found, told_of
from inspector.errors import ParseError
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Memory, Pids
from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill
from inspector.kernel.pidfd import open_process, read_end
from inspector.kernel.process import read_stat
from inspector.metadata import MOST_BYTES, clues_of
from inspector.model import Container, Identity, Observation
from inspector.stores.endings import Ending, EndSource, endings
from inspector.victims import for_what

__all__ = ["Ends"]

PATIENCE = 5.0
"""Seconds after its end for which its runtime may still be about to write it down."""


class Ends:
    """Watches one container, and tells why it ended. Not thread safe."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._watched: str | None = None
        self._process: Identity | None = None
        self._descriptor: int | None = None
        self._sources: list[EndSource] = []
        self._counted: dict[str, int] = {}
        self._before: tuple[str, ...] = ()
        self._ending: tuple[Ending, str] | None = None

    def watch(self, one: Container, seen: Observation) -> None:
        """Note what will tell of its end, while it lives."""
        if one.id != self._watched:
            self.forget()
            self._watched = one.id
        first = one.leader.process.identity if one.leader and one.kind == "container" else None
        if first != self._process:
            self._let_go()
            self._process, self._ending = first, None
            self._descriptor = self._hold(*first) if first else None
        self._sources = endings(one.runtime or "", clues_of(one))
        self._before = tuple(self._figures(one, seen))

    def _hold(self, pid: int, started_ticks: int) -> int | None:
        """Return a descriptor of the process, which lived before it was opened and does so after."""
        if not self._host.is_live or not self._host.shares_pids():
            return None
        try:
            descriptor = open_process(pid)
        except OSError:
            return None
        with contextlib.suppress(OSError, ParseError):
            if read_stat(self._host, pid).starttime_ticks == started_ticks:
                return descriptor
        os.close(descriptor)
        return None

    def _figures(self, one: Container, seen: Observation) -> list[str]:
        """Say what its own cgroups counted while it was watched, as far as that can end a program."""
        memory = seen.readings.get(("memory", one.cgroups.get("memory", ""))) if "memory" in one.owned else None
        pids = seen.readings.get(("pids", one.cgroups.get("pids", ""))) if "pids" in one.owned else None
        kills = memory.oom_kills if isinstance(memory, Memory) else None
        hits = pids.limit_hits if isinstance(pids, Pids) else None
        told = [
            f"{what}: {now - self._counted[what]} while it was watched"
            for what, now in (("OOM kills", kills), ("forks refused", hits))
            if now is not None and now > self._counted.setdefault(what, now)
        ]
        if isinstance(pids, Pids) and pids.limit is not None and (pids.current or 0) >= pids.limit:
            told.append(f"at its limit of {pids.limit} tasks in the last sample")
        return told

    def forget(self) -> None:
        """Watch nobody."""
        self._let_go()
        self._watched, self._process, self._sources, self._ending = None, None, [], None
        self._counted, self._before = {}, ()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def told(self, ask: Ask, now: float) -> Closeup:
        """Say why it ended; as long as more may come the part "end" is not answered, and will be asked again."""
        since = now if ask.since is None else ask.since
        kill, log_is_read = self._killed(ask.cgroup, since, now)
        status = read_end(self._descriptor) if self._descriptor is not None else None
        self._ending = self._ending or self._written()
        ending, path = self._ending or (None, "")
        pid = self._process[0] if self._process else None
        at = for_what(kill, ask.cgroup) if kill and ask.cgroup else ""
        found = Found(status, kill, ending, log_is_read, self._before, pid, path, at)
        waits = (self._descriptor is not None and status is None) or bool(self._sources)
        is_last = ending is not None or now - since > PATIENCE or not waits
        why, evidence = told_of(found, is_last=is_last)
        return Closeup(ask.container, now, ask.parts if is_last else frozenset(), ended=why, ended_by=evidence)

    def _written(self) -> tuple[Ending, str] | None:
        for source in self._sources:
            with contextlib.suppress(OSError, ParseError):
                ending = source.parse(self._host.read_inside(source.store, source.relative, MOST_BYTES))
                if ending is not None:
                    return ending, source.path
        return None

    def _killed(self, cgroup: str | None, since: float, now: float) -> tuple[Kill | None, bool]:
        """Return the last OOM kill in its cgroup shortly before, and whether the kernel's log could be read."""
        if cgroup is None:
            return None, False
        earliest = (time.monotonic() - (now - since) - KILLED_BEFORE) * 1e6
        log, last = KernelLog(self._host), None
        try:
            for kill in log.kills():
                if kill.monotonic_us >= earliest and cgroup in ancestors(kill.cgroup):
                    last = kill
        except OSError:
            return None, False
        finally:
            log.close()
        return last, True
