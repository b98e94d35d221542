"""Whose turn it is: everything once a round, and about as much at each tick."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from inspector import collect
from inspector.observe import Observer
from inspector.turns import SLICES, Turns
from tests.fakehost import FakeHost
from tests.unit.observing import own
from tests.unit.test_collect import rounds

ALL = range(5 * SLICES)


def test_at_first_it_is_everybodys_turn_and_then_nobodys() -> None:
    """The first tick looks at everything, the one a moment later at nothing."""
    turns = Turns()
    turns.begin(1000.0, 60.0)
    assert all(number in turns for number in ALL)
    turns.begin(1000.1, 60.0)
    assert not any(number in turns for number in ALL)


@pytest.mark.parametrize("apart", [0.5, 1.0, 7.3, 15.0, 29.0])
def test_each_once_a_round(apart: float) -> None:
    """Whatever lies between the ticks, in ten rounds each number has ten turns, and no tick has more than its share."""
    turns, counts = Turns(), dict.fromkeys(ALL, 0)
    turns.begin(0.0, 60.0)
    ticks = int(600 / apart)
    for tick in range(1, ticks + 1):
        turns.begin(tick * apart, 60.0)
        due = [number for number in ALL if number in turns]
        assert len(due) <= (apart / 60 * SLICES + 1) * len(ALL) / SLICES
        for number in due:
            counts[number] += 1
    assert set(counts.values()) <= {9, 10}


@pytest.mark.parametrize(("apart", "seconds"), [(60.5, 60.0), (300.0, 60.0), (0.1, 0.0), (0.0, 0.0)])
def test_ticks_that_are_far_apart(apart: float, seconds: float) -> None:
    """Where a round passes between two ticks, or takes none, each is everybody's."""
    turns = Turns()
    for tick in range(4):
        turns.begin(tick * apart, seconds)
        assert all(number in turns for number in ALL)


def test_few_things_are_spread_over_the_round() -> None:
    """Each of seven hierarchies has its turn, none together with another."""
    turns = Turns()
    turns.begin(0.0, 60.0)
    seen = []
    for tick in range(1, 121):
        turns.begin(tick * 0.5, 60.0)
        due = [place for place in range(7) if turns.of(place, 7)]
        assert len(due) <= 1
        seen += due
    assert sorted(seen) == list(range(7))


def test_processes_are_looked_at_anew_a_part_at_each_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many processes no tick after the first looks at more than its share, and in a round all had their turn."""
    fake, now = FakeHost(tmp_path), [100.0]
    pids = range(100, 100 + 2 * SLICES)
    for pid in pids:
        fake.process(pid)
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with rounds(fake) as (there, host):
        there.tick()
        looked: list[str] = []
        for _ in range(10):
            now[0] += collect.OTHERS_SECONDS / 10
            host.opened.clear()
            there.tick()
            anew = [path for path in host.since("/proc/1") if path.endswith("/stat") and path != "/proc/1/stat"]
            assert len(anew) <= len(pids) / 10 + 2
            looked += anew
    assert sorted(looked) == sorted(f"/proc/{pid}/stat" for pid in pids if f"{pid}".startswith("1"))


def test_who_else_is_in_a_cgroup_is_asked_less_often_than_where_its_first_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who joins a container in one hierarchy alone is seen by the others' round, its first process by its own."""
    fake, now = FakeHost(tmp_path, "v1").process(100, namespaces=own(1), cgroups="/job").process(200), [100.0]
    for controller in ("cpu", "memory"):
        fake.cgroup(controller, "/job", {"memory.usage_in_bytes": "4096\n"})
        fake.cgroup(controller, "/else", {"memory.usage_in_bytes": "8192\n"})
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with fake.open() as host:
        observer = Observer(host, groups=False)
        assert "memory" in observer.tick().containers[0].owned
        fake.file("/sys/fs/cgroup/memory/job/cgroup.procs", "100\n200\n")
        now[0] += collect.COHABITANTS_SECONDS
        assert "memory" not in observer.tick().containers[0].owned
        fake.process(100, namespaces=own(1), cgroups="/else")
        now[0] += collect.REFRESH_SECONDS
        assert observer.tick().containers[0].cgroups["memory"] == "/else"


def test_a_hierarchy_that_is_mounted_is_everybodys_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine's cgroup trees change, all that is remembered is looked at anew, whosever turn it is."""
    fake, now = FakeHost(tmp_path).process(100, namespaces=own(1), cgroups="/job"), [100.0]
    fake.cgroup("memory", "/job", {"memory.usage_in_bytes": "4096\n"})
    every = fake.mounts()
    fake.mountinfo("".join(line for line in every.splitlines(keepends=True) if "memory" not in line))
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with fake.open() as host:
        observer = Observer(host)
        assert "memory" not in observer.tick().containers[0].owned
        now[0] += collect.REFRESH_SECONDS * (SLICES - 0.5) / SLICES
        observer.tick()
        fake.mountinfo(every)
        now[0] += collect.REFRESH_SECONDS / SLICES  # the trees' turn, and not the process's
        assert "memory" in observer.tick().containers[0].owned
