"""Control groups made and read with nothing but mkdir, open and write: the oracle for what our tools say.

Deliberately no code of the inspector: both may then be wrong, but not in the same way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.testbed.commands import BUSY_LOOP
from tests.testbed.leaks import remove_cgroups

PERIOD_US = 100_000
PATIENCE_SECONDS = 120.0


def read(path: str) -> str:
    """Return a control file's text."""
    with open(path, encoding="ascii") as file:
        return file.read()


def disk() -> str | None:
    """Return a whole disk of this machine."""
    found = sorted(f"/dev/{name}" for name in os.listdir("/sys/block") if not name.startswith(("loop", "ram", "zram")))
    return next((path for path in found if os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode)), None)


def write(path: str, text: str) -> None:
    """Write a control file."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def hierarchy(controller: str) -> tuple[str, int]:
    """Return where a controller is mounted, and its cgroup version."""
    unified = None
    for line in read("/proc/self/mounts").splitlines():
        _, mountpoint, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return mountpoint, 1
        if kind == "cgroup2":
            unified = mountpoint
    assert unified is not None, f"no mounted hierarchy carries {controller}"
    return unified, 2


def path_of(pid: int, controller: str) -> str:
    """Return the directory of the cgroup that holds a process for one controller."""
    mountpoint, version = hierarchy(controller)
    for line in read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if (version == 2 and not controllers) or (version == 1 and controller in controllers.split(",")):
            return mountpoint + path
    raise AssertionError(f"process {pid} is in no {controller} cgroup")


def control(pid: int, controller: str, v1: str, v2: str | None = None) -> str:
    """Return what a process's cgroup has in the file that is called so in this machine's version of the controller."""
    name = v1 if v2 is None or hierarchy(controller)[1] == 1 else v2
    return read(f"{path_of(pid, controller)}/{name}").strip()


def usage_seconds(pid: int) -> float:
    """Return the CPU time that the kernel charged to a process's cgroup, from the cgroup's own file."""
    _, version = hierarchy("cpuacct")
    if version == 1:
        return int(read(path_of(pid, "cpuacct") + "/cpuacct.usage")) / 1e9
    return statistics(path_of(pid, "cpu"))["usage_usec"] / 1e6


def statistics(directory: str) -> dict[str, int]:
    """Return a cgroup's cpu.stat."""
    return {key: int(value) for key, value in (line.split() for line in read(f"{directory}/cpu.stat").splitlines())}


def favour(directory: str) -> dict[str, str]:
    """Let a cpu cgroup, up to its quota, go before everybody else; return its weight and those above it as they were.

    Then a busy machine keeps nothing of the quota back. Without one it would keep everybody else from the CPUs.
    """
    mountpoint, version = hierarchy("cpu")
    name, most = ("cpu.shares", "262144") if version == 1 else ("cpu.weight", "10000")
    before = {}
    while directory != mountpoint:  # the groups above it compete with the rest
        before[f"{directory}/{name}"] = read(f"{directory}/{name}")
        write(f"{directory}/{name}", most)
        directory = os.path.dirname(directory)
    return before


@contextlib.contextmanager
def favoured(directory: str) -> Iterator[None]:
    """Favour a cpu cgroup for a while."""
    before = favour(directory)
    try:
        yield
    finally:
        for file, weight in before.items():
            with contextlib.suppress(OSError):  # the cgroup may be gone
                write(file, weight)


@dataclass
class CpuGroup:
    """A plain control group: a directory under the cpu controller, with no namespaces and no runtime.

    A context manager: at its end the processes in it are killed and the directory is removed.
    """

    name: str
    parent: CpuGroup | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path in its hierarchy, as /proc/<pid>/cgroup and our tools give it."""
        return f"{self.parent.path if self.parent else ''}/{self.name}"

    @property
    def directory(self) -> str:
        """Where it is mounted."""
        return hierarchy("cpu")[0] + self.path

    def __enter__(self) -> Self:
        self._remove(0)  # what a run that was killed has left
        os.mkdir(self.directory)
        return self

    def _remove(self, seconds: float) -> None:
        remove_cgroups([directory for directory, _, _ in os.walk(self.directory)], seconds)

    def __exit__(self, *exception: object) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        # A process that has ended leaves its cgroup a moment later.
        self._remove(PATIENCE_SECONDS)
        assert not os.path.exists(self.directory), f"{self.directory} is still in use"

    def child(self, name: str) -> CpuGroup:
        """Return a group below this one; on v2 the cpu controller is passed on to it."""
        if hierarchy("cpu")[1] == 2:
            write(f"{self.directory}/cgroup.subtree_control", "+cpu")
        return CpuGroup(name, parent=self)

    def set_quota(self, quota_us: int) -> None:
        """Allow so many microseconds of CPU time in each 100 ms, and see that it can have them."""
        favour(self.directory)
        if hierarchy("cpu")[1] == 1:
            write(f"{self.directory}/cpu.cfs_period_us", str(PERIOD_US))
            write(f"{self.directory}/cpu.cfs_quota_us", str(quota_us))
        else:
            write(f"{self.directory}/cpu.max", f"{quota_us} {PERIOD_US}")

    def burn(self) -> int:
        """Start a busy loop in it and return its PID."""
        # The shell joins before it becomes the loop, so all of the loop's time is charged here.
        joined = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', self.directory, *BUSY_LOOP]
        worker = subprocess.Popen(joined, stdin=subprocess.DEVNULL)
        self.workers.append(worker)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while path_of(worker.pid, "cpu") != self.directory:
            assert worker.poll() is None, "the busy loop ended"
            assert time.monotonic() < deadline, "the busy loop did not join its cgroup"
            time.sleep(0.01)
        return worker.pid
