"""The pure parts of a container's life: restarts, health, filters, events, times, keys, logs, what is kept as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import (
    cli,
    ending,
    event_text,
    events,
    health,
    journal,
    lifecycle,
    liveness,
    log_file,
    logs,
    ps,
    restart,
    signals,
    times,
)
from sandbox.attach import DetachKeys, parse_keys
from sandbox.codec import decode, encode
from sandbox.commands import watching
from sandbox.errors import SandboxError
from sandbox.limits import Limits
from sandbox.loop import Loop
from sandbox.outlet import LIMIT, Outlet
from sandbox.spec import Spec
from sandbox.state import Store
from sandbox.volumes.wanted import Volume
from tests.unit.test_sandbox_state import document

SECOND = 10**9


def test_pauses_between_restarts() -> None:
    """The pause doubles from 100 ms to a minute, and begins anew after a run of ten seconds."""
    restarts = restart.Restarts("always", 0)
    pauses = [restarts.next(1, 0.0, stopped=False) for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 60.0
    assert restarts.next(0, 10.0, stopped=False) == 0.1
    assert restarts.count == 13


@pytest.mark.parametrize(
    ("policy", "code", "stopped", "again"),
    [
        ("no:", 1, False, False),
        ("always", 0, False, True),
        ("always", 0, True, False),
        ("unless-stopped", 3, False, True),
        ("unless-stopped", 3, True, False),
        ("on-failure", 0, False, False),
        ("on-failure", 2, False, True),
        ("on-failure:1", 2, False, True),
    ],
)
def test_restart_policies(policy: str, code: int, *, stopped: bool, again: bool) -> None:
    """A policy decides by the exit code; nothing restarts what was stopped by hand."""
    name, most = ("no", 0) if policy == "no:" else restart.parse(policy)
    assert (restart.Restarts(name, most).next(code, 0, stopped=stopped) is not None) == again


def test_restarts_are_counted() -> None:
    """On-failure:2 starts a container again twice."""
    restarts = restart.Restarts(*restart.parse("on-failure:2"))
    assert [restarts.next(1, 0, stopped=False) is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("text", ["sometimes", "always:3", "no:1", "on-failure:x", "on-failure:-1", "on-failure:"])
def test_restart_policies_that_do_not_exist(text: str) -> None:
    """What Docker refuses is refused."""
    with pytest.raises(SandboxError, match="invalid restart policy"):
        restart.parse(text)


def checks(**config: object) -> health.Checks:
    """Return the checks of a container that was started at 0."""
    return health.Checks({"Test": ["CMD-SHELL", "true"], **config}, 0.0)


def test_health_goes_up_and_down() -> None:
    """B108: one success makes healthy, as many failures in a row as `Retries` unhealthy."""
    found = checks(Retries=2)
    assert (found.status, found.command) == ("starting", ("/bin/sh", "-c", "true"))
    assert not found.record(1, 2, 1, "no")
    assert found.record(2, 3, 0, "yes")
    assert found.status == "healthy"
    assert [found.record(3, 4, 1, ""), found.record(4, 5, 7, "")] == [False, True]
    assert (found.status, found.streak) == ("unhealthy", 2)
    assert found.record(5, 6, 0, "")
    assert (found.status, found.streak) == ("healthy", 0)
    assert [entry["ExitCode"] for entry in found.document()["Log"]] == [1, 0, 1, 7, 0]


def test_health_while_starting() -> None:
    """Failures of the start period do not count, and probes come more often in it."""
    found = checks(StartPeriod=10 * SECOND, StartInterval=2 * SECOND, Interval=20 * SECOND, Retries=1)
    assert found.pause(0) == 2.0
    assert not found.record(9, 9, 1, "")
    assert found.pause(10) == 20.0
    assert found.record(10, 10, 1, "")
    assert found.status == "unhealthy"


def test_health_log_is_bounded() -> None:
    """Five results of 4096 characters are kept; a probe that took too long says so (B108)."""
    found = checks()
    for number in range(9):
        found.record(number, number, 0, "x" * 10000)
    log = found.document()["Log"]
    assert (len(log), len(log[0]["Output"]), log[0]["Start"]) == (5, 4096, times.timestamp(4))
    assert health.timed_out(1.0, "") == (-1, "Health check exceeded timeout (1s)")


def test_health_options() -> None:
    """The options become Docker's Healthcheck; what contradicts itself is refused."""
    found = lifecycle.healthcheck("curl x", {"interval": "1m30s", "timeout": "", "start_period": ""}, 4, none=False)
    assert found is not None
    assert found.document() == {"Test": ["CMD-SHELL", "curl x"], "Interval": 90 * SECOND, "Retries": 4}
    assert lifecycle.healthcheck("", {}, 0, none=False) is None
    assert lifecycle.healthcheck("", {}, 0, none=True) == lifecycle.Healthcheck(("NONE",))
    bad: list[tuple[dict[str, str], bool]] = [({}, True), ({"interval": "10us"}, False), ({"interval": "5"}, False)]
    for durations, none in bad:
        with pytest.raises(SandboxError):
            lifecycle.healthcheck("x", durations, 0, none=none)


