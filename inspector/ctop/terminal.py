"""Textual's driver of the terminal, writing to stdout: `ctop 2> errors` is then a view and no page of escapes."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, TextIO

from textual.drivers.linux_driver import LinuxDriver

__all__ = ["Terminal"]


class _Stdout:
    """stdout whose terminal may be gone: what is written then is lost.

    Textual's thread that writes would end with the error, and whoever hands
    it the next text would wait for ever instead of seeing the SIGHUP.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write, if anybody is there."""
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Send it out, if anybody is there."""
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._file.isatty()


class Terminal(LinuxDriver):
    """Reads stdin and writes stdout; Textual's own writes stderr."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  whatever Textual's has
        super().__init__(*arguments, **options)
        if sys.__stdout__ is not None:
            self._file = _Stdout(sys.__stdout__)  # type: ignore[assignment]  # all that Textual uses of a file
