"""What a look at the machine costs, beside what the kernel alone costs in the same run.

    python -m pytest -s tests/bench/bench_inspector.py

Fleets of 10, 200 and 1,000 groups, real ones of this kernel (root only) and made-up ones
on v2 in memory. A tick stands beside its *floor*: the very files it reads, by
the same system calls, with nothing parsed. The list is taken down while a tick
runs, so it is what strace shows. Ticks follow each other at once; of those a
second apart, each looks anew at a part of what is remembered. Then `lsns`, `ps`
and `systemd-cgtop` over the same machine. All is CPU time, user and system. What
is compared is measured in turns, ours and the other one, so that a machine that
changes its speed changes both: the ratio is the median of all turns. Nothing is
asserted of times.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from inspector.document import document
from inspector.kernel.host import Host
from inspector.observe import Observer
from tests.bench import fleet
from tests.testbed.cgroups import hierarchy
from tests.testbed.commands import REPOSITORY

# Groups and processes in each; CGSCOPE_FLEETS="200x1 200x5" asks for fewer (a slow machine, a VM).
SIZES = os.environ.get("CGSCOPE_FLEETS", "10x1 200x1 200x5 200x20 1000x1").split()
FLEETS = [(int(count), int(each)) for count, _, each in (size.partition("x") for size in SIZES)]
ROUNDS = 15
COMMAND_ROUNDS = 5
IN_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs, where there is one
OTHERS = (
    ("lsns",),
    ("ps", "-eo", "pid,cgroup,pidns,netns,comm"),
    ("systemd-cgtop", "--batch", "--iterations=2", "--delay=0.1", "--depth=10"),
)
# As installed: an environment for development may forbid Python to keep what it compiled.
AS_INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
INSTALLED = shutil.which("ctop", path=os.path.dirname(sys.executable))  # none in a VM, which has the sources alone
CTOP = (*((INSTALLED,) if INSTALLED else (sys.executable, "-m", "inspector.ctop")), "--once", "--json", "-d", "0.2")

# What an idle `ctop --jsonl` holds: in a process that imports nothing of the tests.
MEMORY = """
import sys
from inspector.document import document
from inspector.kernel.host import Host
from inspector.observe import Observer
with Host(sys.argv[1]) as host:
    observer = Observer(host)
    document(observer.tick(), observer.tick())
    print(open("/proc/self/statm").read().split()[1])
"""


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the shortest of some runs, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def cost(work: Callable[[], object]) -> float:
    """Return the CPU time (milliseconds) of making something; to let go of it again is left out."""
    start = time.process_time()
    made = work()
    spent = time.process_time() - start
    del made
    return spent * 1000


class Turns(NamedTuple):
    """Milliseconds of ours and of what it is compared with, and how many times as long ours took: medians of turns."""

    ours: float
    other: float
    ratio: float


def in_turns(ours: Callable[[], float], other: Callable[[], float], rounds: int = ROUNDS) -> Turns:
    """Measure one and the other, again and again."""
    turns = [(ours(), other()) for _ in range(rounds)]
    columns = ((one for one, _ in turns), (two for _, two in turns), (one / two for one, two in turns))
    return Turns(*map(statistics.median, columns))


def cpu_of(command: tuple[str, ...]) -> float:
    """Return the CPU time (milliseconds) of a whole run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd=REPOSITORY, env=AS_INSTALLED
    )
    assert command != CTOP or run.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def drain(path: str) -> bytes:
    """Open, read and close a file, as the first tick does."""
    # No contextlib.suppress in what is measured: it costs more than the system call.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 16384)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def peek(descriptor: int) -> bytes:
    """Read a kept file; its process or cgroup may have ended."""
    try:
        return os.pread(descriptor, 16384, 0)
    except OSError:
        return b""


