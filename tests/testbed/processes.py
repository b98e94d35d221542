"""Processes that run beside a test: waiting for what they do, and whose children they are by the kernel's own file."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["children", "until"]


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait for a condition; the test fails with `what` when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


def children(pid: int | str) -> list[int]:
    """Return the children of a process's first thread, none of one that is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
