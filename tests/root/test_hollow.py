"""Hollow containers, with real processes: PID 1 lives and its application was killed; and those that only look so."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.kernel.host import Host
from inspector.observe import Observer
from inspector.schema import Container
from tests.testbed.commands import NSINSPECT, Sandbox, ctop_document, find, run
from tests.testbed.processes import children
from tests.testbed.tools import need

pytestmark = pytest.mark.root

PATIENCE_SECONDS = 120.0
# "server" is a name of its own for a program that waits: what comm and command line show.
SHELLS = ("dash", "bash", "busybox sh")
ENDINGS = ("while :; do sleep 1; done", "tail -f /dev/null", "sleep infinity")
ALIVE = (
    ("sleep", "infinity"),
    ("tail", "-f", "/dev/null"),
    ("sh", "-c", "sleep infinity"),
    ("sh", "-c", "while :; do sleep 1; done"),
    ("sh", "-c", "while :; do date > /dev/null; sleep 0.2; done"),
    ("bash", "-c", "while :; do sleep 0.1 & wait; date > /dev/null; sleep 0.3; done"),
    ("sh", "-c", "if false; then server & fi; tail -f /dev/null; true"),
    ("sh", "-c", "date > /dev/null; tail -f /dev/null; true"),
    ("sh", "-c", "until false; do sleep 1; done; server & wait"),
    ("sh", "-c", "sleep 1000; server & tail -f /dev/null"),
    ("perl", "-e", "sleep"),
    ("sh", "-c", "while :; do :; done"),
)


@pytest.fixture
def server(tmp_path: Path) -> str:
    """Give a program called `server`, which waits for ever."""
    need("busybox", "unshare")
    path = tmp_path / "server"
    path.write_bytes(Path("/usr/bin/perl").read_bytes())
    path.chmod(0o755)
    return f"{path} -e sleep"


@contextlib.contextmanager
def container(*command: str, terminal: int | None = None) -> Iterator[int]:
    """Run a command as PID 1 of new PID and mount namespaces; give its PID on this machine."""
    unshare = ["unshare", "-pmf", "--mount-proc", "--kill-child", *command]
    if terminal is None:
        launcher = subprocess.Popen(unshare, stdin=subprocess.DEVNULL, start_new_session=True)
    else:
        launcher = subprocess.Popen(["setsid", "--ctty", *unshare], stdin=terminal, stdout=terminal, stderr=terminal)
    try:
        yield wait_for(lambda: next(iter(children(launcher.pid)), 0))
    finally:
        launcher.kill()
        launcher.wait()


def wait_for(look: object) -> int:
    """Return the first true answer."""
    assert callable(look)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found
    return int(found)


def comm(pid: int) -> str:
    """Return the name of a process, "" for none."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()
    return ""


def words(pid: int) -> list[str]:
    """Return the command line of a process, [] for none."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read().split("\0")[:-1]
    return []


def named(main: int, name: str) -> int:
    """Return the child of that name, or 0."""
    for child in children(main):
        if comm(child) == name:
            return child
    return 0


def ended(pid: int) -> bool:
    """Tell whether a process is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def seen(*mains: int) -> list[Container]:
    """Return what `ctop --json` says, with two samples, of the containers whose first processes these are."""
    document = ctop_document("-d", "0.3")
    ids = {f"pid-{os.stat(f'/proc/{main}/ns/pid').st_ino}" for main in mains}
    found = [one for one in document["containers"] if one["id"] in ids]
    assert len(found) == len(mains)
    return found


def hollow(*mains: int) -> dict[str, Container]:
    """Return those of them that it says are hollow, by id."""
    return {one["id"]: one for one in seen(*mains) if one["state"] == "hollow"}


def codes(one: Container) -> list[str]:
    """Return the codes of its findings that are about its application."""
    return [finding["code"] for finding in one["findings"] if finding["code"] == "hollow"]


def test_a_script_whose_server_was_killed_is_hollow(server: str, tmp_path: Path) -> None:
    """Within two samples, whichever shell and whatever it waits with; and never while the server runs."""
    with contextlib.ExitStack() as stack:
        pids: dict[int, int] = {}
        for number, (shell, ending) in enumerate(itertools.product(SHELLS, ENDINGS)):
            script = tmp_path / f"entry{number}"
            script.write_text(f"{server} &\n{ending}\n")
            for words in (("-c", script.read_text()), (str(script),)):
                main = stack.enter_context(container(*shell.split(), *words))
                pids[main] = wait_for(lambda main=main: named(main, "server"))
        alive = seen(*pids)
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for pid in pids.values():
            wait_for(lambda pid=pid: ended(pid))
        dead: dict[str, Container] = {}
        # Where fork and exec take long, both samples may fall between one `sleep` and the next: then two more.
        wait_for(lambda: dead.update(hollow(*pids)) or len(dead) == len(pids))
    assert len(pids) == 2 * len(SHELLS) * len(ENDINGS)
    assert {(one["state"], *codes(one)) for one in alive} == {("running",)}
    assert {(one["state"], *codes(one)) for one in dead.values()} == {("hollow", "hollow")}
    for one in dead.values():
        assert "server" in next(finding["text"] for finding in one["findings"] if finding["code"] == "hollow")


