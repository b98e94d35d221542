"""A container's terminal and streams: in the foreground, left by its keys, attached to again, by several at once."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.root import sandboxing
from tests.root.test_sandbox_lifecycle import Terminal, start
from tests.testbed.commands import SANDBOX, Sandbox

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

SHELL = ("-it", "--rootfs", "/", "sh")


def test_left_by_keys_and_attached_again(sandbox: Sandbox) -> None:
    """Ctrl-P Ctrl-Q leaves a terminal that goes on; two who attach see the same; the last word is its exit code."""
    first = Terminal(sandbox, "run", "--name", "shell", *SHELL)
    assert first.wait_for("# ")
    first.type("echo fi''rst\n")
    assert first.wait_for("first")
    first.type("\x10\x11")
    assert first.end() == 0
    found = sandbox.inspect("shell")
    assert found["State"]["Running"] is True
    assert sandboxing.is_small(found["Cgscope"]["Monitor"]["Pid"])
    one, two = Terminal(sandbox, "attach", "shell"), Terminal(sandbox, "attach", "--detach-keys", "ctrl-x", "shell")
    assert sandboxing.wait_for(lambda: sandbox("events", "--since", "1h", "--until", "0s").stdout.count("attach ") == 2)
    # Typed again until both are shown what comes: an attachment is served when the monitor comes to it.
    assert sandboxing.wait_for(lambda: _both_see(one, two))
    two.type("\x18")
    assert two.end() == 0
    one.type("\nexit 6\n")
    assert one.end() == 6
    assert sandbox.inspect("shell")["State"]["ExitCode"] == 6
    assert "first" in sandbox("logs", "shell").stdout


def _both_see(one: Terminal, two: Terminal) -> bool:
    one.type("echo bo''th\n")
    return one.wait_for("both", 2) and two.wait_for("both", 2)


def test_a_detached_terminal(sandbox: Sandbox) -> None:
    """B104: -dit keeps a terminal for who attaches, with the window's size, of the container's user and devpts."""
    start(sandbox, "desk", "-it", "sh")
    screen = Terminal(sandbox, "attach", "desk")
    screen.resize(40, 101)
    screen.type('until [ "$(stty size)" = "40 101" ]; do sleep 0.05; done; echo re""sized\n')
    assert screen.wait_for("resized")
    screen.type("stat -c 'is %u:%g %a' $(tty)\n")
    assert screen.wait_for("is 0:5 620")
    screen.type("\x10\x11")
    assert screen.end() == 0
    refused = sandbox("attach", "desk", check=False)
    assert (refused.returncode, refused.stderr) == (1, "sandbox: the input device is not a TTY\n")
    sandbox("stop", "-t", "0", "desk")
    refused = sandbox("attach", "desk", check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        "sandbox: you cannot attach to a stopped container, start it first\n",
    )


def test_start_attached_with_input(sandbox: Sandbox) -> None:
    """`start -ai` gives our input to the program, to its end, shows both streams, and ends with its code."""
    sandbox("create", "-i", "--name", "eats", "--rootfs", "/", "sh", "-c", "cat; echo err >&2; exit 4")
    for text in ("once\n", "x" * 300_000 + "\n"):
        done = sandbox("start", "-ai", "eats", check=False, text=text)
        assert (done.stdout, done.stderr, done.returncode) == (text, "err\n", 4)


def test_input_in_the_foreground(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """`run -i` passes on what a pipe or a file holds, its end too; without -i there is no input."""
    run = ("run", "--rootfs", "/")
    assert sandbox(*run[:1], "-i", *run[1:], "wc", "-c", text="y" * 200_000).stdout == "200000\n"
    assert sandbox(*run, "wc", "-c", text="unseen").stdout == "0\n"
    path = os.path.join(tmp_path, "input")
    with open(path, "w", encoding="ascii") as file:
        file.write("z" * 70_000)
    with open(path, "rb") as file:
        command = [*SANDBOX, "run", "-i", "--rootfs", "/", "wc", "-c"]
        done = subprocess.run(command, stdin=file, env=sandbox.env, capture_output=True, check=True)
    assert done.stdout == b"70000\n"


def test_a_detached_program_keeps_its_input_open(sandbox: Sandbox) -> None:
    """With -di what is typed by one who attaches and leaves is read, and its end is not the end for others."""
    start(sandbox, "reads", "-i", "sh", "-c", "while read line; do echo got $line; done")
    for word in ("one", "two"):
        with subprocess.Popen([*SANDBOX, "attach", "reads"], env=sandbox.env, stdin=subprocess.PIPE) as attached:
            assert attached.stdin is not None
            attached.stdin.write(f"{word}\n".encode())
            attached.stdin.close()
            assert sandboxing.wait_for(lambda: f"got {word}" in sandbox("logs", "reads").stdout)  # noqa: B023
            attached.kill()
    assert sandbox.inspect("reads")["State"]["Running"] is True


def test_signals_reach_the_program(sandbox: Sandbox) -> None:
    """B106: what the launcher gets the program gets; an attachment without --sig-proxy only leaves."""
    script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [*SANDBOX, "run", "--name", "hears", "--rootfs", "/", "sh", "-c", script],
        env=sandbox.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        with subprocess.Popen(
            [*SANDBOX, "attach", "--no-stdin", "--sig-proxy=false", "hears"], env=sandbox.env, stdout=subprocess.PIPE
        ) as looking:
            attached = ("events", "--since", "1h", "--until", "0s", "--filter", "event=attach")
            assert sandboxing.wait_for(lambda: sandbox(*attached).stdout != "")
            assert sandboxing.wait_for(lambda: _holds_back(looking.pid, signal.SIGTERM))
            looking.terminate()
            assert looking.wait(timeout=60) == 143
        assert sandbox.inspect("hears")["State"]["Running"] is True
        running.terminate()
        assert running.wait(timeout=60) == 9
        assert running.stdout.read() == "told\n"


SAYS = ("sh", "-c", "echo out; echo err >&2; cat; exit 3")


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("-a", "stdout"), ("out\n", "")),
        (("-a", "stderr"), ("", "err\n")),
        (("-a", "STDOUT", "-a", "stdin", "-i"), ("out\ntyped", "")),
        (("-a", "stdin", "-i"), ("", "")),
    ],
)
def test_some_of_the_streams(sandbox: Sandbox, options: tuple[str, ...], shown: tuple[str, str]) -> None:
    """`run -a` shows and gives what is named, keeps all in the log, and ends with the program's code, as Docker's."""
    done = sandbox("run", "--name", "some", *options, "--rootfs", "/", *SAYS, check=False, text="typed")
    assert (done.returncode, (done.stdout, done.stderr)) == (3, shown)
    kept = sandbox("logs", "some")
    assert (kept.stdout.startswith("out\n"), kept.stderr) == (True, "err\n")


def test_streams_that_cannot_be(sandbox: Sandbox) -> None:
    """`run -a` knows three names, and does not go with -d."""
    for options, code in ((("-a", "all"), 125), (("-d", "-a", "stdout"), 1), (("--sig-proxy=maybe",), 125)):
        done = sandbox("run", *options, "--rootfs", "/", "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)


def test_signals_that_are_not_passed_on(sandbox: Sandbox) -> None:
    """`run --sig-proxy=false` ends by a signal of its own, also with --rm, and its container goes on."""
    command = [*SANDBOX, "run", "--rm", "--name", "goes-on", "--sig-proxy=false", "--rootfs", "/"]
    with subprocess.Popen(
        [*command, "sh", "-c", "echo up; sleep 600"], env=sandbox.env, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        running.terminate()
        assert running.wait(timeout=60) == 143
    assert sandbox.inspect("goes-on")["State"]["Running"] is True


def _holds_back(pid: int, number: int) -> bool:
    """Tell whether a process holds a signal back, to read it from a descriptor."""
    return bool(int(sandboxing.status(pid, "SigBlk"), 16) & 1 << (number - 1))


def test_a_launcher_that_is_killed_takes_its_container_along(sandbox: Sandbox) -> None:
    """B050, T23: with the launcher in the foreground gone the container ends, and ps does not show it as running."""
    with subprocess.Popen(
        [*SANDBOX, "run", "--name", "bound", "-u", "daemon", "--rootfs", "/", "sh", "-c", "echo up; sleep 3600"],
        env=sandbox.env,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.kill()
    assert sandboxing.wait_for(lambda: sandbox("ps", "-q").stdout == "")
    assert sandbox.inspect("bound")["State"]["ExitCode"] == 137


def test_who_does_not_read_is_dropped(sandbox: Sandbox) -> None:
    """An attachment that does not read hinders neither the program nor its log."""
    start(sandbox, "loud", "sh", "-c", "until [ -e /go ]; do sleep 0.02; done; seq 500000; echo done")
    with subprocess.Popen([*SANDBOX, "attach", "--no-stdin", "loud"], env=sandbox.env, stdout=subprocess.PIPE):
        attached = ("events", "--since", "1h", "--until", "0s", "--filter", "event=attach")
        assert sandboxing.wait_for(lambda: sandbox(*attached).stdout != "")
        sandbox("exec", "loud", "touch", "/go")
        assert sandbox("wait", "loud").stdout == "0\n"
    assert sandbox("logs", "--tail", "1", "loud").stdout == "done\n"


def test_init_reaps_and_forwards(sandbox: Sandbox) -> None:
    """B107: with --init orphans are reaped, signals go to the program, and its code is the container's."""
    script = "trap 'exit 8' USR1; (sleep 0.05 & ) ; echo ready; while :; do sleep 0.02; done"
    start(sandbox, "tidy", "--init", "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("logs", "tidy").stdout == "ready\n")
    assert sandbox("exec", "tidy", "cat", "/proc/1/comm").stdout == "sandbox-init\n"
    zombies = ("exec", "tidy", "sh", "-c", "grep -l 'State:.Z' /proc/[0-9]*/status; true")
    assert sandboxing.wait_for(lambda: sandbox(*zombies).stdout == "")
    sandbox("kill", "-s", "USR1", "tidy")
    assert sandbox("wait", "tidy").stdout == "8\n"
