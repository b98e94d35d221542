"""Why a container ended: what the kernel and its runtime's files tell once it is gone, each with where it is from.

Its counters go with its cgroup, so what may tell afterwards is made ready
while it lives: a descriptor of its first process, the clues to its runtime's
files, the last figures of its cgroups. Nobody writes down who sent a SIGKILL
or wrote cgroup.kill, and that is said too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import NamedTuple

from inspector.closeup import Ask, Closeup
from inspector.errors import ParseError
from inspector.kernel.cgroups import ancestors
from inspector.kernel.controllers import Memory, Pids
from inspector.kernel.host import Host
from inspector.kernel.kmsg import KernelLog, Kill
from inspector.kernel.pidfd import open_process, read_end
from inspector.kernel.process import read_stat
from inspector.metadata import clues_of
from inspector.model import Container, Identity, Observation
from inspector.stores.endings import Ending, EndSource, endings
from inspector.victims import for_what

__all__ = ["Ends", "told_of"]

KILLED_BEFORE = 60.0
"""Seconds before its end in which a kill is taken for the reason of it: the next sample may come late."""
PATIENCE = 5.0
"""Seconds after its end for which its runtime may still be about to write it down."""
MOST_BYTES = 16 << 20
SIGNALLED = 128  # what a shell, and a runtime, add to the number of the signal


class Found(NamedTuple):
    """What tells of an end: of the kernel the wait status of the first process and an OOM kill, and the runtime's file.

    `log_is_read`: without a kill there was none, as far as the kernel's log reaches back. `before` is what the
    cgroups last counted. `process` and `path` say where status and ending are from; `at` what had no memory left for
    the kill, if not its own cgroup.
    """

    status: int | None = None
    kill: Kill | None = None
    ending: Ending | None = None
    log_is_read: bool = True
    before: tuple[str, ...] = ()
    process: int | None = None
    path: str = ""
    at: str = ""


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


def told_of(found: Found, *, is_last: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return why a container ended in a few words, and what says so; None while nothing is known and more may come."""
    kill, status, ending = found.kill, found.status, found.ending
    why, evidence = [], []
    # Somebody had it stopped: that another of its processes was killed shortly before is not why.
    beside = kill is not None and ending is not None and ending.ordered and kill.pid != found.process
    if kill is not None:
        why += [] if beside else [_by_kill(kill, found.at)]
        evidence.append("the kernel's log names it")
    elif ending is not None and ending.out_of_memory:
        why.append("killed for lack of memory (OOM)")
    if status is not None:
        why.append(_by_status(status))
        evidence.append(f"the kernel tells how process {found.process} ended")
    elif ending is not None and ending.code is not None:
        why.append(_by_code(ending.code))
    if ending is not None:
        why += ["on order to its runtime"] if ending.ordered else []
        why += [ending.error] if ending.error else []
        why += [f"shortly before {_by_kill(kill, found.at)}"] if kill is not None and beside else []
        evidence.append(found.path)
    if kill is None:
        evidence.append("no OOM kill of it in the kernel's log" if found.log_is_read else "no look at the kernel's log")
        if status is not None and status & 0x7F == signal.SIGKILL and not (ending and ending.ordered):
            evidence.append("who sent it is written nowhere: a person, its runtime, or cgroup.kill")
    if not why and not is_last:
        return None, ()
    if status is None and ending is None and kill is None:
        evidence.append("neither the kernel nor a file of its runtime tells an exit code")
    return ", ".join(why) or "why is not known", (*evidence, *found.before)


def _by_kill(kill: Kill, at: str) -> str:
    return f"{kill.task} (pid {kill.pid}) was killed for lack of memory (OOM){at}"


def _by_status(status: int) -> str:
    """Say a wait status in words (wait(2))."""
    if not status & 0x7F:
        return f"exit code {status >> 8 & 0xFF}"
    return f"killed by {_name(status & 0x7F)}{' (core dumped)' if status & 0x80 else ''}"


def _by_code(code: int) -> str:
    """Say an exit code in words; that of a program that a signal ended has the signal too, though it may be its own."""
    return f"exit code {code} ({_name(code - SIGNALLED)}?)" if SIGNALLED < code < 2 * SIGNALLED else f"exit code {code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
