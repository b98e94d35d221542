"""Ticks while processes are born and die by the hundred: nothing is wrong, doubled or leaked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from inspector.document import document
from inspector.kernel import ahead
from inspector.kernel.host import Host
from inspector.model import Observation
from inspector.observe import Observer
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import REPOSITORY

pytestmark = pytest.mark.root

SECONDS = 6.0
MOST_SECONDS = 120.0  # a busy machine takes long for a tick
SEEN = 80
BORN_PER_SECOND = 200
GROUPS = 4
# Starts short-lived processes, in turn in each of some cgroups and every other one in new namespaces; it does not make
# up for the time that it was kept waiting.
FORKER = f"""
import os, sys, time
from sandbox.syscalls import CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, unshare
groups, number = sys.argv[1:], 0
while os.getppid() == {os.getpid()}:
    number += 1
    if os.fork() == 0:
        try:
            with open(groups[number % len(groups)] + "/cgroup.procs", "w") as file:
                file.write("0")
            if number % 2:
                unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC)
                inner = os.fork()
                if inner:
                    os.waitpid(inner, 0)
            time.sleep(0.05 * (number % 7))
        finally:
            os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    time.sleep({1 / BORN_PER_SECOND})
"""


@pytest.fixture
def churn() -> Iterator[subprocess.Popen[bytes]]:
    """Make processes that come and go in some groups below one of ours."""
    with CpuGroup(f"cgscope-churn-{os.getpid()}") as parent:
        groups = [parent.child(str(number)) for number in range(GROUPS)]
        for group in groups:
            group.__enter__()
        forker = subprocess.Popen(
            [sys.executable, "-c", FORKER, *(group.directory for group in groups)],
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": REPOSITORY},
        )  # fmt: skip
        try:
            yield forker
        finally:
            forker.kill()
            forker.wait()
            for group in groups:
                group.__exit__()


def check(tick: Observation) -> None:
    """Hold one tick against what must be true of every one."""
    ids = [one.id for one in tick.containers]
    assert len(ids) == len(set(ids))
    held = [pid for one in tick.containers if one.kind == "container" for pid in one.members]
    assert len(held) == len(set(held))
    assert all(one.parent != one.id for one in tick.containers)
    assert {one.parent for one in tick.containers} - {None} <= set(ids)
    assert tick.problems == ()


@pytest.mark.parametrize("in_full", [False, True], ids=["as in ctop", "as in the exporter, ahead"])
def test_ticks_amid_births_and_deaths(
    in_full: bool, churn: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 processes a second born and dying no id comes twice, no process is in two, no descriptor is leaked."""
    monkeypatch.setattr(ahead, "WORTH_IT", 1)
    with Host() as host:
        observer = Observer(host, processes=True, in_full=in_full)
        before = observer.tick()
        seen: set[str] = set()
        descriptors = []
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < SECONDS or (len(seen) <= SEEN and passed < MOST_SECONDS):
            tick = observer.tick()
            check(tick)
            written = document(before, tick)
            ratios = [one["cpu"]["usage_cores"] for one in written["containers"]]
            assert all(cores is None or cores >= 0 for cores in ratios)
            seen |= {one.id for one in tick.containers}
            descriptors.append(len(os.listdir("/proc/self/fd")))
            before = tick
            time.sleep(0.05)
        assert churn.poll() is None
    assert len(seen) > SEEN  # it did see them come and go
    middle = len(descriptors) // 2
    assert max(descriptors[middle:]) < 1.5 * max(descriptors[:middle]) + 50
    assert len(os.listdir("/proc/self/fd")) < min(descriptors)
