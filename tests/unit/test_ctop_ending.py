"""Why a container ended: what runtimes write down, what the kernel tells, and what is said when nobody does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.closeup import Ask, Part
from inspector.ctop.closer import Closer
from inspector.ctop.ending import Ends
from inspector.demise import Found, told_of
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.kmsg import Kill
from inspector.kernel.pidfd import INFO, open_process, parse_info, read_end
from inspector.kernel.process import read_stat
from inspector.model import Container, Leader, Process
from inspector.observe import Observer
from inspector.stores import Clues
from inspector.stores.endings import Ending, endings, parse_cri, parse_exit, parse_state
from tests.unit.test_ctop_closer import ID, PATH, machine

STATE = f"/var/lib/docker/containers/{ID}/config.v2.json"
FINISHED = "2026-11-28T18:00:00.123456789Z"
AT = 1795888800.123456
NEVER = "0001-01-01T00:00:00Z"
END: frozenset[Part] = frozenset({"end"})


def state(**changes: Any) -> str:  # noqa: ANN401  whatever may be in a file
    """Return a config.v2.json of Docker whose container has ended with 3."""
    told = {"Running": False, "Restarting": False, "ExitCode": 3, "OOMKilled": False, "Error": "",
            "FinishedAt": FINISHED}  # fmt: skip
    return json.dumps({"Name": "/web", "State": {**told, **changes}, "HasBeenManuallyStopped": False})


def test_dockers_state() -> None:
    """An end is told once there is one: code, lack of memory, an order to stop, what Docker says."""
    assert parse_state(state().encode()) == Ending(3, finished=AT)
    assert parse_state(state(Running=True).encode()) is None
    assert parse_state(state(FinishedAt=NEVER).encode()) is None
    assert parse_state(state(Running=True, Restarting=True).encode()) == Ending(3, finished=AT)
    assert parse_state(state(OOMKilled=True, ExitCode=137, Error="no such file").encode()) == Ending(
        137, out_of_memory=True, error="no such file", finished=AT
    )
    stopped = {**json.loads(state()), "HasBeenManuallyStopped": True}
    assert parse_state(json.dumps(stopped).encode()) == Ending(3, ordered=True, finished=AT)
    assert parse_state(state(ExitCode="\x1b", Error=7).encode()) == Ending(finished=AT)


def test_conmons_exit_code() -> None:
    """The file has the code alone; anything else is an error."""
    assert parse_exit(b"137\n") == Ending(137)
    for data in (b"", b"-1", b"1234", b"\xff"):
        with pytest.raises(ParseError):
            parse_exit(data)


def test_the_status_of_containerds_cri() -> None:
    """A container of Kubernetes that has ended has a code and a reason; its own words are kept."""
    status = {"Version": "v1", "FinishedAt": 1764350000000000000, "ExitCode": 137, "Reason": "OOMKilled", "Message": ""}
    assert parse_cri(json.dumps(status).encode()) == Ending(137, out_of_memory=True, finished=1764350000)
    for never in (0, -1, 10**400, "5"):
        assert parse_cri(json.dumps({**status, "FinishedAt": never}).encode()) is None
    told = {**status, "Reason": "StartError", "Message": "no such file"}
    assert parse_cri(json.dumps(told).encode()) == Ending(137, error="StartError: no such file", finished=1764350000)
    plain = {**status, "Reason": "Error", "ExitCode": 1}
    assert parse_cri(json.dumps(plain).encode()) == Ending(1, finished=1764350000)


@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: json.dumps({"State": text}).encode()))
def test_any_bytes_are_an_end_or_an_error_or_nothing(data: bytes) -> None:
    """Nothing but ParseError is raised."""
    for parse in (parse_state, parse_exit, parse_cri):
        try:
            assert parse(data) is None or isinstance(parse(data), Ending)
        except ParseError:
            continue


def test_where_an_end_is_looked_for() -> None:
    """Each runtime's own file, below the root that is seen in the container's layers or its monitor's command line."""
    upper = f"/data/docker/overlay2/{ID}/diff"
    assert [one.path for one in endings("docker", Clues(ID, upper))] == [
        f"/data/docker/containers/{ID}/config.v2.json", STATE,
    ]  # fmt: skip
    monitor = ("/usr/bin/conmon", "--exit-dir", "/run/user/7/exits", "-b", "/x")
    assert [one.path for one in endings("podman", Clues(ID, parent=monitor))] == [
        f"/run/user/7/exits/{ID}", f"/run/libpod/exits/{ID}",
    ]  # fmt: skip
    assert endings("podman", Clues(ID, parent=("conmon", "--exit-dir", "../up")))[0].path == f"/run/libpod/exits/{ID}"
    assert f"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{ID}/status" in [
        one.path for one in endings("containerd", Clues(ID))
    ]
    assert endings("lxc", Clues(ID)) == []


