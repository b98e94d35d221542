"""What verbs say: a line on standard output, a complaint on standard error, the name of each container served."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from sandbox.errors import SandboxError, describe

__all__ = ["complain", "each", "say_line"]


def complain(error: BaseException) -> None:
    """Say in one line what went wrong."""
    try:
        sys.stderr.write(f"sandbox: {describe(error)}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens
        return


def say_line(text: str) -> None:
    """Print a line; SandboxError when nobody reads it."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        raise SandboxError(f"standard output: {error.strerror}", 1) from None


def each(names: Sequence[str], action: Callable[[str], None]) -> int:
    """Do something with each container, print the names as Docker does, and go on after one that fails."""
    code = 0
    for name in names:
        try:
            action(name)
        except SandboxError as error:
            complain(error)
            code = error.exit_code
        else:
            say_line(name)
    return code
