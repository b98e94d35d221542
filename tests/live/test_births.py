"""The processes of this machine without a list of all, beside that list, while many are born and die."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from inspector.absence import Absence
from inspector.collect import Collector
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.process import list_pids, read_stat
from inspector.kernel.stat_brief import is_thread

BORN_PER_SECOND = 200
SHORTENED = 10  # so many ticks without a list are waited for, or for one of them, where a tick takes long
SECONDS, MOST_SECONDS = 12.0, 300.0
# Processes and threads that live for up to a third of a second; every seventh process is a zombie for as long again.
FORKER = f"""
import os, threading, time
left, number = [], 0
while os.getppid() == {os.getpid()}:
    number += 1
    child = os.fork()
    if child == 0:
        if number % 3 == 0:
            threading.Thread(target=time.sleep, args=(0.01 * (number % 30),)).start()
        time.sleep(0.02 * (number % 10))
        os._exit(0)
    left.append((time.monotonic() + (0.6 if number % 7 == 0 else 0.2), child))
    while left and left[0][0] < time.monotonic():
        os.waitpid(left.pop(0)[1], 0)
    time.sleep({1 / BORN_PER_SECOND})
"""


class Counting(Host):
    """Counts how often the processes are listed."""

    lists = 0

    def listdir(self, path: str) -> list[str]:
        """List, and count."""
        self.lists += path == "/proc"
        return super().listdir(path)


@pytest.fixture
def storm() -> Iterator[subprocess.Popen[bytes]]:
    """Let processes and threads be born by the hundred a second."""
    forker = subprocess.Popen([sys.executable, "-c", FORKER], stdin=subprocess.DEVNULL)
    try:
        yield forker
    finally:
        forker.kill()
        forker.wait()


def listed(host: Host) -> dict[int, int]:
    """Return when each process started that /proc lists, threads of the kernel left out."""
    found = {}
    for pid in list_pids(host):
        try:
            stat = read_stat(host, pid)
        except (OSError, ParseError):
            continue
        if not stat.is_kernel_thread:
            found[pid] = stat.starttime_ticks
    return found


def test_the_same_as_a_list_of_all(storm: subprocess.Popen[bytes]) -> None:
    """Who is in a list before a tick and in one after it is known to the tick; who is in neither was born meanwhile."""
    with Counting() as host, Host() as other:
        collector = Collector(host, absence := Absence())
        shortened = 0
        begun = time.monotonic()
        while shortened < SHORTENED and time.monotonic() - begun < (SECONDS if shortened else MOST_SECONDS):
            now = float(other.read("/proc/uptime").split()[0])
            before = set(listed(other).items())
            collector.begin()
            lists = host.lists
            there = collector.census().processes
            collector.end({})
            host.end_tick()
            shortened += host.lists == lists
            after = set(listed(other).items())
            known = {(pid, process.starttime_ticks) for pid, process in there.items()}
            assert before & after <= known
            tick = os.sysconf("SC_CLK_TCK")
            assert all(start / tick > now - 0.02 for _, start in known - before - after)  # both are cut off
            assert absence.problems == []
            time.sleep(0.05)
        assert storm.poll() is None
    assert shortened


def test_threads_are_told_by_their_stat() -> None:
    """A thread's own number can be opened as a process's can: its stat says that it is none."""
    ready, done = threading.Event(), threading.Event()
    numbers: list[int] = []

    def wait() -> None:
        numbers.append(threading.get_native_id())
        ready.set()
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    try:
        with Host() as host:
            assert is_thread(host.read(f"/proc/{numbers[0]}/stat"))
            assert not is_thread(host.read(f"/proc/{os.getpid()}/stat"))
            assert numbers[0] not in list_pids(host)
    finally:
        done.set()
        thread.join()
