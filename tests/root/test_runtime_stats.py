"""`podman stats` and `lxc-info` beside our figures for the same container, which burns CPU and holds page cache.

Both programs read the cgroup's own files, as we do: what they say all the
while is what we must say of the moments that our document is of.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from inspector.schema import Document
from tests.testbed import runtimes
from tests.testbed.commands import ctop_document, find
from tests.testbed.processes import until
from tests.testbed.watching import Watch

pytestmark = pytest.mark.root

CACHE = 16 << 20
# The file is written before the loop: from then on the memory stands still.
LOAD = ("sh", "-c", f"busybox head -c {CACHE} /dev/zero > /tmp/file; while :; do :; done")
BURST_SECONDS = 0.02  # the loop's fifth of 0.1 s
SLACK_BYTES = 256 << 10  # what the kernel itself holds for the cgroup comes and goes

Figures = tuple[float, ...]  # CPU seconds, bytes of memory with page cache


class Beside(NamedTuple):
    """A container by name, what ctop says, when that had ended, and what the runtime's program said meanwhile."""

    name: str
    document: Document
    ended: float
    watch: Watch


@contextlib.contextmanager
def podman(name: str) -> Iterator[Callable[[], Figures]]:
    """Run the load at a fifth of a core with Podman; gives what `podman stats` says."""
    with runtimes.podman(name, "--cpu-quota", "20000", "--memory", "256m", command=LOAD) as box:
        assert box.tool is not None
        ask = box.tool

        def figures() -> Figures:
            fields = "{{.CPUNano}} {{.ContainerStats.MemUsage}}"
            shown = ask("stats", "--no-stream", "--format", fields, name).split()
            return int(shown[0]) / 1e9, int(shown[1])

        yield figures


@contextlib.contextmanager
def lxc(name: str) -> Iterator[Callable[[], Figures]]:
    """Run the load at a fifth of a core with LXC; gives what `lxc-info` says."""
    limits = ("lxc.cgroup.cpu.cfs_quota_us = 20000", "lxc.cgroup.memory.limit_in_bytes = 256M")
    with runtimes.lxc(name, *limits, command=LOAD) as box:
        assert box.tool is not None
        ask = box.tool

        def figures() -> Figures:
            lines = (line.split(":") for line in ask("info", "-H", "-S").splitlines())
            shown = {name: int(value) for name, value in lines}
            return shown["CPU use"] / 1e9, shown["Memory use"]

        yield figures


@pytest.fixture(params=[podman, lxc], ids=["podman stats", "lxc-info"], scope="module")
def beside(request: pytest.FixtureRequest) -> Iterator[Beside]:
    """Look at the burning container with ctop while the runtime's program does."""
    name = f"stats-{request.param.__name__}"
    with request.param(name) as figures:
        until(lambda: figures()[0] > 0.1 and figures()[1] > CACHE, "the load")
        with Watch(figures, pause_seconds=0.1) as watch:
            document = ctop_document("-d", "2")
            ended = time.time()
        yield Beside(name, document, ended, watch)


def test_cpu_is_the_programs(beside: Beside) -> None:
    """Total and rate are the program's, and no more than the fifth of a core that is allowed."""
    name, document, ended, watch = beside
    cpu, now, interval = find(document, name)["cpu"], document["taken_at"], document["interval_seconds"]
    assert cpu["source"] == "cgroup"
    assert interval is not None
    assert cpu["usage_seconds"] is not None
    assert cpu["usage_cores"] is not None
    # A document's figures are read after `taken_at`: at once where the machine is not busy.
    least, most = watch.between(now, ended)[0]
    assert least - 1e-6 <= cpu["usage_seconds"] <= most + BURST_SECONDS  # ours is in whole microseconds
    least, most = watch.between(now - interval, now)[0]
    assert least - 1e-6 <= cpu["usage_seconds"] - cpu["usage_cores"] * interval <= most + BURST_SECONDS
    # No more than the fifth of that time, by a burst; on a busy machine it may be less.
    assert 0 < cpu["usage_cores"] * interval <= 0.2 * (ended - now + interval) + BURST_SECONDS


def test_memory_is_the_programs(beside: Beside) -> None:
    """Both count page cache: that is our `usage_bytes`. The working set leaves out what was only written."""
    name, document, ended, watch = beside
    memory = find(document, name)["memory"]
    assert memory["usage_bytes"] is not None
    assert memory["working_set_bytes"] is not None
    least, most = watch.between(document["taken_at"], ended)[1]
    assert least - SLACK_BYTES <= memory["usage_bytes"] <= most + SLACK_BYTES
    assert memory["file_bytes"] == pytest.approx(CACHE, abs=1 << 20)
    assert memory["working_set_bytes"] < memory["usage_bytes"] - CACHE + (1 << 20)
