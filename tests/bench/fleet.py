"""Fleets to measure on: many namespaced, quota-limited groups of sleeping processes, real or made up.

A real one is made by a child of ours (`python -m tests.bench.fleet PARENT COUNT EACH`) that joins a group's cgroups,
leaves its namespaces and forks: a group is there in a few milliseconds, and all of it ends with the child.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from inspector.kernel.host import Host
from sandbox import syscalls
from tests.fakehost import FakeHost
from tests.testbed.cgroups import hierarchy, write

__all__ = ["fake", "join", "real"]

FIRST_PID = 4_000_000  # of a made-up machine: who looks at it, by a real PID (join()), is none of these
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "freezer")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io")
UNIFIED = "/sys/fs/cgroup/unified"
NEW = {
    "pid": syscalls.CLONE_NEWPID,
    "mnt": syscalls.CLONE_NEWNS,
    "net": syscalls.CLONE_NEWNET,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
}
SETTLED_SECONDS = 2.6  # by then no process counts as one that is still being set up
STAT = "anon file kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped \
file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file \
unevictable slab_reclaimable slab_unreclaimable slab workingset_refault_anon workingset_refault_file \
workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file \
workingset_nodereclaim pgscan pgsteal pgscan_kswapd pgscan_direct pgscan_khugepaged pgsteal_kswapd pgsteal_direct \
pgsteal_khugepaged pgfault pgmajfault pgrefill pgactivate pgdeactivate pglazyfree pglazyfreed zswpin zswpout \
thp_fault_alloc thp_collapse_alloc"
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
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
    "memory.stat": "".join(f"{name} {4096 * number}\n" for number, name in enumerate(STAT.split())),
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "pids.current": "5\n",
    "pids.max": "max\n",
    "pids.events": "max 0\n",
    "io.stat": "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
    "cpu.pressure": PRESSURE,
    "memory.pressure": PRESSURE,
    "io.pressure": PRESSURE,
    "cgroup.events": "populated 1\nfrozen 0\n",
}


def fake(root: Path, count: int, each: int) -> Host:
    """Return a made-up v2 machine with Docker's scopes, `each` processes in each."""
    machine = FakeHost(root, "v2").cgroup("", "/system.slice", FILES)
    machine.cgroup("", "/", {"cgroup.stat": f"nr_descendants {count + 1}\nnr_dying_descendants 0\n"})
    stat = Path(f"{root}/proc/stat")
    stat.write_text(f"{stat.read_text(encoding='ascii')}processes {1000 + count * each}\n", encoding="ascii")
    for number in range(count):
        path = f"/system.slice/docker-{number:064x}.scope"
        machine.cgroup("", path, FILES)
        spaces = {kind: 4026540000 + number + 10000 * place for place, kind in enumerate(NEW)}
        for process in range(each):
            machine.process(FIRST_PID + number * each + process, "sleep", cgroups=path, namespaces=spaces)
    return machine.open()


def join(root: str, pid: int | None = None) -> None:
    """Make a process, this one by default, the one of a made-up machine that looks: on a real one it always is."""
    if not root.rstrip("/"):
        return
    pid = pid or os.getpid()
    place = Path(root, "proc", str(pid))
    if not place.exists():
        shutil.copytree(place.parent / "1", place, symlinks=True)
    for name, old, new in (("stat", "1 (", f"{pid} ("), ("status", "NSpid:\t1\n", f"NSpid:\t{pid}\n")):
        text = (place / name).read_text(encoding="ascii")
        (place / name).write_text(text.replace(old, new), encoding="ascii")
    (place.parent / "self").unlink()
    (place.parent / "self").symlink_to(str(pid))


@contextlib.contextmanager
def real(count: int, each: int) -> Iterator[None]:
    """Make `count` groups of `each` sleeping processes, in cgroups and namespaces of their own; needs root."""
    name = f"cgscope-bench-{os.getpid()}"
    parents = [f"{mount}/{name}" for mount in dict.fromkeys(hierarchy(one)[0] for one in CONTROLLERS)]
    if os.path.isdir(UNIFIED):
        parents.append(f"{UNIFIED}/{name}")
    command = [sys.executable, "-m", "tests.bench.fleet", str(count), str(each), *parents]
    child = None
    try:
        for parent in parents:
            _make(parent)
            _delegate(parent)
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(SETTLED_SECONDS)
        yield
    finally:
        if child is not None:
            child.communicate()
        for parent in parents:
            _remove(parent)


def _make(directory: str, quota: str | None = None) -> None:
    """Make a cgroup; a cpuset takes no process before it has CPUs and memory nodes, here its parent's."""
    os.mkdir(directory)
    for name in ("cpuset.cpus", "cpuset.mems"):
        above = Path(os.path.dirname(directory), name)
        if os.path.exists(f"{directory}/{name}") and above.exists():
            write(f"{directory}/{name}", above.read_text(encoding="ascii"))
    for name in ("cpu.cfs_quota_us", "cpu.max"):
        if quota is not None and os.path.exists(f"{directory}/{name}"):
            write(f"{directory}/{name}", quota)


def _delegate(directory: str) -> None:
    """Give the children of a v2 cgroup every controller that we measure."""
    for place in (os.path.dirname(directory), directory):
        if os.path.exists(f"{place}/cgroup.subtree_control"):
            there = Path(place, "cgroup.controllers").read_text(encoding="ascii").split()
            write(f"{place}/cgroup.subtree_control", " ".join(f"+{name}" for name in there if name in V2_CONTROLLERS))


def _remove(parent: str) -> None:
    """Remove a cgroup and its children; a process that has ended leaves its cgroup a moment later."""
    with contextlib.suppress(FileNotFoundError):
        for name in [*os.listdir(parent), ""]:
            for _ in range(100):
                with contextlib.suppress(NotADirectoryError):
                    try:
                        os.rmdir(f"{parent}/{name}")
                    except OSError as error:
                        if isinstance(error, NotADirectoryError):
                            raise
                        time.sleep(0.1)
                        continue
                break


def _populate(parents: list[str], count: int, each: int) -> list[int]:
    """Make the groups and return the first process of each."""
    homes = {kind: os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in NEW}
    first = []
    for number in range(count):
        for parent in parents:
            _make(f"{parent}/{number}", "50000")
            write(f"{parent}/{number}/cgroup.procs", "0")
        syscalls.unshare(sum(NEW.values()))
        pid = os.fork()
        if pid == 0:
            _sleep(each)
        first.append(pid)
        for home in homes.values():
            syscalls.setns(home, 0)
    for parent in parents:
        place = parent
        if os.path.exists(f"{parent}/cgroup.subtree_control"):  # on v2 only a leaf may hold processes
            place = f"{parent}/home"
            os.mkdir(place)
        write(f"{place}/cgroup.procs", "0")
    return first


def _sleep(each: int) -> None:
    """Be a group's first process: fork the others and sleep."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    for _ in range(each - 1):
        if os.fork() == 0:
            break
    for descriptor in range(3):
        os.close(descriptor)
    while True:
        signal.pause()


def main() -> None:
    """Make the groups, say so, and end them when the standard input ends."""
    count, each, *parents = sys.argv[1:]
    first = _populate(parents, int(count), int(each))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    for pid in first:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
