"""A real terminal: a tmux server of its own, with one window in which a command runs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testbed.processes import children

__all__ = ["Sought", "Tmux"]

PATIENCE = 120.0

Sought = str | Callable[[str], object]
"""What a screen is waited for with: a regular expression, ^ and $ being lines, or a function of its text."""


class Tmux:
    """Runs a line of shell in a window of `size` columns and lines; close() ends all of it."""

    def __init__(self, directory: Path, command: str, size: tuple[int, int] = (80, 24), **environment: str) -> None:
        self.directory = directory
        self._socket = str(directory / "tmux")
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **environment}
        script = f"stty -g > before; {command}; code=$?; stty -g > after"
        script += "; echo exit code $code; exec sleep 1000"
        columns, lines = size
        self("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", str(directory), script)

    def __call__(self, *argv: str) -> str:
        """Run a command of tmux; return what it prints."""
        done = subprocess.run(["tmux", "-u", "-S", self._socket, *argv], check=True, capture_output=True, text=True,
                              env=self._env, timeout=120)  # fmt: skip
        return done.stdout

    def press(self, *keys: str, until: Sought | None = None) -> None:
        """Send keys, by tmux's names, and wait until they brought something.

        The screen still has what was there before until the program has taken the keys, so what is sought must not
        be there when they are sent: first it has to go.
        """
        if until is not None:
            sought = _function(until)
            self.see(lambda text: not sought(text))
        self("send-keys", *keys)
        if until is not None:
            self.see(until)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self("capture-pane", "-p")

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        self("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def pid(self) -> int:
        """PID of what runs in the shell of the window."""
        shell = self("display-message", "-p", "#{pane_pid}").strip()
        return children(shell)[0]

    def see(self, sought: Sought) -> str:
        """Wait until the screen is as expected, and return it."""
        true = _function(sought)
        deadline = time.monotonic() + PATIENCE
        while not true(shown := self.text):
            if time.monotonic() > deadline:
                pytest.fail(f"the screen never became as expected:\n{shown}")
            time.sleep(0.1)
        return shown

    def wait(self, pattern: str) -> re.Match[str]:
        """Wait until a regular expression is on the screen, and return where."""
        found = re.search(pattern, self.see(pattern), re.MULTILINE)
        assert found is not None
        return found

    def is_restored(self) -> bool:
        """Tell whether the terminal's settings are those before, and its alternate screen is left."""
        before, after = ((self.directory / name).read_text() for name in ("before", "after"))
        return before == after and self("display-message", "-p", "#{alternate_on}").strip() == "0"

    def close(self) -> None:
        """End the server and what runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True, timeout=120)


def _function(sought: Sought) -> Callable[[str], object]:
    return re.compile(sought, re.MULTILINE).search if isinstance(sought, str) else sought
