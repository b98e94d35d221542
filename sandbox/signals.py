"""Signals that are the container's: held back until there is one to give them to, then read from a descriptor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from sandbox import syscalls
from sandbox.contexts import contextmanager
from sandbox.errors import SandboxError
from sandbox.quick import signal

__all__ = ["FORWARDED", "blocked_signals", "caught_signals", "exit_code", "number_of", "read_signals"]

DIGITS = 2  # of a signal's number
RECORD_BYTES = 128  # struct signalfd_siginfo, which begins with the number
MOST_AT_ONCE = 64
# Left alone: what the kernel means for us (CHLD, PIPE, URG, faults) and job control of the user's shell.
FORWARDED = signal.valid_signals() - {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGURG,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCONT,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
}


def number_of(text: str, code: int = 1) -> int:
    """Return the number of a signal given by name, with or without SIG, or by number; SandboxError(code) otherwise."""
    from signal import Signals  # noqa: PLC0415  a long enumeration

    name = text.upper().removeprefix("SIG")
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS and int(text) in signal.valid_signals():
        return int(text)
    if f"SIG{name}" in Signals.__members__:
        return Signals[f"SIG{name}"].value
    base, sign, offset = name[:5], name[5:6], name[6:]
    counts = offset.isdecimal() and len(offset) <= DIGITS
    if base in ("RTMIN", "RTMAX") and sign == ("+" if base == "RTMIN" else "-") and counts:
        number = Signals[f"SIG{base}"].value + int(sign + offset)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    raise SandboxError(f"invalid signal: {text!r}", code)


def exit_code(status: int) -> int:
    """Translate a wait status to what a shell shows: the code, or 128 + the signal."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Hold back the signals that are the container's until there is one to give them to; late ones are dropped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        yield
    finally:
        while signal.sigpending() & FORWARDED:
            signal.sigtimedwait(FORWARDED, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def caught_signals() -> Iterator[int]:
    """Yield a descriptor that read_signals() tells signals from; those held back come first (signalfd(2)).

    One that our caller has us ignore is among them: the kernel keeps what is blocked.
    """
    with blocked_signals():
        caught = syscalls.signal_descriptor(FORWARDED)
        try:
            yield caught
        finally:
            os.close(caught)


def read_signals(caught: int) -> list[int]:
    """Return the numbers of the signals that have come."""
    data = os.read(caught, RECORD_BYTES * MOST_AT_ONCE)
    return [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), RECORD_BYTES)]
