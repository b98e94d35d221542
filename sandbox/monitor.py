"""The process that stands beside a container: passes signals and terminal on, keeps the output, waits for the end.

In the foreground it is `sandbox run` itself; with -d it is a small process of
its own, which writes what the program says to log.jsonl (one record a line of
output, as Docker's json-file driver). The kernel kills a container whose
monitor dies (PR_SET_PDEATHSIG): nobody could tell its exit code any more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import signal
import time
from collections.abc import Iterator

from sandbox import terminal
from sandbox.document import timestamp

__all__ = ["FORWARDED", "Log", "attend", "blocked_signals", "exit_code", "watch_output"]

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
# PID 1 ignores a signal it has no handler for: whoever asks so often wants it dead.
PATIENCE = 3
CHUNK = 65536
LONGEST_LINE = 16384


def exit_code(status: int) -> int:
    """Translate a wait status to what a shell shows: the code, or 128 + the signal."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def blocked_signals() -> Iterator[None]:
    """Hold back the signals that are the container's until there is one to give them to; late ones are dropped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        yield
    finally:
        while signal.sigpending() & FORWARDED:
            signal.sigtimedwait(FORWARDED, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _caught_signals() -> Iterator[int]:
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


def attend(pid: int, pidfd: int, console: int | None, *, interactive: bool) -> int:
    """Stay with a program in the foreground until it ends, and return its exit code."""
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(_caught_signals())
        if console is not None:
            terminal.copy_size(0 if os.isatty(0) else 1, console)
            if interactive and os.isatty(0):
                stack.enter_context(terminal.raw(0))
        _Attendance(pidfd, console, caught, interactive=interactive).run()
    return exit_code(os.waitpid(pid, 0)[1])


class _Attendance:
    """One program in the foreground: its signals, its terminal."""

    def __init__(self, pidfd: int, console: int | None, caught: int, *, interactive: bool) -> None:
        self._pidfd, self._console, self._caught = pidfd, console, caught
        self._impatience = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(pidfd, selectors.EVENT_READ, None)
        self._selector.register(caught, selectors.EVENT_READ, self._pass_signals)
        if console is not None:
            self._selector.register(console, selectors.EVENT_READ, self._show)
            if interactive:
                with contextlib.suppress(PermissionError):  # a regular file cannot be waited for
                    self._selector.register(0, selectors.EVENT_READ, self._type)

    def run(self) -> None:
        """Serve until the program has ended and its last output is shown."""
        ended = False
        with self._selector:
            while not ended:
                for key, _ in self._selector.select():
                    if key.data is None:
                        ended = True
                    else:
                        key.data()
            if self._console is not None:
                os.set_blocking(self._console, False)
                while self._show():
                    pass

    def _pass_signals(self) -> None:
        for number in os.read(self._caught, CHUNK):
            if number == signal.SIGWINCH and self._console is not None:
                terminal.copy_size(0 if os.isatty(0) else 1, self._console)
                continue
            self._impatience += number in (signal.SIGINT, signal.SIGTERM)
            if self._impatience >= PATIENCE:
                number = signal.SIGKILL  # noqa: PLW2901
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _show(self) -> bool:
        assert self._console is not None  # noqa: S101
        try:
            data = os.read(self._console, CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody has the terminal open any more
                return False
            data = b""
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._console)
            return False
        terminal.write_all(1, data)
        return True

    def _type(self) -> None:
        assert self._console is not None  # noqa: S101
        data = os.read(0, CHUNK)
        if data:
            terminal.write_all(self._console, data)
            return
        self._selector.unregister(0)
        terminal.write_all(self._console, b"\x04")  # the end of the input, as a terminal says it


class Log:
    """The output of a detached container: one JSON record a line, {"log": ..., "stream": ..., "time": ...}.

    Bytes that are not UTF-8 are surrogate escapes, so that reading gives back exactly what was written.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._pending: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Record output; what is not a whole line yet waits for its end, 16 KiB at most."""
        *lines, rest = (self._pending.pop(stream, b"") + data).split(b"\n")
        records = [line + b"\n" for line in lines]
        while len(rest) >= LONGEST_LINE:
            records.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        if rest:
            self._pending[stream] = rest
        self._record(stream, records)

    def close(self, stream: str) -> None:
        """Record what a stream ended with."""
        rest = self._pending.pop(stream, b"")
        self._record(stream, [rest] if rest else [])

    def _record(self, stream: str, records: list[bytes]) -> None:
        now = timestamp(time.time())
        text = "".join(
            json.dumps({"log": record.decode(errors="surrogateescape"), "stream": stream, "time": now}) + "\n"
            for record in records
        )
        with contextlib.suppress(OSError):  # a full disk does not stop the container
            terminal.write_all(self._fd, text.encode())


def watch_output(pid: int, pidfd: int, sources: dict[int, str], log: Log) -> int:
    """Keep a detached program's output until it ends, and return its exit code."""
    with selectors.DefaultSelector() as selector:
        selector.register(pidfd, selectors.EVENT_READ, "")
        for fd, stream in sources.items():
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ, stream)
        running = True
        while running:
            for key, _ in selector.select():
                if not key.data:
                    running = False
                elif not _take(key.fd, key.data, log):
                    selector.unregister(key.fd)
    for fd, stream in sources.items():
        while _take(fd, stream, log):
            pass
        log.close(stream)
    return exit_code(os.waitpid(pid, 0)[1])


def _take(fd: int, stream: str, log: Log) -> bool:
    """Move what is there from a stream to the log; False at its end, or when nothing is there."""
    try:
        data = os.read(fd, CHUNK)
    except OSError:
        data = b""
    if data:
        log.write(stream, data)
    return bool(data)
