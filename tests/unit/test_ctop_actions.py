"""The keys that act on containers, driven by Textual's Pilot, with a runner that only takes note; and logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from inspector.ctop.actions import SIGNALS, Aim, SignalMenu, aim_at
from inspector.ctop.app import Ctop
from inspector.ctop.keys import KEYS
from inspector.ctop.logfiles import find, parse_line
from inspector.ctop.logs import MOST_LINES, Logs
from inspector.ctop.options import parse
from inspector.ctop.runner import Done, NotDone, SandboxRunner, remark_on
from inspector.kernel.host import Host
from inspector.kernel.process import parse_status, read_stat
from inspector.schema import Document
from tests.unit.documents import container, document, process
from tests.unit.liveview import Fake, screen, until

# container() and process() started 90,000 s after the machine did; a second has 100 ticks.
TICKS = 9_000_000


class Source(Fake):
    """A source of one document; the container in focus has two processes."""

    def __init__(self, of: Document, *, local: bool = True) -> None:
        super().__init__(of)
        self.local = local
        self.processes.append(process(4300, comm="nginx", cpu_cores=0.1, started_at=1_700_090_050.0))


class Notes:
    """A runner that does nothing but take note of what it was told."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.signals: list[tuple[int, int, int]] = []
        self.answer = Done(0, "done as told")
        self.problem = self.remark = ""

    def run(self, words: Sequence[str]) -> Done:
        """Take note."""
        self.ran.append(tuple(words))
        return self.answer

    def in_front(self, app: App[None], words: Sequence[str]) -> Done:
        """Take note; an application without a terminal cannot be suspended."""
        assert app.is_running
        return self.run(words)

    def signal(self, pid: int, started_ticks: int, number: int) -> str:
        """Take note."""
        if self.problem:
            raise NotDone(self.problem)
        self.signals.append((pid, started_ticks, number))
        return self.remark


def acting(
    test: Callable[[Ctop, Notes, Pilot[None]], Coroutine[Any, Any, None]],
    *argv: str,
    of: Document | None = None,
    local: bool = True,
    size: tuple[int, int] = (80, 24),
    source: Source | None = None,
    notes: Notes | None = None,
) -> Notes:
    """Run a test in the live view of a container called web, or of `of`; return what the runner was told."""
    notes = notes or Notes()
    source = source or Source(of or document(container("web")), local=local)
    app = Ctop(source, parse(["-d", "0.2", "--no-config", *argv], terminal=True), notes)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.state.document is not None)
            await test(app, notes, pilot)

    asyncio.run(run())
    return notes


@pytest.fixture(autouse=True)
def _no_colour_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")


def test_a_signal_to_a_container() -> None:
    """F9 begins at TERM, a number finds its signal, the question names signal, process and container; n sends none."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("f9")
        assert "15 SIGTERM" in screen(app)
        await pilot.press("enter")
        assert "y/n  send SIGTERM to web, process 4242?" in screen(app)
        await pilot.press("enter", "n")
        assert "send SIGTERM" not in screen(app)
        assert notes.signals == []
        await pilot.press("f9", "9", "enter", "y")
        assert notes.signals == [(4242, TICKS, signal.SIGKILL)]
        assert "SIGKILL sent to process 4242" in screen(app)
        notes.problem = "process 4242 has ended"
        await pilot.press("f9", "1", "0", "down", "up", "enter", "y")
        assert notes.problem in screen(app)
        await pilot.press("f9", "escape")
        assert "CPU%" in screen(app)

    acting(test)


def test_a_signal_to_the_chosen_process() -> None:
    """In a container's page F9 is for the process under the cursor, and the page is there again afterwards."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: app.panel.process == 4242)
        await pilot.press("down", "f9", "enter")
        assert "y/n  send SIGTERM to process 4300 (nginx) of web?" in screen(app)
        await pilot.press("y")
        assert notes.signals == [(4300, TICKS + 5000, signal.SIGTERM)]
        assert app.page == "detail"

    acting(test)