@contextlib.contextmanager
def clock() -> Iterator[Callable[[float], None]]:
    """Let time pass for who asks for the monotonic time: gives what advances it by some seconds."""
    passed, truly = 0.0, time.monotonic

    def advance(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    with patch.object(time, "monotonic", lambda: truly() + passed):
        yield advance


def opened(root: str, ticks: int, make: Callable[[Host], Observer] = Observer) -> list[str]:
    """Return the files that the last of some ticks opens, by their whole paths."""
    return taken(root, ticks, make)[0]


def taken(root: str, ticks: int, make: Callable[[Host], Observer] = Observer) -> tuple[list[str], list[str]]:
    """Return the files that the last of some ticks opens, and the links that it reads; taken down in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        paths: list[str] = []
        links: list[str] = []
        fleet.join(root)
        observer = make(Host(root))
        for _ in range(ticks - 1):
            observer.tick()
        truly, truly_follow = os.open, os.readlink

        def noted(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            paths.append(path if dir_fd is None else os.path.join(truly_follow(f"/proc/self/fd/{dir_fd}"), path))
            return truly(path, flags, mode, dir_fd=dir_fd)

        def followed(path: str) -> str:
            links.append(path)
            return truly_follow(path)

        os.open, os.readlink = noted, followed  # type: ignore[assignment]
        observer.tick()
        files = [path for path in paths if path.startswith("/") and os.path.isfile(path)]
        with os.fdopen(writer, "w", encoding="ascii") as file:
            json.dump((files, links), file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as file:
        files, links = json.load(file)
    os.waitpid(child, 0)
    return files, links


def follow(path: str) -> str:
    """Read a link."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def kept(root: str) -> list[int]:
    """Return this process's open files of the machine: those that a tick keeps."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith((f"{root.rstrip('/')}/sys", f"{root.rstrip('/')}/proc")):
                found.append(int(name))
    return found


def first(root: str) -> float:
    """Return the CPU time (milliseconds) of a first tick."""

    def look() -> object:
        observer = Observer(host)
        return observer, observer.tick()

    with Host(root) as host:
        return cost(look)


def measure(root: str) -> dict[str, float]:
    """Return milliseconds of the ticks and of the floors under them, and the ratios."""
    fleet.join(root)
    (again, links_again), (anew, links_anew) = taken(root, 3), taken(root, 1)
    with Host(root) as host:
        observer = Observer(host)
        before, after = observer.tick(), observer.tick()
        written = min(cost(lambda: document(before, after)) for _ in range(5))
        descriptors = [descriptor for descriptor in kept(root) if peek(descriptor)]
        processes = sum(name.isdigit() for name in host.listdir("/proc"))

        def floor() -> object:
            return [*map(peek, descriptors), *map(drain, again), *map(follow, links_again)]

        tick = in_turns(lambda: cost(observer.tick), lambda: cost(floor))
        with clock() as advance:

            def minute(seconds: float) -> object:
                return [(advance(seconds), observer.tick()) for _ in range(60)]

            apart = in_turns(lambda: cost(lambda: minute(1)), lambda: cost(lambda: minute(0)), 3)
    firsts = in_turns(lambda: first(root), lambda: cost(lambda: [*map(drain, anew), *map(follow, links_anew)]))
    return {
        "containers": sum(one.kind == "container" for one in after.containers),
        "processes": processes,
        "kept": len(descriptors),
        "opened": len(again),
        **dict(zip(("tick", "floor", "tick ratio"), tick, strict=True)),
        **dict(zip(("minute", "at once", "minute ratio"), apart, strict=True)),
        **dict(zip(("first", "first floor", "first ratio"), firsts, strict=True)),
        "document": written,
    }


def measured(root: str) -> dict[str, float]:
    """Measure in a new process."""
    command = [sys.executable, "-m", "tests.bench.bench_inspector", root]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY)
    result: dict[str, float] = json.loads(run.stdout)
    run = subprocess.run([sys.executable, "-c", MEMORY, root], stdout=subprocess.PIPE, text=True, check=True)
    return {**result, "memory": int(run.stdout) * os.sysconf("SC_PAGE_SIZE") / 2**20}


def report(title: str, got: dict[str, float]) -> None:
    """Print one machine's figures."""
    print(
        f"\n{title}: {got['containers']:.0f} containers, {got['processes']:.0f} processes,"
        f" {got['kept']:.0f} files kept open and {got['opened']:.0f} opened a tick, {got['memory']:.0f} MiB"
    )
    for name in ("tick", "first"):
        floor, ratio = got["floor" if name == "tick" else "first floor"], got[f"{name} ratio"]
        print(f"  {name:22} {got[name]:9.2f} ms, floor {floor:8.2f} ms: {ratio:5.2f} times the floor")
    print(f"  {'a tick every second':22} {got['minute'] / 60:9.2f} ms: {got['minute ratio']:5.2f} times at once")
    print(f"  {'document':22} {got['document']:9.2f} ms")


def test_ticks_over_made_up_machines() -> None:
    """A tick over v2 machines in memory, beside its floor; every group is found."""
    for count, each in FLEETS:
        with tempfile.TemporaryDirectory(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as root:
            fleet.fake(Path(root), count, each)
            got = measured(root)
        report(f"v2, made up, {count} x {each}", got)
        assert got["containers"] == count


def test_processes_of_a_container() -> None:
    """A tick over v2 machines in memory with twenty processes a container, beside one with one in each."""
    with standing(200, 20) as twenty, standing(200, 1) as one:
        many, few, ratio = in_turns(lambda: cost(twenty), lambda: cost(one))
    print(f"\nv2, made up, 200 containers of 1 to 20 processes: {few:.2f} to {many:.2f} ms a tick, {ratio - 1:+.0%}")


@contextlib.contextmanager
def standing(count: int, each: int) -> Iterator[Callable[[], object]]:
    """Give a tick over a made-up machine that was looked at before."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as root:
        fleet.fake(Path(root), count, each)
        fleet.join(root)
        with Host(root) as host:
            observer = Observer(host)
            for _ in range(2):
                assert sum(one.kind == "container" for one in observer.tick().containers) == count
            yield observer.tick


@pytest.mark.root
def test_ticks_over_real_groups() -> None:
    """A tick over real groups, beside its floor and the tools that people use; every group is found."""
    version = hierarchy("cpu")[1]
    by_size: dict[tuple[int, int], dict[str, float]] = {}
    for count, each in FLEETS:
        with fleet.real(count, each):
            got = by_size[count, each] = measured("/")
            report(f"v{version}, real, {count} x {each}", got)
            beside(got["tick"])
        assert got["containers"] >= count
    growth(by_size)


def beside(tick: float) -> None:
    """Print the CPU time of other tools over the same machine, and of our command in turns with each."""
    for command in OTHERS:
        if shutil.which(command[0]) is None:
            print(f"  {command[0]:22} not installed")
            continue
        other, ours, ratio = in_turns(lambda: cpu_of(command), lambda: cpu_of(CTOP), COMMAND_ROUNDS)  # noqa: B023
        print(f"  {command[0]:22} {other:9.2f} ms of CPU: {other / tick:5.1f} ticks,", end=" ")
        print(f"{ratio:5.2f} times ctop --once --json, which takes {ours:.2f} ms")


def growth(by_size: dict[tuple[int, int], dict[str, float]]) -> None:
    """Print what twenty processes a container cost over one."""
    if not {(200, 1), (200, 20)} <= by_size.keys():
        return
    one, twenty = by_size[200, 1]["tick"], by_size[200, 20]["tick"]
    print(f"\n  200 containers of 1 to 20 processes: {one:.2f} to {twenty:.2f} ms a tick, {twenty / one - 1:+.0%}")


if __name__ == "__main__":
    json.dump(measure(sys.argv[1]), sys.stdout)
