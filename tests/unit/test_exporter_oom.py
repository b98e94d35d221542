"""Victims of the OOM killer, from the kernel's log and the cgroups' counters, alive and for an hour after."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.families.oom import KEPT_SECONDS, Kills
from exporter.sight import Options, Sight
from exporter.subjects import Subject, Subjects
from inspector.kernel.controllers import Memory
from inspector.kernel.host import Host
from inspector.model import Container
from tests.unit import parts

GONE = "/docker/" + "ab" * 32


class Log:
    """A kernel's log that is written by hand: a FIFO at /dev/kmsg, a record a look."""

    def __init__(self, root: Path) -> None:
        (root / "dev").mkdir()
        os.mkfifo(root / "dev/kmsg")
        self.host = Host(str(root))
        self._fd = os.open(root / "dev/kmsg", os.O_RDWR)

    def kill(self, cgroup: str, *, at: float = 99.0, task: str = "stress", pid: int = 7) -> None:
        """Write what the kernel writes when it kills a process."""
        what = f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task_memcg={cgroup},task={task},pid={pid},uid=0"
        os.write(self._fd, f"6,1,{int(at * 1e6)},-;{what}\n".encode())

    def close(self) -> None:
        """Close the FIFO."""
        os.close(self._fd)


@pytest.fixture(name="log")
def log_fixture(tmp_path: Path) -> Iterator[Log]:
    """Give a log in a machine of its own."""
    log = Log(tmp_path)
    yield log
    log.close()


def look(
    kills: Kills, host: Host, *containers: Container, at: float = 100.0, counted: int = 0, inode: int = 1
) -> dict[str, Any]:
    """Take one look; returns what is told of each that is told of, by its id."""
    readings = {("memory", one.cgroups["memory"]): Memory(oom_kills=counted) for one in containers}
    seen = parts.observation(at, containers=containers, readings=readings, inodes=dict.fromkeys(readings, inode))
    sight = Sight(host, seen, None, Subjects().of(seen), Options(), {}, {})
    kills.update(sight)
    gone: list[Subject] = kills.gone(sight)
    shown = [one for one in (*sight.subjects, *gone) if one.container or one in gone]
    return {one.id: kills.by_path[one.paths["memory"]].told() for one in shown}


def close(kills: Kills) -> None:
    """Close the log that was opened at the first look."""
    if kills.log:
        kills.log.close()


def test_a_container_has_none_before_its_first(log: Log) -> None:
    """It is told of with 0, so that the first kill is an increase; then with the victim's name, PID and time."""
    kills, web = Kills(), parts.container("web")
    assert look(kills, log.host, web)["/docker/web"] == (0, None, None)
    log.kill("/docker/web/below", at=101.5)
    told = look(kills, log.host, web, at=102.0, counted=1)["/docker/web"]
    assert (told.kills, told.last.task, told.last.pid) == (1, "stress", 7)
    assert told.last_at == pytest.approx(1.7e9 + 101.5)
    close(kills)


def test_it_is_told_after_the_container_has_gone(log: Log) -> None:
    """For an hour its series goes on, though its cgroup and its counter are gone; then it is forgotten."""
    kills, web = Kills(), parts.container("web")
    look(kills, log.host, web, at=100.0)
    log.kill("/docker/web", at=105.0)
    assert look(kills, log.host, at=110.0)["/docker/web"].kills == 1
    assert look(kills, log.host, at=110.0 + KEPT_SECONDS)["/docker/web"].kills == 1
    assert look(kills, log.host, at=111.0 + KEPT_SECONDS) == {}
    close(kills)


def test_one_that_nobody_saw_alive_is_told(log: Log) -> None:
    """A container that came and was killed between two scrapes is named by its cgroup, as one that has no name."""
    kills = Kills()
    look(kills, log.host)
    log.kill(f"{GONE}/init.scope", at=99.5)
    told = look(kills, log.host, at=101.0)
    assert told[GONE].kills == 1
    assert kills.by_path[GONE].subject.labels == f'id="{GONE}",name="{"ab" * 6}",image="unknown"'
    close(kills)


