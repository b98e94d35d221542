"""Kills for lack of memory in the cgroups that a container has made, which v1 does not count for the container."""

from __future__ import annotations

from pathlib import Path

from inspector.observe import Observer
from inspector.schema import Container
from inspector.still import Documents
from tests.fakehost import FakeHost
from tests.unit.observing import ID, own

HOME = f"/docker/{ID}"
NESTED = f"{HOME}/docker/{'b' * 64}"


def killed(fake: FakeHost, path: str, kills: int) -> FakeHost:
    """Let so many processes be killed in a cgroup of a v1 machine."""
    return fake.cgroup("memory", path, {"memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"})


def machine(root: Path) -> FakeHost:
    """Make a machine with a container that has made cgroups within its own, and one that has not."""
    fake = FakeHost(root, "v1").process(100, "systemd", cgroups=HOME, namespaces=own(1))
    fake.process(200, "sh", cgroups="/docker/" + "c" * 64, namespaces=own(2))
    killed(fake, HOME, 1)
    killed(fake, "/docker/" + "c" * 64, 0)
    killed(fake, f"{HOME}/system.slice", 0)
    return killed(fake, f"{HOME}/system.slice/web.service", 3)


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
            killed(fake, f"{HOME}/system.slice/web.service", kills)
            assert look()["memory"]["oom_kills"] == total
        others = [one["memory"]["oom_kills"] for one in documents.document(before, before)["containers"]]
        assert sorted(others, key=str) == [0, 8]


def test_a_container_within_a_container(tmp_path: Path) -> None:
    """What is killed in it is killed in both, as v2 counts."""
    fake = machine(tmp_path).process(300, "sh", cgroups=NESTED, namespaces=own(3))
    killed(fake, NESTED, 7)
    with fake.open() as host:
        kills = Observer(host, groups=False).tick().inner_kills
    assert kills == {ID: 10}


def test_v2_counts_them_itself(tmp_path: Path) -> None:
    """Nothing is added there."""
    fake = FakeHost(tmp_path, "v2").process(100, "systemd", cgroups=HOME, namespaces=own(1))
    fake.cgroup("memory", f"{HOME}/a", {"memory.events": "oom_kill 3\n"})
    with fake.open() as host:
        assert Observer(host, groups=False).tick().inner_kills == {}
