"""inspector.victims: the name of whom the kernel killed, in the finding that counts kills."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from exporter.live import with_victims
from inspector.ctop.source import KernelSource
from inspector.document import document
from inspector.observe import Observer
from inspector.schema import Document
from inspector.victims import Victims
from tests.fakehost import FakeHost

RECORD_BYTES = 8192
BOOTED, CLOCK_TICKS = 1_700_000_000, os.sysconf("SC_CLK_TCK")  # of the fake machine
ID, OTHER = "ab" * 32, "cd" * 32
KILL = (
    "6,{number},{us},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ab,mems_allowed=0,oom_memcg={path},"
    "task_memcg={path},task={task},pid={pid},uid=0\n"
)


def line(number: int, path: str, task: str, *, ago: float = 1.0) -> str:
    """Return the kernel's record on a kill so many seconds ago, as long as a read asks for: a file gives one a read."""
    us = int((time.monotonic() - ago) * 1e6)
    return KILL.format(number=number, us=us, path=path, task=task, pid=4000 + number).ljust(RECORD_BYTES)


def machine(tmp_path: Path, *kills: int, age: float = 1000.0) -> FakeHost:
    """Make a machine with a container, started so many seconds ago, for each of these counts of OOM kills."""
    fake = FakeHost(tmp_path)
    started = int((time.time() - BOOTED - age) * CLOCK_TICKS)
    for pid, identifier, count in zip((70, 80), (ID, OTHER), kills, strict=False):
        path = f"/docker/{identifier}"
        apart = {"pid": 4026532000 + pid, "mnt": 4026533000 + pid}
        fake.process(pid, cgroups=path, starttime=started, namespaces=apart)
        fake.cgroup("memory", path, {"memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n"})
    return fake


def look(fake: FakeHost) -> Document:
    """Return the document of one look."""
    with fake.open() as host:
        return document(None, Observer(host).tick())


def texts(told: Document) -> list[str]:
    """Return the texts of the findings on OOM kills."""
    found = [finding for one in told["containers"] for finding in one["findings"]]
    return [finding["text"] for finding in found if finding["code"] == "oom-killed"]


def test_the_last_victim_is_named(tmp_path: Path) -> None:
    """Each container has the last one of its cgroup, or of one in it, and when that was; others keep their text."""
    fake = machine(tmp_path, 3, 1)
    log = (
        line(1, f"/docker/{ID}", "first", ago=90)
        + line(2, f"/docker/{ID}/system.slice/a.service", "java", ago=60)
        + line(3, f"/docker/{ID}x", "elsewhere")
        + line(4, "/", "anybody")
    )
    told = look(fake.file("/dev/kmsg", log))
    before = [dict(one) for one in told["containers"]]
    with fake.open() as host:
        named = texts(Victims(host).named(told))
    at = {time.strftime("%H:%M:%S", time.localtime(time.time() - ago)) for ago in (59, 60, 61)}
    said = "3 processes killed for lack of memory; the last java (PID 4002) at "
    assert named[0].startswith(said)
    whose = ", at the limit of /system.slice/a.service in it"
    assert named[0].removeprefix(said).removesuffix(f"{whose} (kernel's log)") in at
    assert named[1] == "1 process killed for lack of memory"
    assert told["containers"] == before  # what others hold is left as it is


@pytest.mark.parametrize(
    ("short", "said"),
    [
        (f"oom_memcg=/docker/{ID}", ""),
        ("oom_memcg=/docker", ", at the limit of /docker"),
        (f"oom_memcg=/docker/{ID}x", f", at the limit of /docker/{ID}x"),
        ("global_oom", ", as the machine had no memory left"),
    ],
)
def test_what_had_no_memory_left_is_said(tmp_path: Path, short: str, said: str) -> None:
    """At the container's own limit nothing more; else whose limit it was, or that there was none but the machine's."""
    record = line(1, f"/docker/{ID}", "dd").replace(f"oom_memcg=/docker/{ID}", short)[:RECORD_BYTES].ljust(RECORD_BYTES)
    with machine(tmp_path, 1).file("/dev/kmsg", record).open() as host:
        (text,) = texts(Victims(host).named(look(machine(tmp_path, 1))))
    assert re.fullmatch(rf".*; the last dd \(PID 4001\) at [\d:]+{said} \(kernel's log\)", text)


