"""Textual's driver of the terminal, writing to stdout: `ctop 2> errors` is then a view and no page of escapes."""

from __future__ import annotations

import sys
from typing import Any

from textual.drivers.linux_driver import LinuxDriver

__all__ = ["Terminal"]


class Terminal(LinuxDriver):
    """Reads stdin and writes stdout; Textual's own writes stderr."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  whatever Textual's has
        super().__init__(*arguments, **options)
        if sys.__stdout__ is not None:
            self._file = sys.__stdout__
