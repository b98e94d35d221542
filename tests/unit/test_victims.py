"""inspector.victims: the name of whom the kernel killed, in the finding that counts kills."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inspector.document import document
from inspector.observe import Observer
from inspector.schema import Document
from inspector.victims import Victims
from tests.fakehost import FakeHost

RECORD_BYTES = 8192
ID, OTHER = "ab" * 32, "cd" * 32
KILL = (
    "6,{number},{us},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=ab,mems_allowed=0,oom_memcg={path},"
    "task_memcg={path},task={task},pid={pid},uid=0\n"
)


def line(number: int, path: str, task: str, *, ago: float = 1.0) -> str:
    """Return the kernel's record on a kill so many seconds ago, as long as a read asks for: a file gives one a read."""
    us = int((time.monotonic() - ago) * 1e6)
    return KILL.format(number=number, us=us, path=path, task=task, pid=4000 + number).ljust(RECORD_BYTES)


def machine(tmp_path: Path, *kills: int) -> FakeHost:
    """Make a machine with a container for each of these counts of OOM kills."""
    fake = FakeHost(tmp_path)
    for pid, identifier, count in zip((70, 80), (ID, OTHER), kills, strict=False):
        path = f"/docker/{identifier}"
        fake.process(pid, cgroups=path, namespaces={"pid": 4026532000 + pid, "mnt": 4026533000 + pid})
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
    assert named[0].removeprefix(said).removesuffix(" (kernel's log)") in at
    assert named[1] == "1 process killed for lack of memory"
    assert told["containers"] == before  # what others hold is left as it is


def test_an_old_kill_has_its_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A time of day alone would be taken for today's."""
    fake = machine(tmp_path, 1).file("/dev/kmsg", line(1, f"/docker/{ID}", "dd"))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 100_000)
    with fake.open() as host:
        (text,) = texts(Victims(host).named(look(fake)))
    assert time.strftime(" at %Y-%m-%d ", time.localtime(time.time() - 100_001)) in text


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
