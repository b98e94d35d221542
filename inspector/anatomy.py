"""The processes of a container whose first one may be without its application: what inspector.hollow judges by.

Costs with the containers: a first process that is an application itself is
recognised by its name, a `sleep` or `tail` is not looked into, and of the
rest no more is read than shows that one lives.
"""

from __future__ import annotations

import stat as modes
import time
from collections.abc import Mapping, Sequence

from inspector.absence import Absence
from inspector.kernel.cgroups import parse_pids
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, may_hang, read_mountinfo
from inspector.kernel.process import CLOCK_TICKS, read_stat, read_stat_kept
from inspector.kernel.remembered import remembered
from inspector.kernel.system import System
from inspector.members import (
    FILLERS,
    MULTICALL,
    NAMING,
    SHELLS,
    SUPERVISORS,
    Member,
    Structure,
    base,
    helps,
    holder_of,
    is_wrapper,
)
from inspector.model import Container, Process
from inspector.since import booted

__all__ = ["Anatomy"]

YOUNG_TICKS = 2 * CLOCK_TICKS  # it may yet execute another program under the same name
ARGUMENT_BYTES = 4096
SCRIPT_BYTES = 65536
MOST_MEMBERS = 500
MOST_DESCRIPTORS = 100
# Where a shell keeps the script it reads: bash, then dash and busybox.
SCRIPT_DESCRIPTORS = (255, 10, 11)

Known = tuple[int, int, str]


@remembered(512)  # many containers run the same: their command lines are kept once
def _words(cmdline: bytes) -> tuple[str, ...]:
    return tuple(cmdline.decode(errors="surrogateescape").rstrip("\0").split("\0")) if cmdline else ()