@pytest.mark.parametrize(("state", "verb"), [("running", "freeze"), ("hollow", "freeze"), ("paused", "thaw")])
def test_freeze_and_thaw(state: str, verb: str) -> None:
    """The key z freezes what runs and thaws what is frozen, after a question; what came of it is shown."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("z")
        assert f"y/n  {verb} all processes of web (that of process 4242)?" in screen(app)
        await pilot.press("y")
        await until(pilot, lambda: "done as told" in screen(app))
        notes.answer = Done(1, "not\x1b[2J allowed")
        await pilot.press("z", "y")
        await until(pilot, lambda: "not\\x1b[2J allowed" in screen(app))

    notes = acting(test, of=document(container("web", state=state)))
    assert notes.ran == [(verb, "4242", "--started", str(TICKS))] * 2


@pytest.mark.parametrize(
    ("keys", "option"),
    [
        (["c", "0", "full_stop", "5"], ("--cpus", "0.5")),
        (["m", "5", "1", "3", "backspace", "2", "m"], ("--memory", "512m")),
        (["p", "n", "o", "n", "e"], ("--pids", "none")),
    ],
)
def test_limits(keys: list[str], option: tuple[str, str]) -> None:
    """The key L asks which limit, shows the one there is, takes a new one, and asks before it is changed."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("L")
        assert "limits of web: c cpus  m memory  p tasks" in screen(app)
        await pilot.press(*keys)
        assert "(now " in screen(app)
        await pilot.press("enter")
        assert f"{option[0][2:]} of web (that of process 4242): " in screen(app)
        assert f" -> {option[1]}?" in screen(app)
        assert notes.ran == []
        await pilot.press("y")
        await until(pilot, lambda: "done as told" in screen(app))

    assert acting(test).ran == [("limit", "4242", "--started", str(TICKS), *option)]


def test_a_limit_that_is_none_is_said_at_once() -> None:
    """What is no limit is not asked about; Esc leaves at every step."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("L", "c", "x", "y", "enter")
        assert "xy is not it" in screen(app)
        await pilot.press("escape")
        assert "cpus of web" not in screen(app)
        await pilot.press("L", "escape", "L", "m", "1", "enter", "escape")
        assert app.question is None

    assert acting(test).ran == []


@pytest.mark.parametrize("key", ["E", "e"])
def test_a_shell(key: str) -> None:
    """E asks, and enters the container's first process; what the sandbox says of itself is in the status line."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        notes.answer = Done(127, "there is no shell in it")
        await pilot.press(key)
        assert "y/n  open a shell in web, process 4242?" in screen(app)
        await pilot.press("enter", key, "n")
        assert notes.ran == []
        assert "y/n" not in screen(app)
        await pilot.press(key, "y")
        assert "y/n" not in screen(app)
        assert "there is no shell in it" in screen(app)
        notes.answer = Done(3, "")
        await pilot.press(key, "y")
        assert "the shell in web ended with exit code 3" in screen(app)

    assert acting(test).ran == [("enter", "4242", "--started", str(TICKS))] * 2


@pytest.mark.parametrize(
    ("ns_pids", "caught", "number", "is_dropped"),
    [
        ("4242 1", 0, signal.SIGTERM, True),
        ("4242 1", 0, signal.SIGKILL, False),
        ("4242 1", 0, signal.SIGSTOP, False),
        ("4242 1", 1 << signal.SIGTERM - 1, signal.SIGTERM, False),
        ("4242 1", 1 << signal.SIGTERM - 1, signal.SIGINT, True),
        ("4242 7", 0, signal.SIGTERM, False),
        ("1", 0, signal.SIGTERM, False),
    ],
)
def test_a_signal_that_the_kernel_drops(ns_pids: str, caught: int, number: int, *, is_dropped: bool) -> None:
    """The first process of a PID namespace gets only what it has a handler for, SIGKILL and SIGSTOP."""
    status = parse_status(
        f"Name:\tx\nTgid:\t4242\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nNSpid:\t{ns_pids}\nThreads:\t1\n"
        f"SigCgt:\t{caught:016x}\n".encode()
    )
    assert ("no handler" in remark_on(status, number)) == is_dropped


def test_no_limit_is_called_none() -> None:
    """Where there is no limit the question says so in the word that is typed for it."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        for key, what in (("c", "cpus"), ("m", "memory"), ("p", "pids")):
            await pilot.press("L", key)
            assert f"{what} of web (now none)" in screen(app)
            await pilot.press("escape")

    bare = {"cpu": {"limit_cores": None}, "memory": {"limit_bytes": None}, "pids": {"limit": None}}
    acting(test, of=document(container("web", **bare)))


def test_a_dropped_signal_is_said() -> None:
    """Whoever sent it learns why nothing happens."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        notes.remark = "dropped, as PID 1 has no handler for it"
        await pilot.press("f9", "enter", "y")
        assert "SIGTERM sent to process 4242: dropped, as PID 1 has no handler for it" in screen(app)

    acting(test)


ACTS = ("f9", "z", "L", "E")