@given(st.integers(min_value=0, max_value=10**15))
def test_durations_there_and_back(nanoseconds: int) -> None:
    """What Go would write is read as the same duration."""
    text = times.format_duration(nanoseconds / 1e9)
    assert times.parse_duration(text) == pytest.approx(nanoseconds / 1e9, rel=1e-6, abs=1e-9)


@given(st.text())
def test_any_text_as_a_time(text: str) -> None:
    """A time is a number or one error, whatever is typed."""
    for parse in (times.parse_duration, times.seconds_of):
        try:
            assert isinstance(parse(text), float | int)
        except (ValueError, OverflowError):
            continue


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h2m3s", 3723), ("1.5s", 1.5), ("500ms", 0.5), ("0", 0), ("-2m", -120), (".5s", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    """Go's durations are understood."""
    assert times.parse_duration(text) == seconds


def test_times() -> None:
    """A date with zone, seconds since 1970 and a duration before now are times."""
    assert times.seconds_of("2026-01-02T03:04:05.5Z") == 1767323045.5
    assert times.seconds_of("2026-01-02T04:04:05+01:00") == 1767323045
    assert times.seconds_of(times.timestamp(1767323045.25)) == 1767323045.25
    assert times.moment("10m", 1000.0, "--since") == 400.0
    assert times.moment("1767323045.5", 0.0, "--since") == 1767323045.5
    with pytest.raises(SandboxError, match="--until"):
        times.moment("yesterday", 0.0, "--until")
    for text in ("nan", "inf", "1e9", "1_0", "9" * 400):
        with pytest.raises(SandboxError, match="invalid time"):
            times.moment(text, 0.0, "--until")