def test_the_exporter_says_the_same(tmp_path: Path) -> None:
    """Its documents, and so its page and `ctop --connect`, name the victim too."""
    fake = machine(tmp_path, 1).file("/dev/kmsg", line(1, f"/docker/{ID}", "dd"))
    with fake.open() as host:
        told = with_victims(Victims(host))(None, Observer(host).tick())
    assert "; the last dd (PID 4001) at " in texts(told)[0]


def test_an_old_kill_has_its_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time of day alone would be taken for today's, and a day later is no longer that day's."""
    fake = machine(tmp_path, 1).file("/dev/kmsg", line(1, f"/docker/{ID}", "dd"))
    now = time.monotonic()
    with fake.open() as host:
        victims = Victims(host)
        (before,) = texts(victims.named(look(fake)))
        monkeypatch.setattr(time, "monotonic", lambda: now + 100_000)
        (text,) = texts(victims.named(look(fake)))
    assert before.count("-") == 0
    assert time.strftime(" at %Y-%m-%d ", time.localtime(time.time() - 100_001)) in text


def test_an_earlier_container_of_that_cgroup_is_another(tmp_path: Path) -> None:
    """Who was killed before the container was started was in one before it; its own kill is missing in the log."""
    fake = machine(tmp_path, 1, 1, age=60).file(
        "/dev/kmsg", line(1, f"/docker/{ID}", "before", ago=90) + line(2, f"/docker/{OTHER}", "mine", ago=55)
    )
    with fake.open() as host:
        victims = Victims(host)
        first, second = texts(victims.named(look(fake)))
        assert first == "1 process killed for lack of memory"
        assert "; the last mine (PID 4002) at " in second
        machine(tmp_path, 1, 1, age=5)  # started again since, and as many were killed
        assert texts(victims.named(look(fake))) == ["1 process killed for lack of memory"] * 2


def test_a_control_group_is_older_than_who_is_in_it(tmp_path: Path) -> None:
    """A job after the other in one cgroup: who was killed before the one of now was in it as well."""
    fake = FakeHost(tmp_path).process(70, cgroups="/jobs", starttime=int((time.time() - BOOTED) * CLOCK_TICKS))
    fake.cgroup("memory", "/jobs", {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"})
    with fake.file("/dev/kmsg", line(1, "/jobs", "dd", ago=90)).open() as host:
        assert "; the last dd (PID 4001) at " in texts(Victims(host).named(look(fake)))[0]


def test_the_log_is_read_when_there_is_a_new_kill(tmp_path: Path) -> None:
    """While the counts are the same nothing is read, and a log that may not be read, or is not there, is no fault."""
    fake = machine(tmp_path, 1)
    with fake.open() as host:
        victims = Victims(host)
        assert texts(victims.named(look(fake))) == ["1 process killed for lack of memory"]
        fake.file("/dev/kmsg", line(1, f"/docker/{ID}", "dd"))
        assert texts(victims.named(look(fake))) == ["1 process killed for lack of memory"]
        machine(tmp_path, 2)
        assert "; the last dd (PID 4001) at " in texts(victims.named(look(fake)))[0]
        victims.close()


def test_in_a_container_nobody_is_named(tmp_path: Path) -> None:
    """The log's paths are those of the machine: what is called so in a container may be another."""
    fake = machine(tmp_path, 1).file("/dev/kmsg", line(1, f"/docker/{ID}", "dd"))
    told = look(fake)
    inside: Document = {**told, "viewpoint": {**told["viewpoint"], "inside_container": True}}
    with fake.open() as host:
        assert Victims(host).named(inside) is inside