def test_nothing_is_done_with_readonly() -> None:
    """With --readonly each of these keys says so and does nothing; logs are still read."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        for key in ACTS:
            app.state.message = None
            await pilot.press(key)
            assert "ctop --readonly: nothing is done to containers" in screen(app)
            await pilot.press("y")
        await pilot.press("l")
        assert app.page == "logs"

    notes = acting(test, "--readonly")
    assert (notes.ran, notes.signals) == ([], [])


def test_nothing_is_done_elsewhere() -> None:
    """Containers of another machine, or of the past, are not there to be acted on, nor their logs."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        for key in (*ACTS, "l"):
            app.state.message = None
            await pilot.press(key)
            assert "not on this machine" in screen(app)
        assert app.page == "table"

    notes = acting(test, local=False)
    assert (notes.ran, notes.signals) == ([], [])


def test_a_shell_where_a_chosen_process_is() -> None:
    """In a container's page E is for the process under the cursor, and names it."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "4300" in screen(app))
        await pilot.press("down", "E")
        assert "y/n  open a shell in process 4300 (nginx) of web?" in screen(app)
        await pilot.press("y")
        assert notes.ran == [("enter", "4300", "--started", str(TICKS + 5000))]

    acting(test)


def test_a_container_without_a_process() -> None:
    """What has no process that we may see cannot be acted on; without any container the keys do nothing."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("E")
        assert "no process of web is known here" in screen(app)

    assert acting(test, of=document(container("web", pid=None))).ran == []

    async def nobody(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press(*ACTS, "l", "y")
        assert app.page == "table"

    assert acting(nobody, of=document()).ran == []


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 5)])
def test_a_hostile_name(size: tuple[int, int]) -> None:
    """A name of 300 wide characters, or with escape sequences, neither hides the question nor reaches the screen."""

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        for key in ("z", "L"):
            await pilot.press(key)
            lines = screen(app).splitlines()[-3:]  # a long question takes three
            assert "\x1b" not in "".join(lines)
            assert any(line.startswith(("y/n  freeze", "limits of")) for line in lines)
            await pilot.press("escape")
        await pilot.press("l")

    for name in ("\u6f22" * 300, "\x1b[2J\x1b]0;x\x07"):
        acting(test, of=document(container(name)), size=size)


def test_a_question_that_one_line_cannot_hold_takes_two() -> None:
    """What will be done is read whole at 80 columns, and so is a long answer."""

    async def test(app: Ctop, notes: Notes, pilot: Pilot[None]) -> None:
        why = "process 4242 is another user's: its namespaces are for root to see (CAP_SYS_PTRACE lifts it)"
        notes.answer = Done(1, why)
        await pilot.press("L", "m", *"512m", "enter")
        lowest = screen(app).splitlines()[-2:]
        assert " ".join(lowest) == f"y/n  limit memory of {'n' * 27}… (that of process 4242): 64MiB -> 512m?"
        await pilot.press("y")
        await until(pilot, lambda: "(CAP_SYS_PTRACE lifts it)" in screen(app))
        assert all(len(line) <= 80 for line in screen(app).splitlines())
        notes.answer = Done(0, f"cpu: 0.2 cores -> 0.5 cores (50000 of 100000 us); set by itself (/cgscope/{'0' * 64})")
        await pilot.press("L", "c", *"0.5", "enter", "y")
        await until(pilot, lambda: screen(app).rstrip().endswith("0)"))

    acting(test, of=document(container("n" * 60)))


def test_an_aim_is_one_process_for_ever() -> None:
    """A container's process is known by its start; one that is not known, or of a document without it, is no aim."""
    one = container("web", processes=[process(4300, comm="nginx")])
    aim = aim_at(document(one), one)
    assert isinstance(aim, Aim)
    assert aim.words == ("4242", "--started", str(TICKS))
    chosen = aim_at(document(one), one, 4300)
    assert isinstance(chosen, Aim)
    assert chosen.comm == "nginx"
    assert isinstance(aim_at(document(one), one, 4301), str)
    assert isinstance(aim_at(document(one, host={"boot_time": None}), one), str)


def test_the_list_of_signals() -> None:
    """It has every ordinary signal once, and the keys of a list move in it."""
    assert len(SIGNALS) == len(set(SIGNALS)) >= 30
    menu = SignalMenu("web", lambda *_: pytest.fail("nothing was chosen"))
    for key, number in (("home", 1), ("down", 2), ("end", SIGNALS[-1][0]), ("9", 9), ("k", 8), ("6", 6), ("4", 6)):
        assert not menu.press(key)
        assert SIGNALS[menu.cursor][0] == number, key
    assert menu.press("escape")


