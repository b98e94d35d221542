"""What a look at the machine costs, beside what the kernel alone costs in the same run.

    python -m pytest -s tests/bench/bench_tick.py

Three machines: 200 cgroups of 5 processes each in files on a disk (v2), the
same of real `sleep` processes in v1 cgroups (root only), and this one as it is.
The floor is a plain pread of the very files a tick keeps open; the first tick
stands beside `lsns`. Absolute times are the machine's; the ratios are what counts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.document import document
from inspector.kernel.host import Host
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.testbed.cgroups import hierarchy, write

GROUPS = 200
EACH = 5
ROUNDS = 15
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "freezer")
SCOPE = "/system.slice/docker-{:064x}.scope"
FILES = {
    "cpu.max": "20000 100000\n",
    "cpu.max.burst": "0\n",
    "cpu.weight": "100\n",
    "cpu.stat": "usage_usec 1009213\nuser_usec 1001211\nsystem_usec 8002\nnr_periods 51\nnr_throttled 50\n"
    "throttled_usec 3999400\nnr_bursts 0\nburst_usec 0\n",
    "cpuset.cpus.effective": "0-3\n",
    "cpuset.mems.effective": "0\n",
    "memory.current": "12345678\n",
    "memory.peak": "22345678\n",
    "memory.max": "67108864\n",
    "memory.high": "max\n",
    "memory.low": "0\n",
    "memory.min": "0\n",
    "memory.swap.current": "0\n",
    "memory.swap.max": "max\n",
    "memory.stat": "".join(f"{name} 4096\n" for name in ("anon", "file", "kernel", "inactive_file", "active_anon"))
    + "".join(f"other_{number} 0\n" for number in range(40)),
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    "pids.current": "5\n",
    "pids.max": "max\n",
    "pids.events": "max 0\n",
    "io.stat": "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
}


def best(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the shortest of some runs, in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def kept_descriptors(root: str) -> list[int]:
    """Return this process's open files below a root and in /sys/fs/cgroup: those that a tick keeps."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith(("/sys/fs/cgroup", "/proc")) or (root and target.startswith(root)):
                found.append(int(name))
    return found


def measure(title: str, host: Host, root: str = "") -> None:
    """Print the cost of a first tick, of a later one, and of the floor under it."""
    with host:
        observer = Observer(host)
        start = time.perf_counter()
        before = observer.tick()
        first = (time.perf_counter() - start) * 1000
        after = observer.tick()
        kept = kept_descriptors(root)
        tick = best(observer.tick)
        floor = best(lambda: [os.pread(fd, 16384, 0) for fd in kept])
        writing = best(lambda: document(before, after))
    print(f"\n{title}: {len(after.containers)} containers and groups, {len(kept)} files kept open")  # noqa: T201
    print(f"tick       {tick:8.2f} ms, {tick / floor:.1f} times the floor")  # noqa: T201
    print(f"  floor    {floor:8.2f} ms (pread of the kept files)")  # noqa: T201
    print(f"document   {writing:8.2f} ms")  # noqa: T201
    print(f"first tick {first:8.2f} ms", end="")  # noqa: T201
    if shutil.which("lsns"):
        lsns = best(lambda: subprocess.run(["lsns"], capture_output=True, check=False), 3)
        print(f"; lsns of this machine {lsns:.2f} ms: {lsns / first:.1f} times that", end="")  # noqa: T201
    print()  # noqa: T201
    assert after.containers


def test_a_tick_over_files(tmp_path: Path) -> None:
    """A tick over 200 Docker scopes of a made-up v2 machine sees every one of them."""
    fake = FakeHost(tmp_path, "v2").cgroup("", "/system.slice", FILES)
    for number in range(GROUPS):
        path = SCOPE.format(number)
        fake.cgroup("", path, FILES)
        for process in range(EACH):
            spaces = {"pid": 4026540000 + number, "mnt": 4026550000 + number, "net": 4026560000 + number}
            fake.process(1000 + number * EACH + process, "sleep", cgroups=path, namespaces=spaces)
    measure("v2, made up", fake.open(), str(tmp_path))


def test_a_tick_over_this_machine() -> None:
    """A tick over this machine, as it is."""
    measure("this machine", Host())


@pytest.fixture
def sleepers() -> Iterator[None]:
    """200 cgroups in every v1 hierarchy of ours, with 5 `sleep` processes in each."""
    places = {name: hierarchy(name) for name in CONTROLLERS}
    if any(version == 2 for _, version in places.values()):  # noqa: PLR2004  the versions have no better name
        pytest.skip("cgroup v1 is not mounted here")
    parents = [f"{mount}/cgscope-bench-{os.getpid()}" for mount in sorted({mount for mount, _ in places.values()})]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for parent in parents:
            make(parent)
        for number in range(GROUPS):
            directories = [f"{parent}/{number}" for parent in parents]
            for directory in directories:
                make(directory)
            for _ in range(EACH):
                workers.append(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL))
                for directory in directories:
                    write(f"{directory}/cgroup.procs", str(workers[-1].pid))
        yield
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
        for parent in parents:
            remove(parent)


def make(directory: str) -> None:
    """Make a cgroup; a cpuset takes no process before it has CPUs and memory nodes, here its parent's."""
    os.mkdir(directory)
    for name in ("cpuset.cpus", "cpuset.mems"):
        if os.path.exists(f"{directory}/{name}"):
            write(f"{directory}/{name}", Path(os.path.dirname(directory), name).read_text(encoding="ascii"))


def remove(parent: str) -> None:
    """Remove a cgroup and its children; a process that has ended leaves its cgroup a moment later."""
    for directory, _, _ in os.walk(parent, topdown=False):
        for _ in range(50):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
                break
            time.sleep(0.1)


@pytest.mark.root
def test_a_tick_over_real_cgroups(sleepers: None) -> None:
    """A tick over 1,000 real processes in 200 real v1 cgroups."""
    measure("v1, real", Host())
