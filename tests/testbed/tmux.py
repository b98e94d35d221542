"""A real terminal: a tmux server of its own, with one window in which a command runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["Tmux"]

PATIENCE = 90.0


class Tmux:
    """Runs a command in a window of `size` columns and lines; close() ends all of it."""

    def __init__(self, directory: Path, command: Sequence[str], size: tuple[int, int] = (80, 24)) -> None:
        self.directory = directory
        self._socket = str(directory / "tmux")
        self._env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
        script = f"stty -g > before; {shlex.join(command)}; code=$?; stty -g > after"
        script += "; echo exit code $code; exec sleep 1000"
        columns, lines = size
        self("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(lines), "-c", str(directory), script)

    def __call__(self, *argv: str) -> str:
        """Run a command of tmux; return what it prints."""
        done = subprocess.run(["tmux", "-u", "-S", self._socket, *argv], check=True, capture_output=True, text=True,
                              env=self._env, timeout=60)  # fmt: skip
        return done.stdout

    def press(self, *keys: str) -> None:
        """Send keys, by tmux's names."""
        self("send-keys", *keys)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self("capture-pane", "-p")

    def wait(self, pattern: str) -> re.Match[str]:
        """Wait until something (a regular expression, ^ and $ are lines) is on the screen; return where."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, shown := self.text, re.MULTILINE)) is None:
            if time.monotonic() > deadline:
                pytest.fail(f"{pattern!r} was never on the screen:\n{shown}")
            time.sleep(0.1)
        return found

    def is_restored(self) -> bool:
        """Tell whether the terminal's settings are those before, and its alternate screen is left."""
        before, after = ((self.directory / name).read_text() for name in ("before", "after"))
        return before == after and self("display-message", "-p", "#{alternate_on}").strip() == "0"

    def close(self) -> None:
        """End the server and what runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True, timeout=60)
