"""The real ctop in a real terminal: tmux, with real groups of processes in namespaces of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.processes import children, until
from tests.testbed.tmux import Tmux

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces"),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)"),
]

ROOT = Path(__file__).parents[2]
CTOP = f"{sys.executable} -m inspector.ctop --no-config -d 0.5"
BUSY = "while :; do :; done"
# The name of a process is whatever it writes there: here one that clears the screen.
HOSTILE = r"printf 'bad\033[2J' > /proc/self/comm; while :; do sleep 1; done"


def names_below(pid: int) -> list[bytes]:
    """Return the names of the children of a process."""
    return [Path(f"/proc/{child}/comm").read_bytes() for child in children(pid)]


@pytest.fixture
def groups() -> Iterator[dict[str, int]]:
    """Start a busy group and one with a hostile name, each with namespaces of its own."""
    made = {}
    for name, script in (("busy", BUSY), ("hostile", HOSTILE)):
        argv = ["unshare", "-mpuinf", "--mount-proc", "--kill-child", "sh", "-c", script]
        made[name] = subprocess.Popen(argv)
    try:
        until(lambda: b"bad" in b"".join(names_below(made["hostile"].pid)), "the hostile name")
        yield {name: process.pid for name, process in made.items()}
    finally:
        for process in made.values():
            process.kill()
            process.wait()


@pytest.fixture
def terminal(tmp_path: Path, groups: dict[str, int]) -> Iterator[Tmux]:
    """Run ctop in a terminal beside the groups."""
    assert groups
    opened = Tmux(tmp_path, CTOP)
    try:
        yield opened
    finally:
        opened.close()


def rows(shown: str) -> list[str]:
    """Return the table's lines that are a group of ours."""
    return [line for line in shown.splitlines() if " unshare " in line and "%" in line]


def test_rows_sorts_filter_and_detail(terminal: Tmux) -> None:
    """Rows appear with rates, the busy one first; keys sort and filter; Enter shows both PIDs; names are escaped."""
    terminal.see(lambda text: len(rows(text)) >= 2 and "? help" in text and "bad\\x1b[2J" in text)
    shown = terminal.see(lambda text: rows(text)[0].startswith("sh-"))
    assert "CPU%core" in shown
    terminal.press("N", until=lambda text: "by name" in text and rows(text)[0].startswith("bad\\x1b[2J"))
    terminal.press("/", "b", "a", "d", "Enter", until=lambda text: "filter bad" in text and len(rows(text)) == 1)
    terminal.press("Enter", until="INSIDE")
    shown = terminal.see(lambda text: "bad\\x1b[2J" in text.partition("INSIDE")[2])
    first = next(line for line in shown.split("INSIDE")[1].splitlines() if "bad\\x1b[2J" in line)
    host_pid, inner_pid = first.split()[:2]
    assert inner_pid == "1"
    assert Path(f"/proc/{host_pid}/comm").read_bytes() == b"bad\x1b[2J\n"
    terminal.press("Escape", until="THROTTLED")


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_quitting_gives_the_terminal_back(terminal: Tmux, key: str) -> None:
    """After q and after Ctrl-C the exit code is 0, the settings are those before, the alternate screen is left."""
    terminal.see(lambda text: bool(rows(text)))
    terminal.press(key, until="exit code 0")
    assert terminal.is_restored()


@contextlib.contextmanager
def group(name: str) -> Iterator[None]:
    """Have a group of that name for a while."""
    script = f"printf {name} > /proc/self/comm; while :; do sleep 1; done"
    process = subprocess.Popen(["unshare", "-mpinf", "--mount-proc", "--kill-child", "sh", "-c", script])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def showing(directory: Path, width: int, height: int, program: str) -> Iterator[Tmux]:
    """Run a program in a terminal of that size."""
    opened = Tmux(directory, program, (width, height))
    try:
        yield opened
    finally:
        opened.close()