@pytest.mark.parametrize("root", ["/var/lib/docker", "/data/docker"])
def test_one_that_nobody_saw_alive_is_named_by_its_runtimes_files(log: Log, tmp_path: Path, root: str) -> None:
    """As while it was alive, so that its series is one when it comes again; where they are, another one tells.

    They are read anew for each look: of one before there were any files nothing was to be known.
    """
    overlay = f"30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir={root}/overlay2/x/diff,workdir=/w"
    leader = parts.leader(parts.process(9), root=parts.mount(overlay))
    kills, other, before = Kills(), parts.container("other", leader=leader), "/docker/" + "ef" * 32
    log.kill(before, at=98.0)
    look(kills, log.host, other)
    assert kills.by_path[before].subject.labels == f'id="{before}",name="{"ef" * 6}",image="unknown"'
    directory = tmp_path / root[1:] / "containers" / ("ab" * 32)
    directory.mkdir(parents=True)
    config = {"Name": "/web", "Config": {"Image": "nginx:1.27", "Labels": {}}}
    (directory / "config.v2.json").write_text(json.dumps(config))
    log.kill(GONE, at=99.5)
    look(kills, log.host, other, at=101.0)
    assert kills.by_path[GONE].subject.labels == f'id="{GONE}",name="web",image="nginx:1.27"'
    close(kills)


def test_one_that_ended_without_a_kill_is_not_told_of(log: Log) -> None:
    """Only a kill outlives a container."""
    kills = Kills()
    look(kills, log.host, parts.container("web"))
    assert look(kills, log.host, at=101.0) == {}
    close(kills)


def test_log_and_counter_are_not_added_up(log: Log) -> None:
    """The greater of both counts: the counter has what the log has lost, the log what went with a cgroup."""
    kills, web = Kills(), parts.container("web")
    assert look(kills, log.host, web, counted=5)["/docker/web"].kills == 5
    log.kill("/docker/web")
    assert look(kills, log.host, web, at=101.0, counted=6)["/docker/web"].kills == 6
    assert look(kills, log.host, at=102.0)["/docker/web"].kills == 6
    close(kills)


def test_a_container_started_anew_keeps_what_was_counted(tmp_path: Path) -> None:
    """Its cgroup is another one of the same path, whose counter begins at 0: the count goes on from where it was."""
    kills, web = Kills(), parts.container("web")
    lives = [(3, 1), (0, 2), (2, 2), (4, 3), (4, 3)]  # what the counter says, and of which cgroup
    with Host(str(tmp_path)) as host:
        told = [
            look(kills, host, web, at=100.0 + at, counted=counted, inode=inode)["/docker/web"].kills
            for at, (counted, inode) in enumerate(lives)
        ]
    assert told == [3, 3, 5, 9, 9]


def test_a_container_started_anew_counts_each_kill_once(log: Log) -> None:
    """A loop of starts and kills: the log has also those that were gone at each look, the counter the last one's."""
    kills, web = Kills(), parts.container("web")
    look(kills, log.host, web)
    log.kill("/docker/web", at=100.5)
    assert look(kills, log.host, web, at=101.0, counted=1)["/docker/web"].kills == 1
    assert look(kills, log.host, at=101.5)["/docker/web"].kills == 1
    for at in (102.1, 102.3):
        log.kill("/docker/web", at=at)
        look(kills, log.host, at=at)
    log.kill("/docker/web", at=102.5)
    assert look(kills, log.host, web, at=103.0, counted=1, inode=4)["/docker/web"].kills == 4
    assert look(kills, log.host, web, at=104.0, counted=2, inode=4)["/docker/web"].kills == 5  # the log has lost one
    close(kills)


def test_a_group_above_counts_it_too(log: Log) -> None:
    """A control group around a container counts the container's kills, as memory.events does."""
    kills, web = Kills(), parts.container("web")
    group = parts.container("docker")._replace(
        id="/docker", kind="cgroup", cgroups={"memory": "/docker"}, owned=frozenset({"memory"})
    )
    look(kills, log.host, web, group)
    log.kill("/docker/web")
    told = look(kills, log.host, web, group, at=101.0)
    assert {id_: one.kills for id_, one in told.items()} == {"/docker/web": 1, "/docker": 1}
    close(kills)


def test_old_kills_and_too_many_are_left_out(log: Log) -> None:
    """What was killed more than an hour ago is not news, and of those that are gone only so many are remembered."""
    kills = Kills(most_kept=5)
    log.kill("/docker/" + "cd" * 32, at=1.0)
    assert look(kills, log.host, at=2.0 + KEPT_SECONDS) == {}
    for number in range(8):
        log.kill(f"/made/{number}", at=KEPT_SECONDS)
        told = look(kills, log.host, at=3.0 + KEPT_SECONDS + number / 1000)
    assert len(told) == 5
    close(kills)


def test_without_the_log_the_counters_remain(tmp_path: Path) -> None:
    """Where the log cannot be read, that is said, and living containers are told of all the same."""
    kills = Kills()
    with Host(str(tmp_path)) as host:
        assert look(kills, host, parts.container("web"), counted=2)["/docker/web"].kills == 2
    assert not kills.readable
