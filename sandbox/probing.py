"""Checks a container's health beside its monitor's other work.

A probe is a child of the monitor that enters the container as `sandbox exec` does, and is timed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from sandbox import events, health
from sandbox.contexts import suppress
from sandbox.errors import NoSuchContainer
from sandbox.latest import forget_older
from sandbox.liveness import is_stopped
from sandbox.loop import Loop, Timer
from sandbox.quick import signal
from sandbox.state import Document, Store

__all__ = ["Checker", "Probe"]

TYPE_CHECKING = False  # importing it from typing would be a twentieth of a small monitor's memory
if TYPE_CHECKING:
    from typing import Any

LARGEST = 4096


class Checker:
    """The checks of one run of a container; `reap` is called when a probe has ended."""

    def __init__(
        self, loop: Loop, store: Store, container: str, config: dict[str, Any], reap: Callable[[], object]
    ) -> None:
        self._loop, self._store, self._container, self._reap = loop, store, container, reap
        self._checks = health.Checks(config, time.time())
        self._probe: Probe | None = None
        self._timer: Timer | None = None

    @property
    def pid(self) -> int:
        """Return the process of the probe that runs, or 0."""
        return 0 if self._probe is None else self._probe.pid

    def begin(self) -> None:
        """Check the container from now on."""
        self._wait()

    def end(self) -> None:
        """Check no more."""
        if self._probe is not None:
            self._probe.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._probe = self._timer = None

    def _wait(self) -> None:
        self._timer = self._loop.after(self._checks.pause(time.time()), self._check)

    def _check(self) -> None:
        try:
            text = self._store.load(self._container)
        except NoSuchContainer:  # being removed
            return
        if text["State"]["Paused"] or is_stopped(text):  # a probe would stand still as all in it does
            self._wait()
            return
        checks = self._checks
        self._probe = Probe(self._loop, self._store, self._container, checks.command, checks.timeout, self._done)

    def _done(self, begun: float, code: int, output: str) -> None:
        self._probe = None
        self._reap()
        changed = self._checks.record(begun, time.time(), code, output)
        text = self._record()
        if changed and text is not None:
            events.of_container(self._store.root, text, f"health_status: {self._checks.status}")
        self._wait()

    def _record(self) -> Document | None:
        try:
            with self._store.changing(self._container) as text:
                text["State"]["Health"] = self._checks.document()
        except (NoSuchContainer, OSError):  # a full disk
            return None
        return text


class Probe:
    """One probe that runs; `done` is called with when it began, its exit code and what it said."""

    def __init__(
        self,
        loop: Loop,
        store: Store,
        container: str,
        command: tuple[str, ...],
        timeout: float,
        done: Callable[[float, int, str], object],
    ) -> None:
        self._loop, self._done, self._timeout = loop, done, timeout
        self._begun, self._said = time.time(), b""
        self._output, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _probe(store.root, container, command, theirs)
        os.close(theirs)
        os.set_blocking(self._output, False)
        self._pidfd = os.pidfd_open(self.pid)
        self._timer: Timer | None = loop.after(timeout, self._too_long)
        loop.watch(self._output, self._listen)
        loop.watch(self._pidfd, self._ended)

    def cancel(self) -> None:
        """End it; nobody is told."""
        if self._timer is not None:
            self._close()

    def _listen(self) -> bool:
        try:
            data = os.read(self._output, LARGEST)
        except BlockingIOError:
            return False
        self._said = (self._said + data)[:LARGEST]
        if not data:
            self._loop.unwatch(self._output)
        return bool(data)

    def _ended(self) -> None:
        while self._listen():
            pass
        code = os.waitstatus_to_exitcode(self._close())
        self._done(self._begun, 128 - code if code < 0 else code, self._said.decode(errors="replace"))

    def _too_long(self) -> None:
        self._close()
        self._done(self._begun, *health.timed_out(self._timeout, self._said.decode(errors="replace")))

    def _close(self) -> int:
        """Kill it, the kernel kills what it started in the container with it; returns its wait status."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        for fd in (self._output, self._pidfd):
            self._loop.unwatch(fd)
            os.close(fd)
        return status


def _probe(root: str, container: str, command: tuple[str, ...], output: int) -> None:
    """Be the child: run the command in the container, our standard output and error being the probe's."""
    code = 125
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        forget_older()
        from sandbox.errors import SandboxError, describe  # noqa: PLC0415
        from sandbox.executing import ExecOptions, execute  # noqa: PLC0415
        from sandbox.state import Store  # noqa: PLC0415

        try:
            code = execute(Store(root), container, ExecOptions(command, quiet=True), os.environ)
        except SandboxError as error:
            os.write(2, describe(error).encode(errors="replace"))
            code = error.exit_code
    finally:
        os._exit(code)
