"""ctop's live view out of a file that holds a process: on the screen as any other, and not where that does not fit."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.snapshot import READY_SECONDS
from sandbox.snapshot_code import CODE
from tests.root.sandboxing import wait_for
from tests.root.test_sandbox_installed import Installed, change
from tests.testbed.tmux import Tmux

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() not in CODE, reason="not written for this machine"),
]

TITLES = "NAME +RUNTIME"
LIVE = f"kept_live.{sys.implementation.cache_tag}.pyc"


class Viewed(Installed):
    """An installed `ctop`, with the libraries of this one, and the file that its second live view is out of."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        (self.packages / "libraries.pth").write_text(str(Path(pytest.__file__).parent.parent))
        self.file = self.packages / "sandbox/__pycache__" / LIVE
        subprocess.run([self.command.with_name("ctop"), "--help"], env=self.env, check=True, capture_output=True)

    @contextlib.contextmanager
    def view(self, place: Path, words: str = "", **variables: str) -> Iterator[Tmux]:
        """Give a terminal on which a live view is; it is ended."""
        without = " ".join(f"-u {name}" for name in os.environ if name.startswith("PYTHON"))
        command = f"env {without} {self.command.parent}/ctop --no-config -d 0.2 {words}"
        place.mkdir()
        terminal = Tmux(place, command, (100, 30), **variables)
        try:
            terminal.see(TITLES)
            yield terminal
            if "exit code" not in terminal.text:
                terminal("send-keys", "q")
            terminal.see("exit code 0")
            assert terminal.is_restored()
        finally:
            terminal.close()

    def make(self, place: Path) -> None:
        """Look at one until the file is there, or is another one."""
        before = self.file.stat().st_ino if self.file.exists() else 0
        with self.view(place):
            assert wait_for(lambda: self.file.exists() and self.file.stat().st_ino != before)


def runs_from(terminal: Tmux) -> str:
    """Return what the live view on a terminal executes."""
    return os.path.basename(os.readlink(f"/proc/{terminal.pid}/exe"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    """Give an installation with the file; it stays as it is."""
    place = tmp_path_factory.mktemp("viewed")
    installed = Viewed(place)
    installed.make(place / "first")
    yield installed
    installed.close()


def test_the_next_one_goes_on(made: Viewed, tmp_path: Path) -> None:
    """All of it works: a page, another size; the terminal is as it was, and only the owner can read the file."""
    with made.view(tmp_path / "next", "-a") as terminal:
        assert runs_from(terminal) == LIVE
        terminal.press("?", until="one row up")
        terminal.press("Escape", until=TITLES)
        terminal.resize(90, 20)
        terminal.see(lambda text: len(text.splitlines()) == 20 and re.search("^NAME ", text, re.MULTILINE))
    assert made.file.stat().st_mode & 0o777 == 0o700
    assert list(made.file.parent.glob("kept_live*")) == [made.file]


def test_a_signal_leaves_the_terminal_as_it_was(made: Viewed, tmp_path: Path) -> None:
    """SIGTERM ends it as q does."""
    with made.view(tmp_path / "ended") as terminal:
        os.kill(terminal.pid, signal.SIGTERM)
        terminal.see("exit code")


@pytest.mark.parametrize("variable", ["TEXTUAL_FPS", "ESCDELAY", "LD_PRELOAD", "LC_CTYPE"])
def test_who_tells_textual_or_python_something_has_python(made: Viewed, tmp_path: Path, variable: str) -> None:
    """What is heeded only when Textual is imported, or by ld.so, or another encoding."""
    value = {"LD_PRELOAD": "libc.so.6", "LC_CTYPE": "xx_YY.ISO-8859-1"}.get(variable, "50")
    with made.view(tmp_path / "told", LC_ALL="", **{variable: value}) as terminal:
        assert runs_from(terminal).startswith("python")


def test_another_version_starts_as_usual(tmp_path: Path) -> None:
    """Until it is made anew, by the one that found it old."""
    own = Viewed(tmp_path / "own")
    own.make(tmp_path / "first")
    change(own, "errors", "# another\n")
    with own.view(tmp_path / "second") as terminal:
        assert runs_from(terminal).startswith("python")
        before = own.file.stat().st_ino
        assert wait_for(lambda: own.file.stat().st_ino != before)
    with own.view(tmp_path / "third") as terminal:
        assert runs_from(terminal) == LIVE
    own.close()


def test_who_quits_at_once_leaves_nothing(tmp_path: Path) -> None:
    """What was to make it ends with the view."""
    own = Viewed(tmp_path / "own")
    begun = time.monotonic()
    with own.view(tmp_path / "first"):
        pass
    if time.monotonic() - begun < READY_SECONDS:  # not on a machine that takes so long to draw
        assert not list(own.file.parent.glob("kept_live.*"))
    own.close()