def in_table(text: str, name: str) -> bool:
    """Tell whether a row begins with a name."""
    return any(line.startswith(name) for line in text.splitlines())


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
def test_containers_are_born_and_die_while_it_is_used(tmp_path: Path, width: int, height: int) -> None:
    """At each size rows come and go, and sort, filter, tree, list, detail and resizing work meanwhile."""
    with showing(tmp_path, width, height, f"{CTOP} -s name -f /^size-/") as terminal, group("size-one"):
        terminal.see(lambda text: in_table(text, "size-one"))
        with group("size-two"):
            terminal.see(lambda text: in_table(text, "size-two"))
            terminal.press("r", "t", until=lambda text: 0 < text.find("size-two") < text.find("size-one"))
            terminal.press("s", until="CPU used: of one core")
            terminal.press("Escape", until="THROTTLED")  # by itself: with a key right behind it is that key with Alt
            terminal.press("G", "Enter", until=lambda text: "THROTTLED" not in text and "size-one" in text)
            terminal.press("Escape", until="^size-two")
        terminal.see(lambda text: not in_table(text, "size-two") and in_table(text, "size-one"))
        for columns, lines in ((20, 5), (200, 50), (width, height)):
            terminal.resize(columns, lines)
            graphs = columns >= 120
            # What it was for the size before is in sight until it has been drawn anew.
            terminal.see(lambda text, graphs=graphs: in_table(text, "size-o")  # type: ignore[misc]
                         and ("? help" in text or "1/1" in text)
                         and ("CPU HIST" in text) == ("MEM HIST" in text) == graphs)  # fmt: skip
        terminal.press("q", until="exit code 0")
        assert terminal.is_restored()


def test_a_terminal_without_utf8(tmp_path: Path) -> None:
    """In the C locale everything drawn is ASCII; what goes to stderr is not in the way."""
    program = f"env LC_ALL=C NO_COLOR=1 {CTOP} -f /^plain-/ 2> {tmp_path}/errors"
    with showing(tmp_path, 120, 24, program) as terminal, group("plain-one"):
        shown = terminal.see(lambda text: in_table(text, "plain-one") and "over " in text and "MEM HIST" in text)
        assert shown.isascii()


def test_ctrl_z_and_fg_and_what_others_wrote_over_it(tmp_path: Path) -> None:
    """Ctrl-Z gives the terminal to the shell, fg draws all of it anew, and so does Ctrl-L over another's output."""
    whole = re.compile(r"^NAME +RUNTIME .*^susp-one.*^1/1  Enter detail", re.MULTILINE | re.DOTALL)
    program = f"set -m; {CTOP} -f /^susp-/; echo stopped; read -r line; fg > /dev/null"
    with showing(tmp_path, 80, 24, program) as terminal, group("susp-one"):
        terminal.see(whole.search)
        for _ in range(2):
            tty = terminal("display-message", "-p", "#{pane_tty}").strip()
            Path(tty).write_text("\x1b[5;1H\x1b[2Kwritten over", encoding="ascii")
            terminal.see("^written over")
            terminal.press("C-l", until=whole.search)
        terminal.press("C-z", until="^stopped")
        terminal.press("typed", until="^typed")  # echoed: the terminal is as the shell wants it
        terminal.press("Enter", until=whole.search)
        terminal.press("q", until="exit code 0")
        assert terminal.is_restored()


def test_sigterm_gives_the_terminal_back(tmp_path: Path) -> None:
    """After SIGTERM the terminal is as before."""
    with showing(tmp_path, 80, 24, CTOP) as terminal:
        terminal.see(lambda text: "? help" in text)
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.see(lambda text: "exit code" in text)
        assert terminal.is_restored()


def test_a_crash_gives_the_terminal_back(tmp_path: Path) -> None:
    """After an error in a row the terminal is as before, and the exit code tells."""
    (tmp_path / "crash.py").write_text(
        "import sys\nfrom inspector.ctop import main, state\n"
        "state.State.row = lambda *_: 1 // 0\nsys.exit(main(['--no-config']))\n",
        encoding="utf-8",
    )
    with showing(tmp_path, 80, 24, f"env PYTHONPATH={ROOT} {sys.executable} {tmp_path}/crash.py") as terminal:
        shown = terminal.see(lambda text: "exit code" in text)
        assert "exit code 0" not in shown
        assert "ZeroDivisionError" in shown
        assert terminal.is_restored()
