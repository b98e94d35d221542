"""The processes of a machine without a list of all: the same as if they were listed at every tick."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.absence import Absence
from inspector.kernel.births import Births
from inspector.kernel.directory import Entry
from inspector.kernel.host import Host
from inspector.kernel.stat_brief import is_thread
from inspector.kernel.system import System
from inspector.model import Group
from inspector.roster import FEW, Roster
from inspector.turns import Turns
from tests.unit.parts import SYSTEM

RESERVED, PID_MAX = 300, 1000
STAT = (
    "{pid} (a) b) {state} 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 {start} 1 1 1 1 1 1 1 1 0 0 0 0 0 0 0 {signal} 0"
)
PATHS = ("/a", "/b", None)  # None: outside of what is mounted


class Task(NamedTuple):
    """A process or one of its threads; a zombie is in no cgroup's list, a thread in no list at all."""

    start: int
    path: str | None
    is_thread: bool = False
    is_zombie: bool = False


class Kernel(Host):
    """Hands out PIDs in turn, and shows what it made as /proc and cgroup.procs do."""

    def __init__(self, last: int) -> None:
        super().__init__("/nowhere")
        self.last = last
        self.forks = self.clock = self.lists = 0
        self.handed_out: list[int] = []  # not to be seen yet
        self.tasks: dict[int, Task] = {os.getpid() % RESERVED: Task(0, "/a")}

    def hand_out(self) -> None:
        """Take the next PID that is free."""
        while (free := self.last + 1 if self.last + 1 < PID_MAX else RESERVED) in (*self.tasks, *self.handed_out):
            self.last = free
        self.last = free
        self.handed_out.append(free)

    def show(self, path: str | None, *, thread: bool) -> None:
        """Let the task be seen whose PID was handed out first."""
        self.clock += 1
        self.forks += 1
        self.tasks[self.handed_out.pop(0)] = Task(self.clock, path, is_thread=thread)

    def processes(self) -> dict[int, int]:
        """Return when each process started."""
        return {pid: task.start for pid, task in self.tasks.items() if not task.is_thread}

    def groups(self) -> dict[str, set[int]]:
        """Return who is in each cgroup."""
        there: dict[str, set[int]] = {path: set() for path in PATHS if path}
        for pid, task in self.tasks.items():
            if task.path is not None and not task.is_thread and not task.is_zombie:
                there[task.path].add(pid)
        return there

    def system(self) -> System:
        """Return what /proc/stat and /proc/loadavg say."""
        return SYSTEM._replace(forks=self.forks, last_pid=self.last, uptime_seconds=1000.0)

    def read(self, path: str) -> bytes:
        """Return the status of the reader, or where PIDs end."""
        if path == "/proc/sys/kernel/pid_max":
            return b"%d\n" % PID_MAX
        assert path == "/proc/self/status"
        return b"Name:\ta\nNSpid:\t%d\n" % os.getpid()

    def read_each(self, paths: Iterable[str], whole: int = 0) -> Iterator[bytes | OSError]:  # noqa: ARG002  a Reader has it
        """Yield the stat of tasks."""
        for path in paths:
            pid = int(path.split("/")[2])
            task = self.tasks.get(pid)
            signal = -1 if task and task.is_thread else 17
            state = "Z" if task and task.is_zombie else "S"
            yield (
                STAT.format(pid=pid, state=state, start=task.start, signal=signal).encode()
                if task
                else OSError(errno.ENOENT, "gone")
            )

    def listdir(self, path: str) -> list[str]:
        """Return the processes."""
        assert path == "/proc"
        self.lists += 1
        return [*map(str, self.processes()), "self", "stat"]

    def readlinks(self, directory: str, names: Iterable[str]) -> list[str | OSError]:
        """Return namespaces."""
        assert directory.endswith("/ns")
        return [f"{name}:[4026531836]" for name in names]

    def access(self, path: str) -> bool:
        """Tell whether there is a task: threads too can be looked up."""
        return int(path.split("/")[2]) in self.tasks

    def stat(self, path: str) -> Entry:
        """Return that of a procfs."""
        assert path.startswith("/proc/")
        return Entry(20, 1, 0, 1, 0, 0, 0)


