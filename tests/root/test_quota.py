"""The main job: a busy loop under a CPU quota, measured from outside, from inside, and by the kernel's own files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from inspector.schema import Container, Cpu, Document
from tests.testbed import cgroups
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import BUSY_LOOP, CTOP, Sandbox, ctop_document, find, run
from tests.testbed.watching import Watch

pytestmark = [pytest.mark.root, pytest.mark.vm]

QUOTA = ("--cpu-quota", "20000", "--cpu-period", "100000")
SECONDS = "5"  # the first sample takes longer than the second: what that makes of a rate stays small
PATIENCE_SECONDS = 150.0
# A throttled loop runs in bursts of its quota, so two looks a moment apart can differ by one of them.
BURST_SECONDS = 0.02


@pytest.fixture
def busy(sandbox: Sandbox) -> Iterator[int]:
    """Run the busy loop in the container `busy`, limited to a fifth of a core; give its PID."""
    sandbox.start("busy", *QUOTA, "--", *BUSY_LOOP)
    pid = sandbox.pid("busy")
    with cgroups.favoured(cgroups.path_of(pid, "cpu")):
        yield pid


def once(held: Callable[[Cpu], bool], look: Callable[[], Cpu]) -> Cpu:
    """Look until a loop gets what it is allowed: a busy machine may keep that from it, for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not held(cpu := look()) and time.monotonic() < deadline:
        pass
    return cpu


def at_quota(cpu: Cpu, cores: float) -> bool:
    """Tell whether a loop was at a quota of so many cores, and throttled in most of its periods."""
    ratio = cpu["throttled_ratio"] or cpu["inherited_throttled_ratio"] or 0
    return bool(cpu["usage_cores"] == pytest.approx(cores, abs=cores / 10)) and ratio > 0.8


def assert_throttled_to_a_fifth(look: Callable[[], Cpu]) -> None:
    """Check what a loop at 20000/100000 must look like."""
    cpu = once(lambda cpu: at_quota(cpu, 0.2), look)
    assert cpu["usage_cores"] == pytest.approx(0.2, abs=0.02)
    assert cpu["limit_cores"] == pytest.approx(0.2)
    assert cpu["limit_ratio"] == pytest.approx(1.0, abs=0.1)
    assert (cpu["quota_us"], cpu["period_us"]) == (20_000, 100_000)
    assert cpu["throttled_ratio"] is not None
    assert cpu["throttled_ratio"] > 0.8


def test_a_quota_is_measured_from_outside(busy: int) -> None:
    """From the host the loop uses 0.2 cores, all of its limit, throttled, and as the cgroup's own file says."""

    def look() -> Cpu:
        container = looked("busy", busy)
        assert container["cpu"]["limit_set_by"] == container["cgroups"]["cpu"]
        assert container["cpu"]["throttled_by"] == container["cgroups"]["cpu"]
        assert container["runtime"] == "sandbox"
        return container["cpu"]

    assert_throttled_to_a_fifth(look)


def looked(name: str, pid: int) -> Container:
    """Return what ctop says of a container; total and rate are what the file of its process's cgroup says."""
    with Watch(lambda: (cgroups.usage_seconds(pid),)) as watch:
        document = ctop_document("-d", SECONDS)
        ended = time.time()
    container = find(document, name)
    interval, now = document["interval_seconds"], document["taken_at"]
    assert interval is not None
    total, cores = container["cpu"]["usage_seconds"], container["cpu"]["usage_cores"]
    assert container["cpu"]["source"] == "cgroup"
    assert total is not None
    assert cores is not None
    # Figures are read after `taken_at`, at once where the machine is not busy.
    [(least, most)] = watch.between(now, ended)
    assert least - BURST_SECONDS <= total <= most + BURST_SECONDS
    [(least, most)] = watch.between(now - interval, now)
    assert least - BURST_SECONDS <= total - cores * interval <= most + BURST_SECONDS
    return container


@pytest.mark.usefixtures("busy")
def test_a_quota_is_measured_from_inside(sandbox: Sandbox) -> None:
    """The same command inside the container says the same of it: usage, limit and throttling."""
    command = [sys.executable, "-B", "-m", "inspector.ctop", "--json", "-d", SECONDS]

    def look() -> Cpu:
        # Python starts on what the busy loop leaves it of a fifth of a core: slow where the machine is emulated.
        inside: Document = json.loads(sandbox("exec", "busy", *command, timeout=300).stdout)
        assert inside["viewpoint"]["inside_container"] is True
        return next(c for c in inside["containers"] if c["id"] == inside["viewpoint"]["self"])["cpu"]

    assert_throttled_to_a_fifth(look)


def plain(group: CpuGroup) -> Cpu:
    """Return what ctop says of a control group, between samples that take equally long: the first opens files."""
    *_, line = run([*CTOP, "--jsonl", "-n", "2", "-a", "-d", "2"]).stdout.splitlines()
    container = find(json.loads(line), group.path)
    assert container["kind"] == "cgroup"
    return container["cpu"]


def test_a_plain_control_group_goes_from_a_core_to_a_fifth() -> None:
    """A directory made under the cpu controller shows its loop at one core, and at 0.2 once its quota is 20000."""
    with CpuGroup("cgscope-test-plain") as group, cgroups.favoured(group.directory):
        group.burn()
        before = once(lambda cpu: cpu["usage_cores"] == pytest.approx(1.0, abs=0.3), lambda: plain(group))
        assert before["usage_cores"] == pytest.approx(1.0, abs=0.3)
        assert before["quota_us"] is None
        group.set_quota(20_000)
        time.sleep(0.2)
        assert_throttled_to_a_fifth(lambda: plain(group))


def test_a_parents_quota_binds_its_child() -> None:
    """Below a parent with quota 10000 a child gets 0.1 cores, throttled by the parent, its own counters at 0."""
    # v1 refuses a child a larger quota than its parent's. One loop cannot use this one up, however late a timer comes.
    own_quota = None if cgroups.hierarchy("cpu")[1] == 1 else 150_000
    with CpuGroup("cgscope-test-parent") as parent:
        parent.set_quota(10_000)
        with parent.child("child") as child:
            if own_quota:
                child.set_quota(own_quota)
            child.burn()
            cpu = once(lambda cpu: at_quota(cpu, 0.1), lambda: plain(child))
            own_counters = cgroups.statistics(child.directory)
    assert own_counters["nr_throttled"] == 0
    assert cpu["usage_cores"] == pytest.approx(0.1, abs=0.01)
    assert cpu["quota_us"] == own_quota
    assert cpu["limit_cores"] == pytest.approx(0.1)
    assert cpu["limit_set_by"] == parent.path
    assert cpu["throttled_by"] == parent.path
    assert cpu["throttled_periods"] in (0, None)
    assert cpu["inherited_throttled_ratio"] is not None
    assert cpu["inherited_throttled_ratio"] > 0.8