@pytest.mark.parametrize(("option", "value", "code"), [("--detach-keys", "nosuch", 1), ("--cpus", "", 125)])
def test_an_option_that_makes_no_difference_is_checked(
    tmp_path: os.PathLike[str], option: str, value: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys that nobody looks for without a terminal, and an empty number of CPUs, are refused as by Docker."""
    assert cli.main(["--root", str(tmp_path), "run", option, value, "--rootfs", "/", "true"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_detach_keys() -> None:
    """Keys are letters and ctrl- combinations; found also when they come one by one, and passed on when they do not."""
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("a,ctrl-[,ctrl-@") == b"a\x1b\x00"
    for text in ("ctrl-", "ctrl-1", "ab", "a,,b", "é"):
        with pytest.raises(SandboxError, match="invalid detach keys"):
            parse_keys(text)
    keys = DetachKeys(b"\x10\x11")
    assert [keys.feed(b"a\x10"), keys.feed(b"b\x10\x10"), keys.feed(b"\x11c")] == [
        (b"a", False),
        (b"\x10b\x10", False),
        (b"", True),
    ]


@given(st.lists(st.binary(max_size=5), max_size=20), st.binary(min_size=1, max_size=3))
def test_detach_keys_lose_nothing(pieces: list[bytes], wanted: bytes) -> None:
    """However the input is cut, what precedes the keys is passed on, and they are found where they first are."""
    keys, passed, left = DetachKeys(wanted), b"", False
    for piece in pieces:
        data, left = keys.feed(piece)
        passed += data
        if left:
            break
    whole = b"".join(pieces)
    position = whole.find(wanted)
    assert left == (position >= 0)
    if left:
        assert passed == whole[:position]
    else:
        assert whole.startswith(passed)
        assert wanted.startswith(whole[len(passed) :])


def container(name: str, status: str = "running", **more: Any) -> dict[str, Any]:  # noqa: ANN401  parts of a document
    """Return as much of a document as `ps` reads."""
    state = {"Status": status, "Running": status == "running", "Paused": False, "ExitCode": more.get("code", 0)}
    ports = more.get("ports", {})
    state |= {"StartedAt": times.timestamp(90), "FinishedAt": times.timestamp(95), **more.get("state", {})}
    return {
        "Id": name[0] * 64,
        "Name": name,
        "Created": times.timestamp(more.get("made", 10)),
        "Path": "sh",
        "Args": [],
        "Image": "img",
        "State": state,
        "Config": {"Image": "img", "Labels": more.get("labels", {}), "ExposedPorts": more.get("exposed", {})},
        "HostConfig": {"NetworkMode": "none"},
        "Mounts": [],
        "NetworkSettings": {"Networks": {}, "Ports": ports},
    }


PORTS = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}], "53/udp": None}
FLEET = [
    container("alpha", made=30, labels={"tier": "web", "x": ""}, ports=PORTS),
    container("beta", "exited", code=3, made=20, labels={"tier": "db"}),
    container("gamma", "created", made=10),
]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["status=exited"], "beta"),
        (["status=exited", "status=created"], "beta gamma"),
        (["exited=3"], "beta"),
        (["exited=0"], ""),
        (["name=a$"], "alpha beta gamma"),
        (["name=^al"], "alpha"),
        (["id=bb"], "beta"),
        (["label=tier"], "alpha beta"),
        (["label=tier=db"], "beta"),
        (["label=tier", "label=x"], "alpha"),
        (["before=beta"], "gamma"),
        (["since=gamma"], "alpha beta"),
        (["ancestor=img", "status=running"], "alpha"),
        (["health=none"], "alpha beta gamma"),
        (["network=none"], "alpha beta gamma"),
        (["publish=80"], "alpha"),
        (["publish=79-81/tcp"], "alpha"),
        (["publish=4000"], "alpha"),
        (["publish=4000/udp"], ""),
        (["publish=53/udp"], ""),
        (["expose=80"], "alpha"),
        (["expose=53/udp"], "alpha"),
        (["expose=53"], ""),
    ],
)
def test_ps_filters(filters: list[str], names: str) -> None:
    """B099: values of one key are alternatives, keys and labels must all hold."""
    assert " ".join(text["Name"] for text in ps.choose(FLEET, filters)) == names


@pytest.mark.parametrize(
    "text", ["colour=red", "status=ill", "status", "exited=x", "name=[", "before=nobody", "publish=x"]
)
def test_ps_filters_that_do_not_exist(text: str) -> None:
    """A filter that means nothing is an error, not an empty list."""
    with pytest.raises(SandboxError):
        ps.choose(FLEET, [text])


def test_ps_command() -> None:
    """A command is between quotes, as Docker's `ps` has it: twenty letters of it, and no quote of its own ends it."""
    text = {**container("alpha"), "Args": ["-c", 'echo "a\\b"\n']}
    assert ps.fields(text, 100, whole=True)["Command"] == r'''"sh -c 'echo \"a\\b\"\n'"'''
    assert ps.fields({**text, "Args": ["-c", "x" * 30]}, 100, whole=False)["Command"] == f'"sh -c {"x" * 13}…"'


def test_ps_status_and_formats() -> None:
    """The status says paused, restarting and the health; templates have columns, tabs and labels."""
    for health_status, text in (("starting", "health: starting"), ("unhealthy", "unhealthy")):
        text_of = container("a1", state={"Health": {"Status": health_status}})
        assert ps.status(text_of, 100) == f"Up 10 seconds ({text})"
    assert ps.status(container("a1", state={"Paused": True}), 100) == "Up 10 seconds (Paused)"
    assert ps.status(container("a1", "restarting", code=2), 100) == "Restarting (2) 5 seconds ago"
    assert ps.status(container("a1", "exited", code=137), 100) == "Exited (137) 5 seconds ago"
    shown = ps.listing(FLEET[:2], '{{.Names}}={{.Label "tier"}}', 100, whole=False)
    assert shown == "alpha=web\nbeta=db"
    header, row = ps.listing(FLEET[:1], "table {{.Names}}\\t{{.State}}", 100, whole=False).splitlines()
    assert (header.split(), row.split()) == (["NAMES", "STATE"], ["alpha", "running"])
    assert json.loads(ps.listing(FLEET[:1], "json", 100, whole=True))["ID"] == "a" * 64


@pytest.mark.parametrize(
    ("version", "controllers", "file", "content", "stopped"),
    [
        (1, ["freezer"], "freezer.state", "THAWED\n", False),
        (1, ["freezer"], "freezer.state", "FREEZING\n", True),
        (1, ["freezer"], "freezer.state", "FROZEN\n", True),
        (1, ["cpu"], "freezer.state", "FROZEN\n", False),
        (1, ["freezer"], "other", "", False),
        (2, [], "cgroup.events", "populated 1\nfrozen 0\n", False),
        (2, [], "cgroup.events", "populated 1\nfrozen 1\n", True),
    ],
)
def test_what_the_kernel_has_stopped(
    tmp_path: Path, version: int, controllers: list[str], file: str, content: str, *, stopped: bool
) -> None:
    """By the file that tells it, in either version; a cgroup that is gone or has no such file is not stopped."""
    (tmp_path / file).write_text(content)
    cgroup = {"Version": version, "Controllers": controllers, "Directory": str(tmp_path)}
    assert liveness.is_stopped({"Cgscope": {"Cgroups": [cgroup]}}) is stopped


def test_what_is_being_started_is_killed_when_its_program_is_known(tmp_path: os.PathLike[str]) -> None:
    """`rm -f` of a container that is being started ends it, once, although there was nothing to kill at first."""
    store, identity = Store(str(tmp_path)), "a" * 64
    mine = {"Pid": os.getpid(), "StartTime": liveness.start_time(os.getpid())}
    private: dict[str, Any] = {"Monitor": mine, "BootId": liveness.boot_id(), "StartTime": None, "Cgroups": []}
    state = {"Status": "created", "Running": False, "Paused": False, "Pid": 0}
    config = {"Labels": {}, "Image": "img"}
    store.add(document(identity, "one", State=state, Cgscope=private, Config=config), str)
    codes = []

    def start() -> None:
        while not store.load(identity)["Cgscope"].get("Stopped"):
            time.sleep(0.01)
        program = subprocess.Popen(["sleep", "1000"])
        with store.changing(identity) as text:
            text["State"].update(Status="running", Running=True, Pid=program.pid)
            text["Cgscope"]["StartTime"] = liveness.start_time(program.pid)
        codes.append(program.wait())
        with store.changing(identity) as text:
            text["Cgscope"]["Monitor"] = None

    starter = threading.Thread(target=start)
    starter.start()
    ending._end(store, store.load(identity))  # noqa: SLF001
    starter.join()
    assert codes == [-signal.SIGKILL]
    assert [event["Action"] for event in journal.follow(str(tmp_path), 0, time.time())] == ["kill"]


def test_a_damaged_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a power cut left of a log, zeros and half a line among records, is passed over, and told once."""
    path, now = tmp_path / "log.jsonl", "2026-01-02T03:04:05.5Z"
    good = [
        json.dumps({"log": f"{text}\n", "stream": "stdout", "time": now}).encode() for text in ("one", "two", "three")
    ]
    odd = [b'{"log": "half', b"\0\0\0", b"[]", b"5", b'{"log": 5, "stream": "stdout", "time": ""}', b"[" * 9999]
    path.write_bytes(b"\n".join([good[0], *odd, bytes(99) + good[1], good[2], b"half a record"]))
    store = Store(str(tmp_path / "state"))
    host_config = {"AutoRemove": False}
    text = document("a" * 64, "one", LogPath=str(path), State={"Running": False}, HostConfig=host_config)
    store.add(text, str)
    for options in (logs.Shown(), logs.Shown(since=1.0), logs.Shown(tail=3)):
        assert logs.show(store, "one", options) == 0
        said = capfd.readouterr()
        assert said.out == "one\ntwo\nthree\n"
        assert said.err == f"sandbox: warning: {path}: a line that is no record is left out\n"


def test_events_are_kept_and_found(tmp_path: os.PathLike[str]) -> None:
    """What is appended is followed, by time and by filter; a line that is no event is left out."""
    root = str(tmp_path)
    begun = time.time()
    events.of_container(root, {**FLEET[0]}, "start")
    events.of_container(root, {**FLEET[1]}, "die", exitCode="3")
    with open(f"{root}/events.jsonl", "a", encoding="ascii") as file:
        file.write('{"no": "event"}\nrubbish\n')
    found = list(journal.follow(root, begun, time.time()))
    assert [event["Action"] for event in found] == ["start", "die"]
    assert found[1]["Actor"]["Attributes"] == {"tier": "db", "image": "img", "name": "beta", "exitCode": "3"}
    assert list(journal.follow(root, time.time() + 10, time.time())) == []
    wanted = event_text.chooser(["container=beta", "event=die"])
    assert [wanted(event) for event in found] == [False, True]
    assert event_text.line(found[1]).endswith(f"container die {'b' * 64} (exitCode=3, image=img, name=beta, tier=db)")
    assert event_text.line(found[1], "{{.Action}} {{.Actor.ID}}") == f"die {'b' * 64}"
    assert event_text.line(found[1], "{{.Status}} {{.ID}} {{.From}} {{.Scope}}") == f"die {'b' * 64} img local"
    assert event_text.line(found[1], "{{.Time}}.{{.TimeNano}}") == f"{found[1]['time']}.{found[1]['timeNano']}"
    assert event_text.line(found[1], "json").startswith(f'{{"status":"die","id":"{"b" * 64}","from":"img","Type":')
    with pytest.raises(SandboxError, match="invalid filter"):
        event_text.chooser(["colour=red"])


@pytest.mark.parametrize("line", [
    '{"no": "event"}', "rubbish", "[]", "7", "null", '"text"', "[" * 100_000, "9" * 5000, "x" * (2 << 20),
    '{"timeNano": 5}', '{"timeNano": 5, "time": 0, "Actor": [], "Type": "a", "Action": "b", "scope": "local"}',
    '{"timeNano": 5, "time": 0, "Actor": {"ID": "i", "Attributes": {"a": 1}}, "Type": "a", "Action": "b", "scope": ""}',
    '{"timeNano": 1e999, "time": 0, "Actor": {"ID": "i", "Attributes": {}}, "Type": "a", "Action": "b", "scope": ""}',
    '{"timeNano": 9e400, "time": 0, "Actor": {"ID": 3, "Attributes": {}}, "Type": "a", "Action": "b", "scope": ""}',
], ids=lambda line: line[:8])  # fmt: skip
def test_a_line_that_is_no_event_is_left_out_and_said_once(
    tmp_path: os.PathLike[str], capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Whatever a line of the journal is, `events` shows the others, in each of its forms."""
    root = str(tmp_path)
    events.of_container(root, {**FLEET[0]}, "start")
    with open(f"{root}/events.jsonl", "a", encoding="ascii") as file:
        file.write(f"{line}\n{line}\n")
    events.of_container(root, {**FLEET[1]}, "die", exitCode="3")
    words = ["--since", "1h", "--until", str(time.time() + 1)]
    for form in ([], ["--format", "json"], ["--format", "{{.From}} {{.Action}}"], ["-f", "label=tier=db"]):
        assert watching.events([*words, *form], Store(root)) == 0
        shown, said = capsys.readouterr()
        assert ("start" in shown, "die" in shown) == ("label=tier=db" not in form, True)
        assert said.replace(".jsonl.1", ".jsonl") == (
            f"sandbox: warning: {root}/events.jsonl: a line that is no event is left out\n"
        )


def test_what_lies_in_the_place_of_the_journal_is_neither_waited_at_nor_read(tmp_path: os.PathLike[str]) -> None:
    """A FIFO, a directory, a device or something huge is refused by `events`, and stops nobody who would write."""
    root = str(tmp_path)
    places: dict[str, Callable[[str], object]] = {
        "fifo": os.mkfifo,
        "directory": os.mkdir,
        "device": lambda path: os.symlink("/dev/zero", path),
        "huge": lambda path: _sparse(path, 1 << 40),
    }
    for kind, make in places.items():
        for name in ("events.jsonl", "events.jsonl.1"):
            make(f"{root}/{name}")
            if name == "events.jsonl" and kind != "huge":
                events.of_container(root, {**FLEET[0]}, "start")
            with pytest.raises((SandboxError, IsADirectoryError), match=r"no journal|a directory"):
                list(journal.follow(root, 0, 0))
            (os.rmdir if kind == "directory" else os.unlink)(f"{root}/{name}")


def _sparse(path: str, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def test_events_of_networks_volumes_and_images(tmp_path: os.PathLike[str]) -> None:
    """They are filtered by their names and ids, and have none of the keys that are a container's."""
    root = str(tmp_path)
    events.append(root, "network", "connect", "n" * 64, {"container": "c" * 64, "name": "net", "type": "bridge"})
    events.append(root, "volume", "create", "vol", {"driver": "local"})
    events.append(root, "image", "tag", f"sha256:{'i' * 64}", {"name": "web:1"})
    found = list(journal.follow(root, 0, time.time()))
    for filters, actions in (
        (["network=net"], ["connect"]), (["network=nnn"], ["connect"]), (["network=vol"], []),
        (["container=vol"], []), (["volume=vol"], ["create"]), (["image=web:1"], ["tag"]), (["image=web"], ["tag"]),
        (["image=we"], []), ([f"image=sha256:{'i' * 64}"], ["tag"]), (["image=sha256"], []),
        (["scope=local", "type=image"], ["tag"]), (["scope=swarm"], []),
    ):  # fmt: skip
        assert [event["Action"] for event in found if event_text.chooser(filters)(event)] == actions, filters
    assert event_text.line(found[1], "{{.Status}}{{.ID}}{{.From}}{{.Actor.Attributes.x}}") == "<no value>"
    assert '"status"' not in event_text.line(found[1], "json")


def test_the_journal_is_bounded(tmp_path: os.PathLike[str]) -> None:
    """There are two files of about a mebibyte at most, and the last event is always in one of them."""
    for number in range(60):
        events.append(str(tmp_path), "container", "start", str(number), {"padding": "x" * 50_000})
    sizes = {name: os.path.getsize(f"{tmp_path}/{name}") for name in os.listdir(tmp_path)}
    assert set(sizes) == {"events.jsonl", "events.jsonl.1"}
    assert all(size < events.LARGEST + 60_000 for size in sizes.values())
    assert list(journal.follow(str(tmp_path), 0, time.time()))[-1]["Actor"]["ID"] == "59"


def test_following_over_a_rotation(tmp_path: os.PathLike[str]) -> None:
    """Who follows sees every event, also those on both sides of a new file."""
    seen: list[str] = []
    numbers = iter(range(1, 40))

    def write_more(_: float) -> None:
        number = next(numbers, None)
        if number is None:
            raise KeyboardInterrupt
        events.append(str(tmp_path), "container", "start", str(number), {"padding": "x" * 100_000})

    with contextlib.suppress(KeyboardInterrupt):
        seen.extend(event["Actor"]["ID"] for event in journal.follow(str(tmp_path), 0, None, write_more))
    assert seen == [str(number) for number in range(1, 40)]


def test_logs_are_rotated(tmp_path: os.PathLike[str]) -> None:
    """B101: max-size and max-file bound what is kept, and no record is torn or lost between the files."""
    path = f"{tmp_path}/log"
    log = log_file.Log(path, *log_file.options({"max-size": "1k", "max-file": "3"}))
    for number in range(100):
        log.write("stdout", f"line {number}\n".encode())
    files = sorted(os.listdir(tmp_path))
    assert files == ["log", "log.1", "log.2"]
    assert all(os.path.getsize(f"{tmp_path}/{file}") <= 1024 for file in files)
    reader = logs._Reader(path)  # noqa: SLF001
    kept = [record["log"] for record in reader.records()]
    reader.close()
    assert kept == [f"line {number}\n" for number in range(100 - len(kept), 100)]
    assert len(kept) > 20


@pytest.mark.parametrize("burst", [1, 9, 15, 24])
def test_logs_are_followed_through_rotations(tmp_path: os.PathLike[str], burst: int) -> None:
    """Who reads between bursts of output has all of it, and once, also where it was rotated twice in one."""
    log = log_file.Log(f"{tmp_path}/log", *log_file.options({"max-size": "1k", "max-file": "4"}))
    reader = logs._Reader(f"{tmp_path}/log")  # noqa: SLF001
    seen = []
    for number in range(burst * 12):
        log.write("stdout", f"line {number}\n".encode())
        if not (number + 1) % burst:
            seen += [record["log"] for record in reader.records()]
    reader.close()
    assert seen == [f"line {number}\n" for number in range(burst * 12)]


def test_a_number_of_logs_without_a_size_has_no_effect(tmp_path: os.PathLike[str]) -> None:
    """As Docker has it: there is one, of any size."""
    log_file.check_options("json-file", {"max-file": "2"})
    log = log_file.Log(f"{tmp_path}/log", *log_file.options({"max-file": "2"}))
    for _ in range(3):
        log.write("stdout", b"x" * 4000 + b"\n")
    assert os.listdir(tmp_path) == ["log"]


@pytest.mark.parametrize(
    ("driver", "given_options"),
    [
        ("syslog", {}),
        ("none", {"max-size": "1k"}),
        ("json-file", {"max-size": "0"}),
        ("json-file", {"max-size": "x"}),
        ("json-file", {"max-file": "x"}),
        ("json-file", {"max-size": "1k", "max-file": "0"}),
        ("json-file", {"colour": "red"}),
    ],
)
def test_logs_that_cannot_be(driver: str, given_options: dict[str, str]) -> None:
    """A driver or an option that does not exist is an error."""
    with pytest.raises(SandboxError):
        log_file.check_options(driver, given_options)


@pytest.mark.parametrize(
    ("text", "number"), [("KILL", 9), ("sigterm", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("HUP", 1)]
)
def test_signals(text: str, number: int) -> None:
    """B096: a signal goes by number, name, or name with SIG; real-time ones by their distance."""
    assert signals.number_of(text) == number


@pytest.mark.parametrize("text", ["0", "SIG42", "42x", "", "RTMIN+99", "RTMAX+1", "-9"])
def test_signals_that_do_not_exist(text: str) -> None:
    """B096: anything else is an error."""
    with pytest.raises(SandboxError, match="invalid signal"):
        signals.number_of(text)


def test_a_spec_there_and_back() -> None:
    """What `create` was told is what `start` reads, with every part that is not its default."""
    spec = Spec(
        rootfs="/",
        argv=("sh", "-c", "x"),
        env=("A=b",),
        volumes=(Volume("/a", "/b", read_only=True),),
        capabilities=frozenset({"CAP_KILL", "CAP_CHOWN"}),
        limits=Limits(memory_bytes=64 << 20),
        lifecycle=lifecycle.Lifecycle(labels=(("k", "v"),), health=lifecycle.Healthcheck(("CMD", "true"), retries=2)),
        tty=True,
    )
    assert decode(Spec, json.loads(json.dumps(encode(spec)))) == spec
    wrong: list[object] = [{}, {"rootfs": 3, "argv": ["x"]}, {"rootfs": "/", "argv": ["x"], "tty": "yes"}, [], None]
    for bad in wrong:
        with pytest.raises(SandboxError):
            decode(Spec, bad)


def test_lines_of_env_files(tmp_path: os.PathLike[str]) -> None:
    """Comments and blank lines are left out; a key with a blank in it is an error that names it."""
    path = f"{tmp_path}/env"
    with open(path, "w", encoding="utf-8") as file:
        file.write("# comment\n\nA=b # c\n  B\nC=\n")
    assert lifecycle.read_lines(path, "environment") == ["A=b # c", "B", "C="]
    with open(path, "w", encoding="utf-8") as file:
        file.write("A B=c\n")
    with pytest.raises(SandboxError, match="contains whitespaces"):
        lifecycle.read_lines(path, "environment")
    with pytest.raises(SandboxError, match="no such file"):
        lifecycle.read_lines(f"{tmp_path}/none", "environment")


def test_the_loop_serves_and_stops() -> None:
    """Descriptors and timers are served in their time; what one takes away the next does not get."""
    loop = Loop()
    reading, writing = os.pipe()
    seen: list[str] = []
    loop.watch(reading, lambda: seen.append(os.read(reading, 10).decode()))
    loop.after(0.02, loop.stop)
    loop.after(0.0, lambda: os.write(writing, b"x"))
    loop.after(0.001, lambda: seen.append("no")).cancel()
    loop.run()
    loop.unwatch(reading)
    os.write(writing, b"y")
    loop.after(0.01, loop.stop)
    loop.run()
    assert seen == ["x"]
    loop.close()
    os.close(reading)
    os.close(writing)


def test_cancelled_timers_go_at_once() -> None:
    """A name server sets one for each question: those of questions that have their answer are not kept."""
    loop = Loop()
    seen: list[str] = []
    loop.after(0.0, lambda: seen.append("first"))
    for _ in range(100):
        loop.after(1000.0, loop.stop).cancel()
    loop.after(0.0, loop.stop)
    assert len(loop._timers) <= 3  # noqa: SLF001  what it keeps shows nowhere else
    loop.run()
    loop.close()
    assert seen == ["first"]


def test_an_outlet_never_waits() -> None:
    """What the reader does not take is kept in order; `full` tells, and `drained` when there is room again."""
    loop = Loop()
    reading, writing = os.pipe()
    told: list[str] = []
    outlet = Outlet(loop, writing, lambda: told.append("drained"), lambda: told.append("broken"))
    sent = b"".join(bytes([number]) * 100_000 for number in range(20))
    for start in range(0, len(sent), 100_000):
        outlet.write(sent[start : start + 100_000])
    assert outlet.full == (len(sent) - 65536 > LIMIT)
    got = bytearray()

    def take() -> None:
        got.extend(os.read(reading, 1 << 20))
        if len(got) == len(sent):
            loop.stop()

    loop.watch(reading, take)
    loop.run()
    assert bytes(got) == sent
    assert (told, outlet.empty) == (["drained"], True)
    os.close(reading)
    outlet.write(b"x")
    assert told[-1] == "broken"
    loop.close()
