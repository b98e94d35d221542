"""The process beside a detached container: keeps its output, waits for its end, records it.

The kernel kills a container whose monitor dies (PR_SET_PDEATHSIG): nobody
could tell its exit code any more. What else is to be done beside a running
container (a port's proxy, a health check) is a function of the Monitor's loop:
see loop.py, and services() below.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from sandbox import channel, init, syscalls
from sandbox.errors import describe
from sandbox.launch import Running, start
from sandbox.log_file import Log
from sandbox.loop import Loop
from sandbox.prepare import Prepared
from sandbox.signals import exit_code
from sandbox.state import Store
from sandbox.teardown import finish

__all__ = ["be_monitor", "services"]

CHUNK = 65536


def services(loop: Loop, prepared: Prepared, running: Running) -> None:
    """Add what is served beside a program that has just been started, until it ends."""
    del loop, prepared, running  # the concerns add their calls here


def be_monitor(
    prepared: Prepared, store: Store, launcher: channel.Channel, establish: Callable[[], Callable[[], None]]
) -> NoReturn:
    """Be a container's monitor, from its start to its end.

    `establish` records us as its monitor, and returns what undoes that when it does not start.
    """
    undo: Callable[[], None] = lambda: None  # noqa: E731
    try:
        _leave_the_terminal()
        undo = establish()
        monitor = Monitor(prepared, store)

        def confirm() -> None:
            launcher.send(channel.Ready())
            launcher.expect(channel.Go)

        monitor.start(confirm)
        launcher.close()
    except BaseException as error:  # noqa: BLE001  the launcher tells the user
        undo()
        launcher.send_error(error)
        os._exit(1)
    try:
        monitor.serve()
    finally:
        os._exit(0)


def _leave_the_terminal() -> None:
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    syscalls.set_process_name("sandbox-monitor")


class Monitor:
    """One container, from the start of its program to its end."""

    def __init__(self, prepared: Prepared, store: Store) -> None:
        self._prepared, self._store = prepared, store
        self._loop = Loop()
        self._log = Log(prepared.document["LogPath"])
        self._running: Running | None = None
        self._sources: dict[int, str] = {}
        self._stdin = init.NULL

    def start(self, confirm: Callable[[], None]) -> None:
        """Start the program, its output coming to us."""
        spec = self._prepared.spec
        stdin, out, err = init.NULL, init.NULL, init.NULL
        if not spec.tty:
            (out_end, out), (err_end, err) = os.pipe(), os.pipe()
            self._sources = {out_end: "stdout", err_end: "stderr"}
            if spec.interactive:
                stdin, self._stdin = os.pipe()
        self._running = start(self._prepared, self._store, init.Streams(stdin, out, err, owned=True), confirm)
        for fd in (stdin, out, err):
            if fd != init.NULL:
                os.close(fd)
        if self._running.console is not None:
            self._sources = {self._running.console: "stdout"}
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def serve(self) -> None:
        """Serve the container until its program has ended, and record that."""
        running = self._running
        assert running is not None  # noqa: S101
        self._loop.watch(running.pidfd, self._loop.stop)
        for fd in self._sources:
            os.set_blocking(fd, False)
            self._loop.watch(fd, partial(self._take, fd))
        services(self._loop, self._prepared, running)
        error = ""
        try:
            self._loop.run()
        except Exception as problem:  # noqa: BLE001  a fault of a service ends the container, known to all
            error = f"the monitor failed: {type(problem).__name__}: {describe(problem)}"
            signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)
        code = exit_code(os.waitpid(running.pid, 0)[1])
        for fd, stream in self._sources.items():
            while self._take(fd):
                pass
            self._log.close(stream)
        finish(self._store, self._prepared.document["Id"], code, error)

    def _take(self, fd: int) -> bool:
        """Move what is there from a stream to the log; False at its end, or when nothing is there."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if data:
            self._log.write(self._sources[fd], data)
        else:
            self._loop.unwatch(fd)
        return bool(data)