def test_a_real_signal() -> None:
    """The process that is meant gets it; one that started at another time, or has ended, gets none, and it is said."""
    runner = SandboxRunner()
    with subprocess.Popen(["sleep", "100"]) as sleeper:
        started = read_stat(Host(), sleeper.pid).starttime_ticks
        with pytest.raises(NotDone, match="another process's by now"):
            runner.signal(sleeper.pid, started + 1, signal.SIGTERM)
        assert sleeper.poll() is None
        runner.signal(sleeper.pid, started, signal.SIGTERM)
        assert sleeper.wait(60) == -signal.SIGTERM
    with pytest.raises(NotDone, match="has ended"):
        runner.signal(sleeper.pid, started, signal.SIGTERM)


def test_the_real_sandbox_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run by this Python from where we were loaded: neither $PATH nor the current directory can change that."""
    trap = tmp_path / "sandbox"
    trap.write_text("#!/bin/sh\necho trapped\n")
    trap.chmod(0o755)
    (tmp_path / "argparse.py").write_text("print('trapped')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = SandboxRunner().run(("limit", "not-a-pid"))
    assert (code, text) == (125, "'not-a-pid' is not a PID (see sandbox limit --help)")


def test_a_sandbox_that_cannot_be_run_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The view is there again, however the start of the program fails, and why is said."""
    calls: list[str] = []

    class Stage:
        @contextlib.contextmanager
        def suspend(self) -> Iterator[None]:  # as Textual's own, which an exception would leave half way
            calls.append("suspended")
            yield
            calls.append("resumed")

    monkeypatch.setattr("inspector.ctop.runner._program", lambda: ["/nonexistent"])
    done = SandboxRunner().in_front(Stage(), ("enter", "1"))  # type: ignore[arg-type]
    assert done == Done(1, "cannot run sandbox: No such file or directory")
    assert calls == ["suspended", "resumed"]


def test_the_keys_are_in_the_help() -> None:
    """Every action has its key in the table that the help is made of."""
    assert {"signal", "freeze", "limits", "shell", "logs"} <= {key.action for key in KEYS}


# Logs.

JSON = [
    {"log": "one\n", "stream": "stdout", "time": "2026-01-01T10:00:00.5Z"},
    {"log": "two\x1b[2J\n", "stream": "stderr", "time": "2026-01-01T10:00:01.5Z"},
]
CRI = "2026-01-01T10:00:00.5Z stdout F one\n2026-01-01T10:00:01.5Z stderr F two\x1b[2J\n"
LABELS = {
    "io.kubernetes.cri.sandbox-namespace": "shop",
    "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-uid": "u-1",
    "io.kubernetes.cri.container-name": "nginx",
}
WHERE = {
    "docker": "var/lib/docker/containers/web-0123456789abcdef/web-0123456789abcdef-json.log",
    "sandbox": "var/lib/cgscope/containers/web-0123456789abcdef/log.jsonl",
    "podman": "var/lib/containers/storage/overlay-containers/web-0123456789abcdef/userdata/ctr.log",
    "containerd": "var/log/pods/shop_web_u-1/nginx/12.log",
    "lxc": "var/log/lxc/web.console",
}


