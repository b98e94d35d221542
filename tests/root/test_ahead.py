"""Figures that are read on another CPU, of real cgroups: what the files say, also where one goes meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from inspector.kernel import ahead
from inspector.kernel.controllers import Cpu
from inspector.kernel.host import Host
from inspector.model import Census
from inspector.observe import Observer
from tests.testbed.cgroups import CpuGroup

pytestmark = [pytest.mark.root, pytest.mark.vm]


@pytest.fixture
def groups() -> Iterator[list[CpuGroup]]:
    """Give two cgroups with a process in each."""
    with CpuGroup(f"cgscope-ahead-{os.getpid()}") as parent, parent.child("one") as one, parent.child("other") as other:
        for group in (one, other):
            group.set_quota(5000)
            group.burn()
        yield [one, other]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is no other CPU")
def test_figures_are_of_this_moment(groups: list[CpuGroup], monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota is told at the look after its change, and a cgroup that goes during a look is not missed."""
    monkeypatch.setattr(ahead, "WORTH_IT", 1)
    one, other = groups
    given: list[list[bytes]] = []
    truly = ahead.ReadAhead.texts

    def texts(self: ahead.ReadAhead, descriptors: list[int]) -> list[bytes] | None:
        found = truly(self, descriptors)
        given.extend([found] if found else [])
        return found

    monkeypatch.setattr(ahead.ReadAhead, "texts", texts)
    with Host() as host:
        observer = Observer(host, in_full=True, refresh_seconds=0)
        observer.tick()
        for quota in (7000, 9000):
            one.set_quota(quota)
            given.clear()
            tick = observer.tick()
            assert given
            told = [tick.readings["cpu", group.path] for group in groups]
            assert [reading.quota_us for reading in told if isinstance(reading, Cpu)] == [quota, 5000]
            assert tick.problems == ()
        census = observer._collector.census  # noqa: SLF001

        def meanwhile() -> Census:
            other.__exit__()
            return census()

        monkeypatch.setattr(observer._collector, "census", meanwhile)  # noqa: SLF001
        ticks = [observer.tick() for _ in range(2)]
        for tick in ticks:
            assert ("cpu", one.path) in tick.readings
            assert ("cpu", other.path) not in tick.readings
            assert tick.problems == ()
        monkeypatch.undo()
        other.__enter__()
