"""Hollow containers, with real processes: PID 1 lives and its application was killed; and those that only look so."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.schema import Container
from tests.testbed.commands import ctop_document
from tests.testbed.tools import need

pytestmark = pytest.mark.root

# "server" is a name of its own for a program that waits: what comm and command line show.
SHELLS = ("dash", "bash", "busybox sh")
ENDINGS = ("while :; do sleep 1; done", "tail -f /dev/null", "sleep infinity")


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
    deadline = time.monotonic() + 10
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found
    return int(found)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]
    return []


def named(main: int, name: str) -> int:
    """Return the child of that name, or 0."""
    for child in children(main):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{child}/comm", encoding="utf-8") as file:
            if file.read().strip() == name:
                return child
    return 0


def seen(main: int) -> Container:
    """Return what `ctop --json` says, with two samples, of the container whose first process is `main`."""
    document = ctop_document("-d", "0.3")
    inode = os.stat(f"/proc/{main}/ns/pid").st_ino
    return next(one for one in document["containers"] if one["id"] == f"pid-{inode}")


def codes(one: Container) -> list[str]:
    """Return the codes of its findings that are about its application."""
    return [finding["code"] for finding in one["findings"] if finding["code"] == "hollow"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("form", ["-c", "file"])
def test_a_script_whose_server_was_killed_is_hollow(
    form: str, shell: str, ending: str, server: str, tmp_path: Path
) -> None:
    """Within two samples, whichever shell and whatever it waits with; and never while the server runs."""
    text = f"{server} &\n{ending}\n"
    script = tmp_path / "entry"
    script.write_text(text)
    with container(*shell.split(), *(("-c", text) if form == "-c" else (str(script),))) as main:
        pid = wait_for(lambda: named(main, "server"))
        alive = seen(main)
        assert (alive["state"], codes(alive)) == ("running", [])
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        dead = seen(main)
    assert (dead["state"], codes(dead)) == ("hollow", ["hollow"])
    assert "server" in next(one["text"] for one in dead["findings"] if one["code"] == "hollow")


@pytest.mark.parametrize(
    ("ending", "when"), [("while :; do sleep 1; done", "beside"), ("wait; sleep infinity", "before")]
)
def test_a_server_that_dies_between_the_samples_is_missed_by_name(server: str, ending: str, when: str) -> None:
    """What was seen running beside or before the waiting, and has ended, is named with its PID."""
    name = "$(echo " + server.split(maxsplit=1)[0] + ")"  # a program that no reading of the script can name
    with container("bash", "-c", f"{name} -e sleep & {ending}") as main:
        pid = wait_for(lambda: named(main, "server"))
        time.sleep(2.2)
        ctop = subprocess.Popen(
            ["sh", "-c", f"sleep 1.5; kill -9 {pid}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        inode = os.stat(f"/proc/{main}/ns/pid").st_ino
        document = ctop_document("-d", "3")
        ctop.wait()
    found = next(one for one in document["containers"] if one["id"] == f"pid-{inode}")
    assert found["state"] == "hollow"
    text = next(one["text"] for one in found["findings"] if one["code"] == "hollow")
    assert f"server (PID {pid}) ran {when} it" in text


@pytest.mark.parametrize(
    "command",
    [
        ("sleep", "infinity"),
        ("tail", "-f", "/dev/null"),
        ("sh", "-c", "sleep infinity"),
        ("sh", "-c", "while :; do sleep 1; done"),
        ("sh", "-c", "while :; do date > /dev/null; sleep 0.2; done"),
        ("bash", "-c", "while :; do sleep 0.1 & wait; date > /dev/null; sleep 0.3; done"),
        ("sh", "-c", "if false; then server & fi; tail -f /dev/null; true"),
        ("sh", "-c", "date > /dev/null; tail -f /dev/null; true"),
        ("perl", "-e", "sleep"),
        ("sh", "-c", "while :; do :; done"),
    ],
)
def test_what_only_looks_hollow_is_not_reported(command: tuple[str, ...]) -> None:
    """Waiting by design, a loop of short commands, an idle application as PID 1: all are running."""
    with container(*command) as main:
        time.sleep(0.5)
        for _ in range(2):
            one = seen(main)
            assert (one["state"], codes(one)) == ("running", [])


def test_an_interactive_shell_is_not_reported(server: str) -> None:
    """A shell on a terminal is waiting for a person, also when that person's server has ended."""
    ours, its = os.openpty()
    try:
        with container("bash", "--norc", terminal=its) as main:
            os.write(ours, f"{server} &\n".encode())
            os.kill(wait_for(lambda: named(main, "server")), signal.SIGKILL)
            os.write(ours, b"sleep 50\n")
            wait_for(lambda: named(main, "sleep"))
            one = seen(main)
    finally:
        os.close(its)
        os.close(ours)
    assert (one["state"], codes(one)) == ("running", [])


def test_a_visitor_neither_hides_nor_causes_it(server: str) -> None:
    """Who came in with nsenter is not the application, and what he leaves behind is not its corpse."""
    with container("sleep", "infinity") as main:
        enter = ["nsenter", "-t", str(main), "-m", "-p"]
        subprocess.run([*enter, "sh", "-c", "sleep 0.1 & exit 0"], check=True, start_new_session=True)
        time.sleep(11)
        subprocess.run([*enter, "setsid", "sh", "-c", "date > /dev/null & exit 0"], check=True, start_new_session=True)
        time.sleep(0.3)
        assert codes(seen(main)) == []
    with container("bash", "-c", f"{server} & tail -f /dev/null") as main:
        os.kill(wait_for(lambda: named(main, "server")), signal.SIGKILL)
        visitor = subprocess.Popen(["nsenter", "-t", str(main), "-m", "-p", "perl", "-e", "sleep"])
        try:
            time.sleep(0.3)
            assert codes(seen(main)) == ["hollow"]
        finally:
            visitor.kill()
            visitor.wait()