def test_struct_pidfd_info() -> None:
    """The wait status is told only with the bit that says so."""
    assert INFO.size == 64
    told = struct.pack("=QQ11Ii", 1 << 3 | 1 << 2, 7, *[0] * 11, 768)
    assert parse_info(told) == 768
    assert parse_info(struct.pack("=QQ11Ii", 1 << 2, 7, *[0] * 11, 0)) is None


@contextlib.contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that does nothing; it is gone afterwards."""
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            yield child
        finally:
            child.kill()


def killed_child(number: int) -> int | None:
    """Return what a descriptor tells of a process that a signal ended, once it is reaped."""
    with sleeper() as child:
        descriptor = open_process(child.pid)
        try:
            assert read_end(descriptor) is None
            child.send_signal(number)
            child.wait()
            return read_end(descriptor)
        finally:
            os.close(descriptor)


def test_the_kernel_tells_a_wait_status_or_nothing() -> None:
    """Since Linux 6.15 it is that of waitpid; before it is not told."""
    new = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)
    assert killed_child(signal.SIGKILL) == (signal.SIGKILL if new else None)


KILL = Kill(1, PATH, "web", 7)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Found(status=3 << 8), "exit code 3"),
        (Found(status=0), "exit code 0"),
        (Found(status=9), "killed by SIGKILL"),
        (Found(status=11 | 0x80), "killed by SIGSEGV (core dumped)"),
        (Found(status=64), "killed by SIGRTMAX"),
        (Found(status=40), "killed by signal 40"),
        (Found(ending=Ending(143)), "exit code 143 (SIGTERM?)"),
        (Found(ending=Ending(255)), "exit code 255 (signal 127?)"),
        (Found(ending=Ending(137, ordered=True)), "exit code 137 (SIGKILL?), on order to its runtime"),
        (Found(ending=Ending(1, error="no such file")), "exit code 1, no such file"),
        (Found(status=9, ending=Ending(137, out_of_memory=True)),
         "killed for lack of memory (OOM), killed by SIGKILL"),
        (Found(status=9, kill=KILL), "web (pid 7) was killed for lack of memory (OOM), killed by SIGKILL"),
        (Found(status=9, kill=KILL, at=", at the limit of /a"),
         "web (pid 7) was killed for lack of memory (OOM), at the limit of /a, killed by SIGKILL"),
        (Found(status=9, ending=Ending(137, ordered=True), kill=KILL, process=6),
         "killed by SIGKILL, on order to its runtime, shortly before web (pid 7) was killed for lack of memory (OOM)"),
        (Found(status=9, ending=Ending(137, ordered=True), kill=KILL, process=7),
         "web (pid 7) was killed for lack of memory (OOM), killed by SIGKILL, on order to its runtime"),
        (Found(), "why is not known"),
    ],
)  # fmt: skip
def test_the_words_for_an_end(found: Found, why: str) -> None:
    """The kernel's own word comes before the runtime's, and lack of memory before both.

    Not so where it met another process of one that was stopped: then it is told after the order.
    """
    assert told_of(found, is_last=True)[0] == why


def test_what_is_not_known_is_said() -> None:
    """Nobody writes down who sent a SIGKILL; a log that could not be read tells nothing; more may be to come."""
    assert any("who sent it" in text for text in told_of(Found(status=9), is_last=True)[1])
    assert not any("who sent it" in text for text in told_of(Found(status=9, kill=KILL), is_last=True)[1][1:2])
    assert "no look at the kernel's log" in told_of(Found(log_is_read=False), is_last=True)[1]
    assert told_of(Found(), is_last=False) == (None, ())
    assert told_of(Found(before=("at its limit of 5 tasks",)), is_last=True)[1][-1] == "at its limit of 5 tasks"


def test_a_runtime_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file comes after the end: the question stays open for some seconds, and its answer names the file."""
    now = [5000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    fake = machine(tmp_path).file("/dev/kmsg", "").file(STATE, state(Running=True))
    ask = Ask(ID, END, PATH, 5000.0)
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        closer.look(ask._replace(parts=frozenset()), None, seen)
        early = closer.look(ask, None, seen)
        fake.file(STATE, state())
        told = closer.look(ask, None, seen)
        fake.file(STATE, state(Running=True))
        closer.look(Ask("another", frozenset()), None, seen)
        closer.look(ask._replace(parts=frozenset()), None, seen)
        now[0] += 60
        never = closer.look(ask, None, seen)
        closer.close()
    assert (early.parts, early.ended) == (frozenset(), None)
    assert (told.parts, told.ended) == (END, "exit code 3")
    assert STATE in told.ended_by
    assert (never.parts, never.ended) == (END, "why is not known")


def test_a_file_that_makes_no_sense_is_no_answer(tmp_path: Path) -> None:
    """A runtime's file that is torn, or a link to somewhere else, tells nothing and ends nothing."""
    fake = machine(tmp_path).file("/dev/kmsg", "").file(STATE, "{")
    with fake.open() as host:
        seen, closer = Observer(host).tick(), Closer(host)
        closer.look(Ask(ID, frozenset()), None, seen)
        assert closer.look(Ask(ID, END, PATH, 1.0), None, seen).ended == "why is not known"


def test_what_its_cgroups_counted_last(tmp_path: Path) -> None:
    """OOM kills and refused forks while it was watched are told of, and that it had as many tasks as it may have."""
    fake = machine(tmp_path).file("/dev/kmsg", "")

    def counted(kills: int, hits: int, tasks: int) -> None:
        fake.cgroup("", PATH, {"memory.events": f"max 0\noom 0\noom_kill {kills}\n", "pids.events": f"max {hits}\n",
                               "pids.current": f"{tasks}\n"})  # fmt: skip

    counted(1, 5, 2)
    with fake.open() as host:
        observer, closer = Observer(host), Closer(host)
        closer.look(Ask(ID, frozenset()), None, observer.tick())
        counted(3, 9, 50)
        seen = observer.tick()
        closer.look(Ask(ID, frozenset()), None, seen)
        told = closer.look(Ask(ID, END, PATH, 1.0), None, seen)
    assert told.ended_by[-3:] == (
        "OOM kills: 2 while it was watched", "forks refused: 4 while it was watched",
        "at its limit of 50 tasks in the last sample",
    )  # fmt: skip


def test_the_first_process_is_held(tmp_path: Path) -> None:
    """A container without a runtime's file: how its first process ended is the kernel's to tell; nothing stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with sleeper() as child, machine(tmp_path).open() as fake, Host() as host:
        pid = child.pid
        seen = Observer(fake).tick()
        started = read_stat(host, pid).starttime_ticks
        leader = Leader(Process(pid, started, 1, "x", None, None), {}, seen.own.membership, None, "")
        one = Container(ID, "x", "container", "unshare", "", leader, (pid,), (), {}, frozenset())
        ends, other = Ends(host), Ends(host)
        ends.watch(one, seen)
        late = leader._replace(process=leader.process._replace(starttime_ticks=started + 1))
        other.watch(one._replace(leader=late), seen)  # another process had this PID
        child.kill()
        child.wait()
        told, stranger = (of.told(Ask(ID, END, PATH, 1.0), 2.0) for of in (ends, other))
        ends.forget()
        other.forget()
    assert told.ended in ("killed by SIGKILL", "why is not known")  # the latter before Linux 6.15
    assert stranger.ended == "why is not known"
    assert len(os.listdir("/proc/self/fd")) == before
