"""The real ctop in a real terminal: tmux, 80x24, with real groups of processes in namespaces of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.testbed.runtimes import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces"),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)"),
]

ROOT = Path(__file__).parents[2]
BUSY = "while :; do :; done"
# The name of a process is whatever it writes there: here one that clears the screen.
HOSTILE = r"printf 'bad\033[2J' > /proc/self/comm; while :; do sleep 1; done"


class Terminal:
    """A tmux server of its own with one window of 80x24, in which ctop runs."""

    def __init__(self, directory: Path) -> None:
        self._socket = str(directory / "tmux")
        self.directory = directory
        script = f"stty -a > before; cd {ROOT}; {sys.executable} -m inspector.ctop -d 0.5; code=$?; cd {directory};"
        script += " stty -a > after; echo exit code $code; exec sleep 60"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", str(directory), script)

    def _tmux(self, *argv: str) -> str:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        result = subprocess.run(["tmux", "-u", "-S", self._socket, *argv], check=True, capture_output=True, text=True,
                                env=environment, timeout=60)  # fmt: skip
        return result.stdout

    def press(self, *keys: str) -> None:
        """Send keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def wait(self, true: Callable[[str], bool]) -> str:
        """Wait until the screen is as expected, and return it."""
        deadline = time.monotonic() + 90
        while not true(shown := self.text):
            if time.monotonic() > deadline:
                pytest.fail(f"the screen never became as expected:\n{shown}")
            time.sleep(0.1)
        return shown

    def is_restored(self) -> bool:
        """Tell whether the terminal's settings are those before, and its alternate screen is left."""
        alternate = self._tmux("display-message", "-p", "#{alternate_on}").strip()
        before, after = (self.directory / name for name in ("before", "after"))
        return alternate == "0" and before.read_text() == after.read_text()

    def close(self) -> None:
        """End the server and what runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True, timeout=60)


def names_below(pid: int) -> list[bytes]:
    """Return the names of the children of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [Path(f"/proc/{child}/comm").read_bytes() for child in children]


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
def terminal(tmp_path: Path, groups: dict[str, int]) -> Iterator[Terminal]:
    """Run ctop in a terminal beside the groups."""
    assert groups
    opened = Terminal(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def rows(shown: str) -> list[str]:
    """Return the table's lines that are a group of ours."""
    return [line for line in shown.splitlines() if " unshare " in line and "%" in line]


def test_rows_sorts_filter_and_detail(terminal: Terminal) -> None:
    """Rows appear with rates, the busy one first; keys sort and filter; Enter shows both PIDs; names are escaped."""
    terminal.wait(lambda text: len(rows(text)) >= 2 and "? help" in text and "bad\\x1b[2J" in text)
    shown = terminal.wait(lambda text: rows(text)[0].startswith("sh-"))
    assert "CPU%core" in shown
    terminal.press("N")
    terminal.wait(lambda text: "by name" in text and rows(text)[0].startswith("bad\\x1b[2J"))
    terminal.press("/", "b", "a", "d", "Enter")
    terminal.wait(lambda text: "filter bad" in text and len(rows(text)) == 1)
    terminal.press("Enter")
    shown = terminal.wait(lambda text: "INSIDE" in text and "bad\\x1b[2J" in text.split("INSIDE")[1])
    first = next(line for line in shown.split("INSIDE")[1].splitlines() if "bad\\x1b[2J" in line)
    host_pid, inner_pid = first.split()[:2]
    assert inner_pid == "1"
    assert Path(f"/proc/{host_pid}/comm").read_bytes() == b"bad\x1b[2J\n"
    terminal.press("Escape")
    terminal.wait(lambda text: "THROTTLED" in text)


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_quitting_gives_the_terminal_back(terminal: Terminal, key: str) -> None:
    """After q and after Ctrl-C the exit code is 0, the settings are those before, the alternate screen is left."""
    terminal.wait(lambda text: bool(rows(text)))
    terminal.press(key)
    terminal.wait(lambda text: "exit code 0" in text)
    assert terminal.is_restored()
