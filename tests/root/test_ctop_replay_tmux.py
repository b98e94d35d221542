"""The real ctop in a real terminal: it records what it shows, and shows it again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from inspector.ctop.recording.reader import Recording
from tests.live.test_recording import waiting
from tests.testbed.tmux import Tmux

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as every test with a terminal does"),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)"),
]

CTOP = f"{sys.executable} -m inspector.ctop --no-config"


def test_recorded_in_the_live_view_and_shown_again(tmp_path: Path) -> None:
    """A session is recorded until q; its replay is held, stepped, sent to a time, resized, and leaves the terminal."""
    path = tmp_path / "file"
    # A directory each: a server of tmux that ends keeps the next one from its socket.
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    terminal = Tmux(tmp_path / "first", f"{CTOP} -a -d 0.2 --record {path}")
    try:
        terminal.see(lambda text: "all kinds" in text and "over" in text)
        waiting(path, 3)
        terminal.press("q", until="exit code 0")
        assert terminal.is_restored()
    finally:
        terminal.close()
    with Recording(str(path)) as recording:
        length = recording.length
    assert length >= 3
    terminal = Tmux(tmp_path / "second", f"{CTOP} -a --replay {path}")
    try:
        terminal.see(lambda text: text.startswith("REPLAY") and "PLAYING" in text)
        terminal.press("C-End", until=lambda text: f"  {length}/{length} " in text and "HELD" in text)
        terminal.press("[", until=f"  {length - 1}/{length} ")
        terminal.press("b", "-", "1", "h", "Enter", until=f"  1/{length} ")
        terminal.press("b", "x", "Enter", until="is no time")
        terminal.press("Escape", until=lambda text: "is no time" not in text)
        for columns, lines in ((120, 40), (80, 24)):
            terminal.resize(columns, lines)
            # The last line is drawn for that height.
            terminal.see(lambda text, lines=lines: text.startswith("REPLAY")  # type: ignore[misc]
                         and "Space play" in text.splitlines()[lines - 1])  # fmt: skip
        terminal.press("q", until="exit code 0")
        assert terminal.is_restored()
    finally:
        terminal.close()


@pytest.mark.parametrize("argv", ["--connect 127.0.0.1:1", "--prometheus 127.0.0.1:1", "--replay /dev/null"])
def test_nothing_to_show_leaves_the_terminal(tmp_path: Path, argv: str) -> None:
    """A server that is not there and a file that is none end in one line, with the terminal as it was."""
    terminal = Tmux(tmp_path, f"{CTOP} {argv}")
    try:
        shown = terminal.see("exit code 1")
        assert len([line for line in shown.splitlines() if line.startswith("ctop: ")]) == 1
        assert terminal.is_restored()
    finally:
        terminal.close()
