"""What verbs say: a line on standard output, a complaint on standard error, the name of each container served."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from sandbox.errors import SandboxError, describe

__all__ = ["complain", "each", "ending_with_one", "say_line"]


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


@contextlib.contextmanager
def ending_with_one() -> Iterator[None]:
    """Let what goes wrong end with 1, as with Docker's verbs that run no program."""
    try:
        yield
    except (SandboxError, OSError) as error:
        raise SandboxError(describe(error), 1) from None


def each(names: Sequence[str], action: Callable[[str], None], *, name_it: bool = True) -> int:
    """Do something with each, print the names as Docker does, and go on after one that fails."""
    code = 0
    for name in names:
        try:
            action(name)
        except SandboxError as error:
            complain(error)
            code = error.exit_code
        else:
            if name_it:
                say_line(name)
    return code
