"""Stays with a program in the foreground that is our own child: its signals, its terminal, its end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from sandbox import terminal
from sandbox.contexts import contextmanager, suppress
from sandbox.loop import Loop
from sandbox.quick import signal
from sandbox.signals import caught_signals, exit_code, read_signals

__all__ = ["PATIENCE", "attend"]

# PID 1 ignores a signal it has no handler for: whoever asks so often wants it dead.
PATIENCE = 3
CHUNK = 65536


def attend(
    pid: int,
    pidfd: int,
    console: int | None,
    *,
    interactive: bool,
    services: Callable[[Loop], object] = lambda _: None,
) -> int:
    """Stay with a program until it ends, and return its exit code; `services` adds what is to be served meanwhile."""
    loop = Loop()
    try:
        with caught_signals() as caught, _terminal(console, interactive=interactive):
            services(loop)
            _Attendance(loop, pidfd, console, caught, interactive=interactive).run()
    finally:
        loop.close()
    return exit_code(os.waitpid(pid, 0)[1])


@contextmanager
def _terminal(console: int | None, *, interactive: bool) -> Iterator[None]:
    """Give a container's terminal the size of the user's, and have that one in raw mode while it is typed into."""
    if console is not None:
        terminal.copy_size(0 if os.isatty(0) else 1, console)
        if interactive and os.isatty(0):
            with terminal.raw(0):
                yield
            return
    yield


class _Attendance:
    """One program in the foreground."""

    def __init__(self, loop: Loop, pidfd: int, console: int | None, caught: int, *, interactive: bool) -> None:
        self._loop, self._pidfd, self._console, self._caught = loop, pidfd, console, caught
        self._impatience = 0
        loop.watch(pidfd, loop.stop)
        loop.watch(caught, self._pass_signals)
        if console is not None:
            loop.watch(console, self._show)
            if interactive:
                with suppress(PermissionError):  # a regular file cannot be waited for
                    loop.watch(0, self._type)

    def run(self) -> None:
        """Serve until the program has ended and its last output is shown."""
        self._loop.run()
        if self._console is not None:
            os.set_blocking(self._console, False)
            while self._show():
                pass

    def _pass_signals(self) -> None:
        for number in read_signals(self._caught):
            if number == signal.SIGWINCH and self._console is not None:
                terminal.copy_size(0 if os.isatty(0) else 1, self._console)
                continue
            self._impatience += number in (signal.SIGINT, signal.SIGTERM)
            if self._impatience >= PATIENCE:
                number = signal.SIGKILL  # noqa: PLW2901
            with suppress(ProcessLookupError):
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
            self._loop.unwatch(self._console)
            return False
        terminal.write_all(1, data)
        return True

    def _type(self) -> None:
        assert self._console is not None  # noqa: S101
        data = os.read(0, CHUNK)
        if data:
            terminal.write_all(self._console, data)
            return
        self._loop.unwatch(0)
        terminal.write_all(self._console, b"\x04")  # the end of the input, as a terminal says it
