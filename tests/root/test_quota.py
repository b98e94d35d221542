"""The main job: a busy loop under a CPU quota, measured from outside, from inside, and by the kernel's own files."""

from __future__ import annotations

import json
import sys
import threading
import time
from bisect import bisect
from collections.abc import Iterator
from typing import Self

import pytest

from inspector.schema import Container, Document
from tests.testbed import cgroups
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import BUSY_LOOP, Sandbox, ctop_document, find

pytestmark = [pytest.mark.root, pytest.mark.vm]

QUOTA = ("--cpu-quota", "20000", "--cpu-period", "100000")
SECONDS = "5"
# A throttled loop runs in bursts of its quota, so two looks a moment apart can differ by one of them.
BURST_SECONDS = 0.02


class UsageFile:
    """A thread that reads a cgroup's own usage file all the time, to know what it said at any moment."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._times: list[float] = []
        self._seconds: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self._seconds.append(cgroups.usage_seconds(self._pid))
            self._times.append(time.time())

    def at(self, moment: float) -> float:
        """Return the CPU seconds that the file said at a moment (seconds since the epoch)."""
        return self._seconds[min(bisect(self._times, moment), len(self._seconds) - 1)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def busy(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the busy loop in a container limited to a fifth of a core; give its name."""
    name = f"busy-{request.node.name.replace('_', '-')}"[:40]
    sandbox.start(name, *QUOTA, "--", *BUSY_LOOP)
    yield name
    sandbox("rm", "-f", name)


def assert_throttled_to_a_fifth(container: Container) -> None:
    """Check what a loop at 20000/100000 must look like."""
    cpu = container["cpu"]
    assert cpu["source"] == "cgroup"
    assert cpu["usage_cores"] == pytest.approx(0.2, abs=0.02)
    assert cpu["limit_cores"] == pytest.approx(0.2)
    assert cpu["limit_ratio"] == pytest.approx(1.0, abs=0.1)
    assert (cpu["quota_us"], cpu["period_us"]) == (20_000, 100_000)
    assert cpu["throttled_ratio"] is not None
    assert cpu["throttled_ratio"] > 0.8


def test_a_quota_is_measured_from_outside(sandbox: Sandbox, busy: str) -> None:
    """From the host the loop uses 0.2 cores, all of its limit, throttled, and as the cgroup's own file says."""
    with UsageFile(sandbox.pid(busy)) as file:
        document = ctop_document("-d", SECONDS)
    container = find(document, busy)
    assert_throttled_to_a_fifth(container)
    assert container["cpu"]["limit_set_by"] == container["cgroups"]["cpu"]
    assert container["cpu"]["throttled_by"] == container["cgroups"]["cpu"]
    assert container["runtime"] == "sandbox"
    assert_equals_the_file(document, container, file)


def assert_equals_the_file(document: Document, container: Container, file: UsageFile) -> None:
    """Check total and rate against the kernel's own figure for the same moments, within 2 % and one burst."""
    interval = document["interval_seconds"]
    assert interval is not None
    total = file.at(document["taken_at"])
    assert container["cpu"]["usage_seconds"] == pytest.approx(total, rel=0.02, abs=BURST_SECONDS)
    used = total - file.at(document["taken_at"] - interval)
    assert container["cpu"]["usage_cores"] == pytest.approx(used / interval, rel=0.02, abs=BURST_SECONDS / interval)


def test_a_quota_is_measured_from_inside(sandbox: Sandbox, busy: str) -> None:
    """The same command inside the container says the same of it: usage, limit and throttling."""
    command = [sys.executable, "-B", "-m", "inspector.ctop", "--json", "-d", SECONDS]
    # Python starts on what the busy loop leaves it of a fifth of a core: slow where the machine is emulated.
    inside: Document = json.loads(sandbox("exec", busy, *command, timeout=300).stdout)
    assert inside["viewpoint"]["inside_container"] is True
    own = next(c for c in inside["containers"] if c["id"] == inside["viewpoint"]["self"])
    assert_throttled_to_a_fifth(own)


def test_a_plain_control_group_goes_from_a_core_to_a_fifth() -> None:
    """A directory made under the cpu controller shows its loop at one core, and at 0.2 once its quota is 20000."""
    with CpuGroup("cgscope-test-plain") as group:
        group.burn()
        before = find(ctop_document("-a", "-d", "2"), group.path)["cpu"]
        assert before["usage_cores"] == pytest.approx(1.0, abs=0.15)
        assert before["quota_us"] is None
        group.set_quota(20_000)
        time.sleep(0.2)
        after = find(ctop_document("-a", "-d", SECONDS), group.path)
        assert after["kind"] == "cgroup"
        assert after["cpu"]["usage_cores"] == pytest.approx(0.2, abs=0.02)
        assert after["cpu"]["limit_cores"] == pytest.approx(0.2)
        assert after["cpu"]["throttled_ratio"] is not None
        assert after["cpu"]["throttled_ratio"] > 0.8


@pytest.mark.parametrize("own_quota", [None, 50_000])
def test_a_parents_quota_binds_its_child(own_quota: int | None) -> None:
    """Below a parent with quota 10000 a child gets 0.1 cores, throttled by the parent, its own counters at 0."""
    if own_quota and cgroups.hierarchy("cpu")[1] == 1:
        pytest.skip("this kernel has cgroup v1, which refuses a child a larger quota than its parent's")
    with CpuGroup("cgscope-test-parent") as parent:
        parent.set_quota(10_000)
        with parent.child("child") as child:
            if own_quota:
                child.set_quota(own_quota)
            child.burn()
            cpu = find(ctop_document("-a", "-d", SECONDS), child.path)["cpu"]
            own_counters = cgroups.statistics(child.directory)
    assert own_counters["nr_throttled"] == 0
    assert cpu["usage_cores"] == pytest.approx(0.1, abs=0.015)
    assert cpu["quota_us"] == own_quota
    assert cpu["limit_cores"] == pytest.approx(0.1)
    assert cpu["limit_set_by"] == parent.path
    assert cpu["throttled_by"] == parent.path
    assert cpu["throttled_periods"] in (0, None)
    assert cpu["inherited_throttled_ratio"] is not None
    assert cpu["inherited_throttled_ratio"] > 0.8
