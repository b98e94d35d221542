"""Signals that are the container's: held back until there is one to give them to, then caught one byte each."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sandbox.contexts import contextmanager
from sandbox.errors import SandboxError
from sandbox.quick import signal

__all__ = ["FORWARDED", "blocked_signals", "caught_signals", "exit_code", "number_of"]

DIGITS = 2  # of a signal's number
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
    """Yield a descriptor on which each signal caught from now on is one byte; those held back come first."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    handlers = {}
    for number in FORWARDED:
        handlers[number] = signal.signal(number, lambda *_: None)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    held = signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    try:
        yield reading
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        signal.set_wakeup_fd(previous)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