def test_the_log_is_not_read_for_nothing(tmp_path: Path) -> None:
    """A container with other findings, in which nobody was killed, is no reason to read it."""
    fake = machine(tmp_path, 0)
    told = look(fake)
    assert [one["code"] for one in told["containers"][0]["findings"]] == ["host-network"]
    with fake.open() as host:
        victims = Victims(host)
        victims._read = lambda: pytest.fail("the log was read")  # type: ignore[method-assign]  # noqa: SLF001
        assert victims.named(told) is told


@pytest.mark.parametrize(("source", "path"), [("processes", f"/docker/{ID}"), ("cgroup", "/")])
def test_of_a_cgroup_that_others_share_nobody_is_named(tmp_path: Path, source: str, path: str) -> None:
    """Who was killed in it may be somebody else's: the root, and a cgroup whose figures are not the container's own."""
    told = look(machine(tmp_path, 1).file("/dev/kmsg", line(1, path, "dd")))
    one: Any = told["containers"][0]
    shared = {**one, "cgroups": {**one["cgroups"], "memory": path}, "memory": {**one["memory"], "source": source}}
    document: Any = {**told, "containers": [shared]}
    with FakeHost(tmp_path).open() as host:
        assert Victims(host).named(document) is document


def test_the_live_view_opens_the_log_once_somebody_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a container counts a kill nothing is asked of the log; it is closed with the source."""
    fake = machine(tmp_path, 0).file("/dev/kmsg", line(1, f"/docker/{ID}", "java"))
    monkeypatch.setattr("inspector.kernel.host.Host", fake.open)

    def opened() -> int:
        log = os.path.realpath(f"{fake.root}/dev/kmsg")
        return [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")].count(log)

    with KernelSource() as source:
        source.begin()
        assert (texts(source()), opened()) == ([], 0)
        killed = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
        fake.cgroup("memory", f"/docker/{ID}", {"memory.oom_control": killed})
        for _ in range(2):
            assert "; the last java (PID 4001) at " in texts(source())[0]
            assert opened() == 1
    assert opened() == 0


def restarted(tmp_path: Path, *kills: int, created: float) -> FakeHost:
    """Make a machine as above whose first container's runtime has it created so many seconds ago."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - created))
    store = f"/var/lib/docker/containers/{ID}/config.v2.json"
    return machine(tmp_path, *kills, age=60).file(store, f'{{"ID": "{ID}", "Name": "/web", "Created": "{moment}"}}')


def test_who_was_killed_before_a_container_was_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cgroup is a new one, which has counted nobody: the log names the last one, for an hour."""
    fake = restarted(tmp_path, 0, created=1000).file("/dev/kmsg", line(1, f"/docker/{ID}", "java", ago=90))
    now = time.monotonic()
    with fake.open() as host:
        victims = Victims(host)
        (text,) = texts(victims.named(look(fake)))
        said = r"java \(PID 4001\) was killed for lack of memory at [\d:]+ \(kernel's log\)"
        assert re.fullmatch(f"{said}, before the container was started again", text)
        monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
        assert texts(victims.named(look(fake))) == []


def test_who_was_killed_before_a_container_was_created(tmp_path: Path) -> None:
    """It was in another one, whose cgroup was called so; a container that was never started again is asked nothing."""
    fake = restarted(tmp_path, 0, created=100).file("/dev/kmsg", line(1, f"/docker/{ID}", "java", ago=200))
    with fake.open() as host:
        assert texts(Victims(host).named(look(fake))) == []
    fake = restarted(tmp_path / "first", 0, created=61).file("/dev/kmsg", line(1, f"/docker/{ID}", "java", ago=65))
    with fake.open() as host:
        assert texts(Victims(host).named(look(fake))) == []


def test_the_live_view_tells_of_who_was_killed_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any kill that is counted, a container that was started again is reason enough to look at the log."""
    fake = restarted(tmp_path, 0, created=1000).file("/dev/kmsg", line(1, f"/docker/{ID}", "java", ago=90))
    monkeypatch.setattr("inspector.kernel.host.Host", fake.open)
    with KernelSource() as source:
        source.begin()
        assert "java (PID 4001) was killed" in texts(source())[0]
