"""The exceptions of the sandbox, each with the exit code that `docker run` has for it.

SandboxError (125)          the sandbox itself failed, or was asked for something impossible
├── BadValue                a value of an option that is none; 125 of every verb, as the client of Docker sees it
├── NobodyReads (141)       as by SIGPIPE: what was said has no reader any more; nothing is said of that
├── CommandNotFound (127)   the program does not exist in the container
├── CommandNotExecutable (126)  it exists, and cannot be executed
└── NotFound (1)            nothing has that id or name
    └── NoSuchContainer     no container has
"""

from __future__ import annotations

import errno
import os

__all__ = [
    "BadValue",
    "CommandNotExecutable",
    "CommandNotFound",
    "Damaged",
    "NoSuchContainer",
    "NobodyReads",
    "NotFound",
    "SandboxError",
    "code_of",
    "describe",
    "not_executed",
    "printable",
    "quoted",
]


class SandboxError(Exception):
    """Base of what the sandbox raises on purpose; its text is one line for the user."""

    exit_code = 125
    number = 0  # errno of the system call that failed, where the error came out of another process

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        super().__init__(text)
        if exit_code is not None:
            self.exit_code = exit_code


class BadValue(SandboxError):
    """What was given makes no sense by itself, whatever there is here."""


class NobodyReads(SandboxError):
    """Who read our output has what it wants, as `head` has: we end as Docker's client does, by SIGPIPE."""

    exit_code = 128 + 13  # SIGPIPE: a start that goes well has no need of the module signal

    def __init__(self) -> None:
        super().__init__("nobody reads what is said")


class CommandNotFound(SandboxError):
    """The program to start does not exist in the container."""

    exit_code = 127


class CommandNotExecutable(SandboxError):
    """The program to start exists and cannot be executed: a directory, no x bit, an unknown format."""

    exit_code = 126


class NotFound(SandboxError):
    """Nothing of that kind has that name or id."""

    exit_code = 1


class NoSuchContainer(NotFound):
    """No container answers to that id, id prefix or name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such container: {name or 'the name is empty'}")


class Damaged(SandboxError):
    """A container's document cannot be read: its files are all that is left of it."""

    def __init__(self, path: str, container: str, why: str) -> None:
        super().__init__(f"{path}: {why}: `sandbox rm -f {container[:12]}` removes what is left of it")
        self.container = container


def not_executed(path: str, number: int) -> SandboxError:
    """Return the error of a program that cannot be executed: the kernel's words, in Docker's lower case."""
    text = f'exec: "{path}": {os.strerror(number).lower()}'
    if number == errno.ENOENT:
        return CommandNotFound(f"{text} (the interpreter of the program is missing)")
    return CommandNotExecutable(text)


def code_of(error: OSError) -> int:
    """Return the exit code that `docker run` has for what the kernel refused: it goes by the words of the error."""
    return {errno.ENOENT: 127, errno.EACCES: 126, errno.EISDIR: 126}.get(error.errno or 0, 125)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong: `path: reason` for an OSError, the text of any other exception."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        name = error.filename if error.filename2 is None else error.filename2  # of two, what was to be made
        text = reason if name is None else f"{name or repr(name)}: {reason}"
    else:
        text = str(error) or type(error).__name__
    return printable(" ".join(text.split()))


def quoted(text: str) -> str:
    """Write a text between quotes as Docker does: quotes in it are escaped, and what a terminal would obey."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def printable(text: str) -> str:
    """Escape what a terminal would obey: of names and command lines we choose none."""
    # Not by a codec: a new process, which tells of its errors by this, can import none any more.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