def nothing() -> None:
    """Let nothing happen."""


class Watch:
    """A roster on that kernel, and what it must say."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.absence = Absence()
        self.roster = Roster(kernel, self.absence)
        self._turns = Turns()
        self._before: dict[str, set[int]] = {}
        self._first = True

    def look(
        self, early: Callable[[], None] = nothing, late: Callable[[], None] = nothing, *, refresh: bool = False
    ) -> set[tuple[int, int]]:
        """Bring the roster up to date; return the processes there were when the cgroups' lists were read."""
        kernel, roster = self.kernel, self.roster
        self._turns.begin(0.0, 60.0)
        roster.begin(kernel.system(), self._turns, (), refresh=refresh or self._first)
        early()
        then = set(kernel.processes().items())
        groups = kernel.groups()
        late()
        came = {pid for path, pids in groups.items() for pid in pids - self._before.get(path, set())}
        left = {pid for path, pids in self._before.items() for pid in pids - groups[path]} - came
        roster.update(came, left, [Group(path, frozenset({0}), tuple(pids)) for path, pids in groups.items()])
        self._before, self._first = groups, False
        return then

    def tick(self, early: Callable[[], None], late: Callable[[], None], *, refresh: bool = False) -> None:
        """Look at the processes; things happen before and after the cgroups' lists are read."""
        kernel, roster = self.kernel, self.roster
        at_first = set(kernel.processes().items())
        then = self.look(early, late, refresh=refresh)
        now = set(kernel.processes().items())
        said = {(pid, process.starttime_ticks) for pid, process in roster.processes.items()}
        assert said <= then | now
        assert at_first & now <= said


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("hand out", "show", "fork", "fork", "thread", "die", "die", "reap", "reap", "move")),
        st.integers(0, 1 << 20),
        st.sampled_from(PATHS),
    ),
    max_size=12,
)
Operation = tuple[str, int, str | None]


def perform(kernel: Kernel, operations: list[Operation]) -> None:
    """Let some things happen."""
    for name, number, path in operations:
        if name in ("hand out", "fork", "thread"):
            kernel.hand_out()
        if name in ("show", "fork", "thread") and kernel.handed_out:
            kernel.show(path, thread=name == "thread")
        pids = list(kernel.tasks)
        if not pids:
            continue
        pid = pids[number % len(pids)]
        task = kernel.tasks[pid]
        if name == "die":
            kernel.tasks[pid] = task._replace(is_zombie=True)
        elif name == "reap" and (task.is_zombie or task.is_thread):
            del kernel.tasks[pid]
        elif name == "move":
            kernel.tasks[pid] = task._replace(path=path)


@given(st.integers(RESERVED, PID_MAX), st.lists(st.tuples(OPERATIONS, OPERATIONS, OPERATIONS), max_size=12))
@settings(max_examples=200)
def test_nobody_is_missed_and_nobody_stays(last: int, ticks: list[tuple[list[Operation], ...]]) -> None:
    """Whoever is there all the while a tick takes is known, as he is now; nobody is that was gone before."""
    kernel = Kernel(last)
    watch = Watch(kernel)
    for between, early, late in ticks:
        perform(kernel, between)
        while kernel.handed_out:  # a fork ends within a tick: one that takes longer has its cgroup's list to tell
            kernel.show("/a", thread=False)
        watch.tick(partial(perform, kernel, early), partial(perform, kernel, late))


def pass_by(kernel: Kernel, many: int) -> None:
    """Let many be born that end at once."""
    for _ in range(many):
        kernel.hand_out()
        kernel.handed_out.remove(kernel.last)
    kernel.forks += many


@given(
    st.integers(RESERVED, PID_MAX),
    st.lists(st.tuples(OPERATIONS, st.sampled_from((0, 0, 5, FEW + 1, 690, PID_MAX)), OPERATIONS), max_size=12),
)
def test_a_pid_that_is_handed_out_again(last: int, ticks: list[tuple[list[Operation], int, list[Operation]]]) -> None:
    """However many were born between two looks, nobody is taken for who had his PID before."""
    kernel = Kernel(last)
    watch = Watch(kernel)
    for before, others, since in ticks:
        perform(kernel, before)
        pass_by(kernel, others)
        perform(kernel, since)
        while kernel.handed_out:
            kernel.show("/a", thread=False)
        watch.tick(nothing, nothing)