def test_a_server_that_dies_between_the_samples_is_missed_by_name(server: str) -> None:
    """What was seen running beside the waiting, and has ended, is named with its PID."""
    name = "$(echo " + server.split(maxsplit=1)[0] + ")"  # a program that no reading of the script can name
    # To have begun long before the `sleep` beside it, which does not end while it is looked at.
    script = f"{name} -e sleep & sleep 1.5; while :; do sleep 1000; done"
    with container("bash", "-c", script) as main, Host() as host:
        pid = wait_for(lambda: named(main, "server"))
        wait_for(lambda: any(words(child) == ["sleep", "1000"] for child in children(main)))
        observer = Observer(host, groups=False)
        before = observer.tick()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: ended(pid))
        after = observer.tick()
    (id_,) = (one.id for one in after.containers if one.leader and one.leader.process.pid == main)
    assert id_ not in before.hollow
    assert f"server (PID {pid}) ran beside it" in after.hollow[id_]


@pytest.mark.vm
def test_the_same_in_a_control_group_of_its_own(sandbox: Sandbox) -> None:
    """Of a container found by its cgroups, on v1 and on v2, the same is said, and nsinspect says it as well."""
    sandbox.start("hollow", "sh", "-c", "perl -e sleep & while :; do sleep 1000; done")
    main = sandbox.pid("hollow")
    pid = wait_for(lambda: named(main, "perl"))
    wait_for(lambda: named(main, "sleep"))
    assert find(ctop_document("-d", "0.3"), "hollow")["state"] == "running"
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ended(pid))
    one = find(ctop_document("-d", "0.3"), "hollow")
    assert (one["state"], codes(one)) == ("hollow", ["hollow"])
    told = json.loads(run([*NSINSPECT, "hollow", "--json"]).stdout)["findings"]
    assert "its script starts perl in the background" in next(f["text"] for f in told if f["code"] == "hollow")


def test_what_only_looks_hollow_is_not_reported() -> None:
    """Waiting by design, a loop of short commands, an idle application as PID 1: all are running."""
    with contextlib.ExitStack() as stack:
        mains = [stack.enter_context(container(*command)) for command in ALIVE]
        for main in mains:
            wait_for(lambda main=main: words(main)[:1] not in ([], ["unshare"]))
        time.sleep(0.5)
        for _ in range(2):
            assert {(one["state"], *codes(one)) for one in seen(*mains)} == {("running",)}


def test_an_interactive_shell_is_not_reported(server: str) -> None:
    """A shell on a terminal is waiting for a person, also when that person's server has ended."""
    ours, its = os.openpty()
    try:
        with container("bash", "--norc", terminal=its) as main:
            os.write(ours, f"{server} &\n".encode())
            os.kill(wait_for(lambda: named(main, "server")), signal.SIGKILL)
            os.write(ours, b"sleep 50\n")
            wait_for(lambda: named(main, "sleep"))
            (one,) = seen(main)
    finally:
        os.close(its)
        os.close(ours)
    assert (one["state"], codes(one)) == ("running", [])


def test_a_visitor_neither_hides_nor_causes_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who came in with nsenter is not the application, and what he leaves behind is not its corpse."""
    monkeypatch.setattr("inspector.hollow.AT_START_TICKS", 100)  # a second is as good as ten
    with container("sleep", "infinity") as main, Host() as host:
        enter = ["nsenter", "-t", str(main), "-m", "-p"]
        subprocess.run([*enter, "sh", "-c", "sleep 0.1 & exit 0"], check=True, start_new_session=True)
        time.sleep(1.5)
        subprocess.run([*enter, "setsid", "sh", "-c", "date > /dev/null & exit 0"], check=True, start_new_session=True)
        wait_for(lambda: (corpse := named(main, "date")) and ended(corpse))
        observer = Observer(host, groups=False)
        for _ in range(2):
            tick = observer.tick()
            (id_,) = (one.id for one in tick.containers if one.leader and one.leader.process.pid == main)
            assert id_ not in tick.hollow
    with container("bash", "-c", f"{server} & tail -f /dev/null") as main:
        os.kill(wait_for(lambda: named(main, "server")), signal.SIGKILL)
        visitor = subprocess.Popen(["nsenter", "-t", str(main), "-m", "-p", "perl", "-e", "sleep"])
        try:
            wait_for(lambda: named(visitor.pid, "perl"))
            wait_for(lambda: codes(*seen(main)) == ["hollow"])
        finally:
            visitor.kill()
            visitor.wait()