class Anatomy:
    """Looks at containers, tick after tick. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self.host = host
        self._attempt = absence.attempt
        self._argv: dict[Known, tuple[str, ...]] = {}
        self._scripts: dict[Known, str] = {}
        self._wrappers: dict[Known, bool] = {}
        self._used: set[Known] = set()
        self._idle: dict[str, tuple[tuple[Process | None, ...], bool]] = {}  # by container: who was in it, all idle
        self._idling: set[str] = set()  # of those, who was asked about at this tick
        self._mounts: dict[int, tuple[Mount, ...]] = {}  # of this tick
        self._now = 0
        self._booted: float | None = None

    def begin(self, system: System) -> None:
        """Start a tick."""
        self._now = int(system.uptime_seconds * CLOCK_TICKS)
        self._booted = booted(system, time.time())

    def end(self) -> None:
        """End a tick: forget the processes it did not look at."""
        for known in (self._argv, self._scripts, self._wrappers):
            for key in known.keys() - self._used:
                del known[key]
        for one in self._idle.keys() - self._idling:
            del self._idle[one]
        self._used.clear()
        self._idling.clear()
        self._mounts.clear()

    def of(
        self, one: Container, processes: Mapping[int, Process], cpus: int, *, remembered: bool = False
    ) -> Structure | None:
        """Look at one container; None where its first process is an application, or is gone.

        Nor is there anything to find where all is `sleep`, unless something else is `remembered`.
        """
        first = processes.get(one.leader.process.pid) if one.leader and one.kind == "container" else None
        if first is not None and first.comm in FILLERS and not remembered and self._all_idle(one, processes):
            return None
        if first is None or not self._is_wrapper(first):
            return None
        main = self._member(first)
        if main is None or len(one.members) > MOST_MEMBERS:
            return None
        members = [main]
        lives = False
        for pid in one.members:
            process = processes.get(pid)
            if process is None or pid == main.pid:
                continue
            # Below a `sleep` that was a shell, the session tells its own children from those that came in.
            skim = process.comm in FILLERS or (lives and main.program not in FILLERS)
            member = self._skimmed(process) if skim else self._member(process)
            if member is not None:
                members.append(member)
                application = not (member.dead or helps(member) or is_wrapper(member.comm, member.argv))
                lives = lives or (application and _descends(process, main.pid, processes))
        structure = Structure(main, tuple(members), self._now, cpus)
        holder = holder_of(structure)
        script, changed = "", None
        if holder.program in SHELLS and not lives:
            script = self._script(holder)
            members = self._with_children_now(holder, members)
        elif holder.program in SUPERVISORS and not lives:
            changed = self._changed(holder, members)
        return Structure(main, tuple(members), self._now, cpus, script, changed)

    def _is_wrapper(self, process: Process) -> bool:
        key = (*process.identity, process.comm)
        self._used.add(key)
        known = self._wrappers.get(key)
        if known is None:
            known = self._wrappers[key] = is_wrapper(process.comm, self._arguments(process))
        return known

    def _all_idle(self, one: Container, processes: Mapping[int, Process]) -> bool:
        """Tell whether all in a container is `sleep`; asked anew only when other processes are in it."""
        there = tuple(map(processes.get, one.members))
        known = self._idle.get(one.id)
        if known is None or known[0] != there:
            idle = all(process is None or process.comm in FILLERS for process in there)
            known = self._idle[one.id] = there, idle
        self._idling.add(one.id)
        return known[1]

    def _with_children_now(self, shell: Member, members: Sequence[Member]) -> list[Member]:
        """Return the members with what the shell runs now.

        The processes were listed when the tick began. On a busy machine that is long ago for a `sleep 1`: the one of
        then has ended, and the next one was not there yet.
        """
        now = self._children(shell.pid)
        if now is None:
            return list(members)
        left = [one for one in members if one.ppid != shell.pid or one.comm not in FILLERS or one.pid in now]
        known = {one.pid for one in left}
        return [*left, *filter(None, (self._newcomer(pid) for pid in now if pid not in known))]

    def _newcomer(self, pid: int) -> Member | None:
        stat = self._attempt(f"process {pid}", read_stat, self.host, pid)
        return self._member(Process(pid, stat.starttime_ticks, stat.ppid, stat.comm, None, None)) if stat else None

    def _children(self, pid: int) -> tuple[int, ...] | None:
        """Return the children that a process has at this moment; None where the kernel does not tell."""
        return self._attempt(f"process {pid}", self._read_children, f"/proc/{pid}/task/{pid}/children")

    def _read_children(self, path: str) -> tuple[int, ...]:
        return parse_pids(self.host.read(path))

    def _skimmed(self, process: Process) -> Member:
        argv = self._arguments(process)
        return Member(process.pid, process.starttime_ticks, process.ppid, process.comm, argv, "S", 0, 0)

    def _member(self, process: Process) -> Member | None:
        found = self._attempt(f"process {process.pid}", read_stat_kept, self.host, process.pid)
        if found is None or found.starttime_ticks != process.starttime_ticks:
            return None
        current = Process(process.pid, found.starttime_ticks, found.ppid, found.comm, None, None)
        argv = self._arguments(current)
        return Member(
            pid=found.pid,
            starttime_ticks=found.starttime_ticks,
            ppid=found.ppid,
            comm=found.comm,
            argv=argv,
            state=found.state,
            session=found.session,
            tty=found.tty,
            dead_ticks=found.children_ticks,
        )

    def _arguments(self, process: Process) -> tuple[str, ...]:
        key = (*process.identity, process.comm)
        self._used.add(key)
        known = self._argv.get(key)
        if known is None:
            path = f"/proc/{process.pid}/cmdline"
            data = self._attempt(f"process {process.pid}", self.host.read_prefix, path, ARGUMENT_BYTES) or b""
            known = _words(data)
            if self._now - process.starttime_ticks > YOUNG_TICKS:
                self._argv[key] = known
        return known

    def _script(self, shell: Member) -> str:
        """Return what a shell runs: the text after -c, or the file it has open."""
        key = (*shell.identity, shell.comm)
        known = self._scripts.get(key)
        if known is None:
            known = self._after_c(shell) or self._open_script(shell)
            if self._now - shell.starttime_ticks > YOUNG_TICKS:
                self._scripts[key] = known
        return known

    @staticmethod
    def _after_c(shell: Member) -> str:
        for place, word in enumerate(shell.argv):
            if place and word.startswith("-") and not word.startswith("--") and "c" in word:
                return next(iter(shell.argv[place + 1 :]), "")
            if place and not word.startswith(("-", "+")) and base(word) not in SHELLS | MULTICALL:
                break
        return ""

    def _open_script(self, shell: Member) -> str:
        subject = f"process {shell.pid}"
        for number in SCRIPT_DESCRIPTORS:
            path = f"/proc/{shell.pid}/fd/{number}"
            entry = self._attempt(subject, self.host.stat, path) if self._answers(shell.pid, path) else None
            if entry is not None and modes.S_ISREG(entry.mode):
                data = self._attempt(subject, self.host.read_prefix, path, SCRIPT_BYTES) or b""
                return data.decode(errors="surrogateescape")
        return ""

    def _changed(self, supervisor: Member, members: Sequence[Member]) -> int | None:
        """Return when a supervisor last wrote down that a program began or ended.

        supervisord writes a line in a log it keeps open; s6 and runit write `supervise/status` (s6-supervise(8),
        runsv(8)) in the directory of each program, where its own supervisor is.
        """
        subject = f"process {supervisor.pid}"
        times = []
        logs = f"/proc/{supervisor.pid}/fd"
        for number in (self._attempt(subject, self.host.listdir, logs) or ())[:MOST_DESCRIPTORS]:
            there = self._answers(supervisor.pid, f"{logs}/{number}")
            entry = self._attempt(subject, self.host.stat, f"{logs}/{number}") if there else None
            if entry is not None and modes.S_ISREG(entry.mode):
                times.append(entry.mtime_ns)
        for one in members:
            if one.comm in NAMING and self._answers(one.pid, f"/proc/{one.pid}/cwd"):
                subject = f"process {one.pid}"
                times.append(self._attempt(subject, self._status_time, f"/proc/{one.pid}/cwd/.") or 0)
        # What was started since we listed the processes shows here: it was started before that was written down.
        if not any(times) or self._booted is None or self._has_new_children(members):
            return None
        return int((max(times) / 1e9 - self._booted) * CLOCK_TICKS)

    def _answers(self, pid: int, link: str) -> bool:
        """Tell whether what a process has open can be looked at without waiting for a file server that may be gone."""
        path = self._attempt(f"process {pid}", self.host.readlink, link)
        if path is None or not path.startswith("/"):  # a pipe or socket
            return False
        if pid not in self._mounts:
            self._mounts[pid] = self._attempt(f"process {pid}", read_mountinfo, self.host, pid) or ()
        return not may_hang(path, self._mounts[pid])

    def _has_new_children(self, members: Sequence[Member]) -> bool:
        """Tell whether a supervisor of these has a child that is not one of them, or hides it."""
        pids = {one.pid for one in members}
        for one in members:
            if helps(one):
                listed = self._children(one.pid)
                if listed is None or not pids.issuperset(listed):
                    return True
        return False

    def _status_time(self, service: str) -> int:
        """Return when supervise/status below a directory was written (ns since the epoch), 0 for never."""
        from contextlib import closing  # noqa: PLC0415  few containers have a runit in them

        with closing(self.host.directory(service)) as directory:
            inside = directory.entry("supervise")
            if inside is None or not modes.S_ISDIR(inside.mode):  # a link could lead anywhere on this machine
                return 0
            with closing(directory.enter("supervise")) as supervise:
                entry = supervise.entry("status")
        return entry.mtime_ns if entry else 0


def _descends(process: Process | None, ancestor: int, processes: Mapping[int, Process]) -> bool:
    """Tell whether a process came from this one; who came in from outside (docker exec) did not."""
    seen: set[int] = set()
    while process is not None and process.pid not in seen:
        if process.ppid == ancestor:
            return True
        seen.add(process.pid)
        process = processes.get(process.ppid)
    return False