def quiet(kernel: Kernel) -> Watch:
    """Return a watch that has looked as often as it needs to know who is new."""
    watch = Watch(kernel)
    for _ in range(3):
        kernel.hand_out()
        kernel.show("/a", thread=False)
        watch.tick(nothing, nothing)
    kernel.lists = 0
    return watch


@pytest.mark.parametrize("births", [0, 1, FEW // 2])
def test_few_births_need_no_list(births: int) -> None:
    """While few are born between two ticks /proc is not listed: they are there at the next one, and leave at theirs."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    for _ in range(births):
        kernel.hand_out()
        kernel.show(None, thread=False)
    watch.tick(nothing, nothing)
    assert len(watch.roster.processes) == 4 + births
    for pid in [pid for pid in kernel.tasks if kernel.tasks[pid].path is None]:
        del kernel.tasks[pid]
    watch.tick(nothing, nothing)
    assert (len(watch.roster.processes), kernel.lists) == (4, 0)


def many(kernel: Kernel) -> None:
    """Let more be born than are looked for one by one."""
    for _ in range(FEW + 1):
        kernel.hand_out()
        kernel.show("/a", thread=False)


def anew(kernel: Kernel) -> None:
    """Let PIDs begin anew."""
    kernel.last = PID_MAX - 1
    kernel.hand_out()
    kernel.show("/a", thread=False)


@pytest.mark.parametrize("happens", [many, anew])
def test_what_needs_a_list(happens: Callable[[Kernel], None]) -> None:
    """All are listed when many were born, and when PIDs begin anew."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    happens(kernel)
    watch.tick(nothing, nothing)
    assert kernel.lists == 1
    assert watch.roster.processes.keys() == kernel.processes().keys()


def all_round(kernel: Kernel) -> None:
    """Let so many be born and end that PIDs begin anew, and come as far as they were."""
    for _ in range(PID_MAX - RESERVED - len(kernel.tasks)):
        kernel.hand_out()
        kernel.show(None, thread=False)
        del kernel.tasks[kernel.last]


@pytest.mark.parametrize("happens", [many, anew, all_round])
@pytest.mark.parametrize("after", range(3))
def test_a_pid_that_is_anothers_by_now(happens: Callable[[Kernel], None], after: int) -> None:
    """A process that ended, and whose PID came into the same cgroup again since, is another one at the next look."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    kernel.tasks[kernel.last + after + 1] = kernel.tasks[300] = kernel.tasks[999] = Task(0, "/a")
    watch.tick(nothing, nothing, refresh=True)
    for pid in [pid for pid in kernel.tasks if pid >= RESERVED]:
        del kernel.tasks[pid]
    happens(kernel)
    watch.tick(nothing, nothing)
    watch.tick(nothing, nothing)


def test_many_in_no_cgroup_need_a_list() -> None:
    """A list of all costs less than to look for each of those that no list of members vouches for."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    while len(kernel.tasks) <= FEW:
        kernel.hand_out()
        kernel.show("/a", thread=False)
        watch.tick(nothing, nothing)
    assert kernel.lists == 0
    kernel.tasks = {pid: task._replace(path=None) for pid, task in kernel.tasks.items()}
    watch.tick(nothing, nothing)
    assert kernel.lists == 1


def test_a_list_once_in_a_round() -> None:
    """A process whose maker chose its PID, in no cgroup to be seen, is found when all are listed again."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    kernel.forks += 1
    kernel.tasks[400] = Task(9, None)
    watch.tick(nothing, nothing, refresh=True)
    assert (400 in watch.roster.processes, kernel.lists) == (True, 1)


def test_a_chosen_pid_in_a_cgroup() -> None:
    """In one that is seen it is there at the next tick, as its list of members says."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    kernel.forks += 1
    kernel.tasks[400] = Task(9, "/b")
    watch.tick(nothing, nothing)
    assert (400 in watch.roster.processes, kernel.lists) == (True, 0)


class Elsewhere(Kernel):
    """Shows another PID namespace's processes."""

    def read(self, path: str) -> bytes:
        """Return the status of the reader, who has another number there."""
        assert path == "/proc/self/status"
        return b"Name:\ta\nNSpid:\t%d\t%d\n" % (os.getpid() + 1, os.getpid())


class Covered(Kernel):
    """Has somebody's files over the kernel's own, as lxcfs mounts them."""

    def stat(self, path: str) -> Entry:
        """Return that of a procfs, or not."""
        return super().stat(path)._replace(device=50 if path == "/proc/loadavg" else 20)


class Silent(Kernel):
    """Does not tell how many were born."""

    def system(self) -> System:
        """Return what is left of it."""
        return super().system()._replace(forks=None, last_pid=None)


@pytest.mark.parametrize("kind", [Elsewhere, Covered, Silent])
def test_where_nothing_tells_who_is_new(kind: type[Kernel]) -> None:
    """All are listed at every tick."""
    kernel = kind(500)
    watch = quiet(kernel)
    watch.tick(nothing, nothing)
    assert kernel.lists == 1
    assert watch.roster.processes.keys() == kernel.processes().keys()


class Hidden(Kernel):
    """Refuses all but the names of processes, as with hidepid=1; those of threads can be opened, and are not listed."""

    def read_each(self, paths: Iterable[str], whole: int = 0) -> Iterator[bytes | OSError]:  # noqa: ARG002  a Reader has it
        """Yield refusals."""
        for path in paths:
            there = int(path.split("/")[2]) in self.tasks
            yield OSError(errno.EPERM if there else errno.ENOENT, "refused")


def test_a_thread_that_may_not_be_looked_at_is_no_hidden_process() -> None:
    """Only processes are counted as denied, once they are there and until they end."""
    kernel = Hidden(500)
    watch = Watch(kernel)
    denied = watch.absence.denied
    for _ in range(3):
        kernel.hand_out()
        kernel.show("/a", thread=False)
        watch.look()
    for thread in (True, False, True):
        kernel.hand_out()
        kernel.show(None, thread=thread)
    for _ in range(3):
        denied.clear()
        watch.look()
        assert denied == {f"process {pid}" for pid in kernel.processes()}
    kernel.tasks = {pid: task for pid, task in kernel.tasks.items() if task.is_thread}
    denied.clear()
    watch.look()
    assert denied == set()


def test_a_pid_that_a_thread_took_is_no_process_any_more() -> None:
    """A thread can be opened under its number as a process can, but it is none."""
    kernel = Kernel(500)
    watch = quiet(kernel)
    kernel.tasks[503] = Task(99, "/a", is_thread=True)
    kernel.forks, kernel.last = kernel.forks + 1, 504
    watch.tick(nothing, nothing)
    assert (503 in watch.roster.processes, kernel.lists) == (False, 0)


@pytest.mark.parametrize(("stat", "told"), [(b"", False), (b"1 (a", False), (b"1 (a) R 0", False), (b"x" * 99, False)])
def test_a_stat_that_makes_no_sense_is_of_no_thread(stat: bytes, told: bool) -> None:
    """Whatever the bytes, nothing is raised."""
    assert is_thread(stat) is told


def test_births_need_two_looks_before() -> None:
    """A PID may be handed out at one look and be seen at the next: what was handed out before the last is told too."""
    births = Births(Kernel(500))
    births.check()
    assert births.since(10, 500, 100) is None
    assert births.since(11, 501, 100) is None
    assert births.since(12, 502, 100) == range(501, 503)
    assert births.since(12, 503, 100) == range(0)
    assert births.since(13, 504, 100) == range(502, 505)
    assert births.since(14, 400, 100) is None
    assert births.since(15, 401, 100) is None
    assert births.since(16, 402, 100) == range(401, 403)
    assert births.since(16 + PID_MAX, 402, 100) is None  # all round
