"""Kills for lack of memory in the cgroups that a container has made, which v1 does not count for the container."""

from __future__ import annotations

import shutil
from pathlib import Path

from inspector.absence import Absence
from inspector.inner_kills import InnerKills
from inspector.kernel.controllers import Memory
from inspector.model import Group
from inspector.observe import Observation, Observer
from inspector.schema import Container
from inspector.still import Documents
from tests.fakehost import FakeHost
from tests.unit.exporting import parsed, scraper, series_of, text_of
from tests.unit.observing import ID, own

HOME = f"/docker/{ID}"
INNER = f"{HOME}/system.slice/web.service"
NESTED = f"{HOME}/docker/{'b' * 64}"


def killed(fake: FakeHost, path: str, kills: int) -> FakeHost:
    """Let so many processes be killed in a cgroup of a v1 machine."""
    return fake.cgroup("memory", path, {"memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"})


def removed(fake: FakeHost, path: str) -> None:
    """Remove a cgroup of memory."""
    shutil.rmtree(f"{fake.root}/sys/fs/cgroup/memory{path}")


def kills_in(seen: Observation, path: str) -> int | None:
    """Return how many were killed in a cgroup by an observation."""
    memory = seen.readings.get(("memory", path))
    return memory.oom_kills if isinstance(memory, Memory) else None


def machine(root: Path) -> FakeHost:
    """Make a machine with a container that has made cgroups within its own, and one that has not."""
    fake = FakeHost(root, "v1").process(100, "systemd", cgroups=HOME, namespaces=own(1))
    fake.process(200, "sh", cgroups="/docker/" + "c" * 64, namespaces=own(2))
    killed(fake, HOME, 1)
    killed(fake, "/docker/" + "c" * 64, 0)
    killed(fake, f"{HOME}/system.slice", 0)
    return killed(fake, INNER, 3)


def test_kills_in_inner_cgroups_count_as_the_containers(tmp_path: Path) -> None:
    """They are added to its own, found as killed, and stay counted when the inner cgroup is gone, or another one."""
    fake = machine(tmp_path)
    with fake.open() as host:
        observer, documents = Observer(host, groups=False), Documents()
        before = observer.tick()

        def look() -> Container:
            nonlocal before
            last, before = before, observer.tick()
            return next(one for one in documents.document(last, before)["containers"] if one["id"] == ID)

        first = look()
        assert first["memory"]["oom_kills"] == 4
        assert [one["text"] for one in first["findings"] if one["code"] == "oom-killed"] == [
            "4 processes killed for lack of memory"
        ]
        for kills, total in ((5, 6), (5, 6), (2, 8)):  # at last the service has been started again
            killed(fake, INNER, kills)
            assert look()["memory"]["oom_kills"] == total
        others = [one["memory"]["oom_kills"] for one in documents.document(before, before)["containers"]]
        assert sorted(others, key=str) == [0, 8]


def test_a_container_within_a_container(tmp_path: Path) -> None:
    """What is killed in it is killed in both, as v2 counts."""
    fake = machine(tmp_path).process(300, "sh", cgroups=NESTED, namespaces=own(3))
    killed(fake, NESTED, 7)
    with fake.open() as host:
        seen = Observer(host, groups=False).tick()
    assert (kills_in(seen, HOME), kills_in(seen, NESTED)) == (11, 7)


def test_the_last_inner_cgroup_is_gone(tmp_path: Path) -> None:
    """What was killed in it stays counted for as long as the container's own cgroup is there."""
    fake = machine(tmp_path)
    with fake.open() as host:
        observer = Observer(host, groups=False)
        found = [kills_in(observer.tick(), HOME)]
        removed(fake, f"{HOME}/system.slice")
        found += [kills_in(observer.tick(), HOME) for _ in range(2)]
        for path in (f"{HOME}/system.slice", INNER):
            fake.cgroup("cpu", path)  # where those that are new are looked for at every tick
            killed(fake, path, 1)
        found += [kills_in(observer.tick(), HOME) for _ in range(2)]
    assert found == [4, 4, 4, 6, 6]


def test_a_cgroup_of_the_same_path_counts_from_the_beginning(tmp_path: Path) -> None:
    """A container that was started again under its id, between two looks, has not those who were killed before."""
    fake = machine(tmp_path)
    with fake.open() as host:
        seen = Observer(host, groups=False).tick()
        memory, kills = seen.located["memory"], InnerKills(host, Absence())
        key = "memory", HOME

        def look(inode: int, inner: int) -> int | None:
            killed(fake, INNER, inner)
            groups = {INNER: Group(INNER, frozenset({memory[1]}), ())}
            found = kills.added({key: Memory(oom_kills=1)}, {key: inode}, seen.containers, groups, memory)[key]
            return found.oom_kills if isinstance(found, Memory) else None

        assert [look(1, 3), look(1, 4), look(2, 7), look(2, 7), look(3, 0)] == [4, 5, 8, 8, 1]


def test_an_inner_cgroup_that_cannot_be_read_is_not_counted_twice(tmp_path: Path) -> None:
    """Once it can be read again, only who was killed meanwhile is added."""
    fake = machine(tmp_path)
    with fake.open() as host:
        observer = Observer(host, groups=False)
        found = [kills_in(observer.tick(), HOME)]
        for text in ("nonsense without end", "oom_kill 3\n", "oom_kill 4\n"):
            fake.cgroup("memory", INNER, {"memory.oom_control": text})
            found.append(kills_in(observer.tick(), HOME))
    assert found == [4, 4, 4, 5]


def test_the_exporter_counts_them_too(tmp_path: Path) -> None:
    """Its counters and its finding are of what ctop shows."""
    with machine(tmp_path).open() as host:
        series = parsed(text_of(scraper(host).page()))
    for name in ("container_oom_events_total", "container_oom_kills_total"):
        assert sorted(series_of(series, name, id=HOME)) == [4]
    assert series_of(series, "container_finding", id=HOME, code="oom-killed") == [1]


def test_v2_counts_them_itself(tmp_path: Path) -> None:
    """Nothing is added there."""
    fake = FakeHost(tmp_path, "v2").process(100, "systemd", cgroups=HOME, namespaces=own(1))
    fake.cgroup("memory", f"{HOME}/a", {"memory.events": "oom_kill 3\n"})
    with fake.open() as host:
        assert kills_in(Observer(host, groups=False).tick(), HOME) is None
