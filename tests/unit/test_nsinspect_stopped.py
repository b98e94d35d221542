"""`nsinspect NAME` of a container that does not run: how it ended, from its runtime's file and the kernel's log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inspector.errors import NoSuchContainer
from inspector.nsinspect.listing import resolve
from inspector.observe import Observer
from tests.fakehost import FakeHost
from tests.unit.test_nsinspect import container

GONE, OTHER = "cd" * 32, "ce" * 32
DOCKER, SANDBOX = "/var/lib/docker", "/var/lib/cgscope"
OOM = "web (pid 4711) was killed for lack of memory (OOM)"
NEVER = "0001-01-01T00:00:00Z"
NOW = 1795888800.0  # 2026-11-28T18:00:00Z
KILL = (
    "4,900,{micros},-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
    "oom_memcg={limit},task_memcg=/system.slice/docker-{id}.scope/inner,task=web,pid=4711,uid=0\n"
)


def state(id_: str, name: str = "gone", **changes: object) -> str:
    """Return what Docker, or our sandbox, has in a file of a container that ended five minutes ago."""
    told = {"Running": False, "ExitCode": 137, "OOMKilled": False, "FinishedAt": "2026-11-28T17:55:00Z", **changes}
    return json.dumps({"Id": id_, "Name": f"/{name}", "State": told})


def asked(fake: FakeHost, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is said of a name that no container has which runs."""
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    with fake.open() as host, pytest.raises(NoSuchContainer) as error:
        resolve(target, Observer(host).tick(), host)
    return str(error.value)


@pytest.mark.parametrize("target", ["gone", GONE, GONE[:12]])
@pytest.mark.parametrize(
    ("runtime", "store", "file"), [("docker", DOCKER, "config.v2.json"), ("sandbox", SANDBOX, "state.json")]
)
def test_how_it_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, runtime: str, store: str, file: str
) -> None:
    """By name, id and its beginning: which one, when, how, and the file that says so."""
    path = f"{store}/containers/{GONE}/{file}"
    fake = container(tmp_path).file(path, state(GONE)).file(f"{store}/containers/{OTHER}/{file}", state(OTHER, "other"))
    assert asked(fake, target, monkeypatch) == (
        f"container gone ({runtime}) does not run: it ended 5m00s ago, exit code 137 (SIGKILL?) ({path})"
    )


@pytest.mark.parametrize(
    ("micros", "limit", "why"),
    [
        (699_000_000, f"/system.slice/docker-{GONE}.scope", f"{OOM}, "),
        (699_000_000, "/system.slice", f"{OOM}, at the limit of /system.slice, "),
        (600_000_000, f"/system.slice/docker-{GONE}.scope", ""),  # long before
        (720_000_000, f"/system.slice/docker-{GONE}.scope", ""),  # after it: another one under the same id
    ],
)
def test_who_was_killed_by_whose_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micros: int, limit: str, why: str
) -> None:
    """The kernel's log names the victim of the last moments, and whose limit it met."""
    fake = container(tmp_path).file(f"{DOCKER}/containers/{GONE}/config.v2.json", state(GONE))
    fake.file("/dev/kmsg", KILL.format(micros=micros, limit=limit, id=GONE))
    assert f" ago, {why}exit code 137 (SIGKILL?) (" in asked(fake, "gone", monkeypatch)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"State": 5}', state(GONE, FinishedAt=NEVER, Running=True), state(GONE, "another")],
)
def test_what_tells_of_no_end_is_no_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A file that makes no sense, one of who runs, and another one: nobody is called so."""
    fake = container(tmp_path).file(f"{DOCKER}/containers/{GONE}/config.v2.json", text)
    assert "no container with the id or name 'gone'" in asked(fake, "gone", monkeypatch)


@pytest.mark.parametrize("error", ["", 'exec: "web": not found in $PATH'])
def test_one_that_never_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    """Made and not started, or what could not be started: with what its runtime has to say of that."""
    path = f"{DOCKER}/containers/{GONE}/config.v2.json"
    fake = container(tmp_path).file(path, state(GONE, FinishedAt=NEVER, StartedAt=NEVER, Error=error, ExitCode=127))
    said = f": {error}" if error else ""
    assert asked(fake, "gone", monkeypatch) == f"container gone (docker) was never started{said} ({path})"


def test_a_hostile_name_and_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they say stays one line that does nothing to a terminal."""
    text = state(GONE, "a\x1b[2J\nb", Error="no\nsuch \x1b]0;file")
    said = asked(container(tmp_path).file(f"{DOCKER}/containers/{GONE}/config.v2.json", text), GONE[:6], monkeypatch)
    assert said.isprintable()
    assert r"a\x1b[2J\x0ab" in said