def put(root: Path, path: str, text: str) -> Path:
    """Write a file of a machine made up."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def shown(logs: Logs) -> list[str]:
    """Return the lines of a log page."""
    return ["".join(text for text, _ in line) for line in logs.lines()]


@pytest.mark.parametrize("runtime", sorted(WHERE))
def test_logs_of_each_runtime(runtime: str, tmp_path: Path) -> None:
    """The file is found where that runtime keeps it; its lines are text, escaped, and what is added follows."""
    records = "".join(json.dumps(record) + "\n" for record in JSON)
    text = {"podman": CRI, "containerd": CRI, "lxc": "one\r\ntwo\x1b[2J\r\n"}.get(runtime, records)
    path = put(tmp_path, WHERE[runtime], text)
    put(tmp_path, "var/log/pods/shop_web_u-1/nginx/9.log", "")
    put(tmp_path, "var/lib/lxc/web/config", f"lxc.console.logfile = /{WHERE['lxc']}\n")
    labels = LABELS if runtime == "containerd" else {}
    changes = {"id": "/lxc.payload.web"} if runtime == "lxc" else {}
    logs = Logs(Host(str(tmp_path)), container("web", runtime=runtime, labels=labels, **changes))
    assert logs.read_on()
    assert shown(logs) == ["one", "two\\x1b[2J"]
    assert "".join(text for text, _ in logs.heading()).endswith(f"/{WHERE[runtime]}  ")
    assert not logs.read_on()
    with path.open("a") as file:
        file.write(text)
    assert logs.read_on()
    assert shown(logs) == ["one", "two\\x1b[2J"] * 2
    if runtime != "lxc":
        logs.has_times = True
        assert shown(logs)[0] == "2026-01-01T10:00:00 one"


def test_a_log_is_bounded_and_survives_rotation(tmp_path: Path) -> None:
    """Of a long log the end is read, from a whole line on; half a line waits; a new file is read from its start."""
    path = put(tmp_path, WHERE["podman"], "")
    line = "2026-01-01T10:00:00.5Z stdout F {}\n"
    path.write_text("".join(line.format(number) for number in range(50000)))
    logs = Logs(Host(str(tmp_path)), container("web", runtime="podman"))
    logs.read_on()
    assert len(shown(logs)) <= MOST_LINES
    assert shown(logs)[-1] == "49999"
    assert shown(logs)[0].isdigit()
    with path.open("a") as file:
        file.write(line.format("half")[:-1])
    assert not logs.read_on()
    with path.open("a") as file:
        file.write("\n")
    assert logs.read_on()
    assert shown(logs)[-1] == "half"
    os.rename(path, f"{path}.1")
    path.write_text(line.format("new"))
    assert logs.read_on()
    assert shown(logs)[-1] == "new"
    path.unlink()
    assert logs.read_on()
    assert not logs.read_on()
    assert "the file is gone" in logs.heading()[2][0]


def test_a_log_that_is_a_trap(tmp_path: Path) -> None:
    """A FIFO or a link where the log should be is not followed and not waited for; it is said."""
    path = tmp_path / WHERE["podman"]
    path.parent.mkdir(parents=True)
    for is_link in (False, True):
        if is_link:
            path.symlink_to("/etc/passwd")
        else:
            os.mkfifo(path)
        logs = Logs(Host(str(tmp_path)), container("web", runtime="podman"))
        logs.read_on()
        assert logs.problem
        assert "root:" not in "".join(shown(logs))
        path.unlink()


def test_no_log_is_known(tmp_path: Path) -> None:
    """Where no runtime keeps one it is said, with the name and who made the container."""
    for changes in ({"runtime": "unshare"}, {"runtime": None, "kind": "cgroup"}, {"runtime": "docker"}):
        one = container("web", **changes)
        assert find(Host(str(tmp_path)), one) is None
        assert "no log file is known for web" in Logs(Host(str(tmp_path)), one).problem
    for name in ("../../../etc", "a\0b", "half a character \ud83d"):
        labels = {**LABELS, "io.kubernetes.cri.container-name": name}
        assert find(Host(str(tmp_path)), container("web", runtime="containerd", labels=labels)) is None


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"log": 5}', '{"log": null, "time": {}}', "no time", "{" * 10000])
def test_lines_that_are_no_records(line: str) -> None:
    """What is not of the form is shown as it stands, or as text; nothing fails."""
    for form in ("json", "cri", "raw"):
        assert isinstance(parse_line(form, line)[2], str)


def test_the_page_of_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key l shows the end of the log and follows it; Up stops that, End goes on; Esc goes back where it was."""
    path = put(tmp_path, WHERE["podman"], "".join(f"2026-01-01T10:00:00Z stdout F line {n}\n" for n in range(100)))
    monkeypatch.setattr("inspector.ctop.acting.Host", lambda: Host(str(tmp_path)))

    def add(text: str) -> None:
        with path.open("a") as file:
            file.write(f"2026-01-01T10:00:00Z stdout F {text}\n")

    async def test(app: Ctop, _: Notes, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: app.page == "detail")
        await pilot.press("l")
        await until(pilot, lambda: "line 99" in screen(app))
        add("after")
        await until(pilot, lambda: "after" in screen(app))
        await pilot.press("t")
        assert "2026-01-01T10:00:00" in screen(app)
        await pilot.press("home")
        await until(pilot, lambda: "line 0\n" in screen(app))
        add("unseen")
        assert app.logs is not None
        await until(pilot, lambda: app.logs is not None and "unseen" in "".join(shown(app.logs)))
        assert "unseen" not in screen(app)
        await pilot.press("end")
        await until(pilot, lambda: "unseen" in screen(app))
        await pilot.press("escape")
        assert app.page == "detail"

    acting(test, of=document(container("web", runtime="podman")))
