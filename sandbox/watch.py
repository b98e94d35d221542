"""What a monitor does while its container runs: keeps the output, serves who is attached, checks the health.

Everything here is small, as one of these processes stands beside each
container: what is only needed to start or to take down is imported when it
comes to that. `Handed` is what the starter (monitor.py) leaves to it, as JSON,
since it may be another program by then: numbers and descriptors.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from functools import partial

from sandbox import health
from sandbox.attachments import Attachments
from sandbox.contexts import suppress
from sandbox.errors import NoSuchContainer
from sandbox.latest import forget_older
from sandbox.log_file import Log, options
from sandbox.loop import Loop
from sandbox.network.serving import Served
from sandbox.outlet import Outlet
from sandbox.probing import Checker
from sandbox.quick import loads, signal, socket, struct
from sandbox.restart import Restarts
from sandbox.signals import exit_code
from sandbox.state import Store

__all__ = ["Watch", "main", "run"]

TYPE_CHECKING = False  # importing it from typing would be a twentieth of a small monitor's memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Handed = dict[str, Any]

CHUNK = 65536
LINGER_SECONDS = 0.05
TIOCSWINSZ = 0x5414
END_OF_INPUT = b"\x04"


class Watch:
    """One container, from the start of its program to the end that is final."""

    def __init__(self, root: str, container: str, handed: Handed) -> None:
        self._store, self._container, self._handed = Store(root), container, handed
        self._loop = Loop()
        text = self._store.load(container)
        self._config, host = text["Config"], text["HostConfig"]
        policy = host["RestartPolicy"]
        self._restarts = Restarts(policy["Name"], policy["MaximumRetryCount"], *handed["restarts"])
        self._log: Log | None = None
        if text["LogPath"]:
            self._log = Log(text["LogPath"], *options(host["LogConfig"]["Config"]))
        self._sources: dict[int, str] = {fd: name for name, fd in handed["outputs"].items()}
        self._console: int | None = handed["console"]
        self._input: Outlet | None = None
        if handed["stdin"] is not None:
            self._input = Outlet(self._loop, handed["stdin"], self._input_drained, lambda: None)
        listener = handed["listener"]
        self._attached = Attachments(
            self._loop,
            None if listener is None else socket.socket(fileno=listener),
            typed=self._type,
            resized=self._resize,
            news=self._look_again,
            abandoned=self._abandoned,
            drained=self._listen,
            choked=lambda: self._input is not None and self._input.full,
        )
        if handed["launcher"] is not None:
            self._attached.adopt(socket.socket(fileno=handed["launcher"]))
        self._checker: Checker | None = None
        if health.enabled(self._config.get("Healthcheck")):
            self._checker = Checker(self._loop, self._store, container, self._config["Healthcheck"], self._reap)
        self._waiting = False
        self._network: Served | None = None

    def serve(self) -> Handed | None:
        """Serve until the program has ended; returns None after the final end, or what starts it again."""
        handed = self._handed
        pidfd = handed["pidfd"]
        self._loop.watch(pidfd, self._loop.stop)
        for fd in self._sources:
            os.set_blocking(fd, False)
        self._listen()
        if self._checker is not None:
            self._checker.begin()
        self._network = Served(self._loop, handed, self._store.root, self._container)
        end_reaping = self._reap_orphans()
        error = ""
        try:
            self._loop.run()
        except Exception as problem:  # noqa: BLE001  a fault of ours ends the container, known to all
            error = f"the monitor failed: {type(problem).__name__}: {problem}"
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        self._loop.unwatch(pidfd)
        code = exit_code(os.waitpid(handed["pid"], 0)[1])
        os.close(pidfd)
        self._network.close()
        self._network = None
        if self._checker is not None:
            self._checker.end()
        end_reaping()
        self._reap()
        self._read_the_rest()
        return self._after(code, error)

    def _after(self, code: int, error: str) -> Handed | None:
        """Record the end, tell who is attached, and wait for the next start if there shall be one."""
        forget_older()
        from sandbox import teardown  # noqa: PLC0415
        from sandbox.errors import NoSuchContainer  # noqa: PLC0415
        from sandbox.state import Store  # noqa: PLC0415

        store = Store(self._store.root)
        ran = time.monotonic() - self._handed["started"]
        pause = None
        with suppress(NoSuchContainer):
            text = store.load(self._container)
            policy = text["HostConfig"]["RestartPolicy"]
            self._restarts.change(policy["Name"], policy["MaximumRetryCount"])
            stopped = bool(text["Cgscope"].get("Stopped"))
            pause = self._restarts.next(code, ran, stopped=stopped or bool(error))
        teardown.finish(store, self._container, code, error, None if pause is None else self._restarts.count)
        self._attached.ended(code)
        if pause is not None and self._wait_for_restart(pause):
            return {"restarts": [self._restarts.count, self._restarts.pause], "listener": self._attached.detach()}
        if pause is not None:
            with suppress(NoSuchContainer):
                teardown.settle(store, self._container, "exited", error)
        while self._attached.pending:
            self._loop.after(LINGER_SECONDS, self._loop.stop)
            self._loop.run()
        return None

    def _wait_for_restart(self, seconds: float) -> bool:
        """Wait before the next start, serving who is attached; False when it shall not come any more."""
        self._loop.after(seconds, self._loop.stop)
        self._waiting = True
        if self._waits_to_be_started():
            self._loop.run()
        self._waiting = False
        return self._waits_to_be_started()

    def _waits_to_be_started(self) -> bool:
        """Tell whether nobody has stopped or removed the container while it waits."""
        try:
            text = self._store.load(self._container)
        except NoSuchContainer:
            return False
        return text["State"]["Status"] == "restarting" and not text["Cgscope"].get("Stopped")

    def _look_again(self) -> None:
        """Somebody has changed the document: the container may be stopped while it waits for its restart, or moved."""
        if self._waiting and not self._waits_to_be_started():
            self._loop.stop()
        if self._network is not None:
            with suppress(NoSuchContainer):
                self._network.move(self._store.load(self._container)["NetworkSettings"]["IPAddress"])

    # The program's output and input.

    def _listen(self) -> None:
        """Read what the program says, unless its launcher does not."""
        for fd in self._sources:
            self._loop.watch(fd, None if self._attached.congested else partial(self._take, fd))

    def _take(self, fd: int) -> bool:
        """Move what is there from a stream to the log and to who is attached; False at its end, or when it is empty."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self._loop.unwatch(fd)
            del self._sources[fd]
            return False
        if self._log is not None:
            self._log.write(self._sources[fd], data)
        self._attached.output(self._sources[fd], data)
        if self._attached.congested:
            self._listen()
        return True

    def _read_the_rest(self) -> None:
        """Take what the program said last: all of it is in the pipes now."""
        for fd in list(self._sources):
            while self._take(fd):
                pass
            self._loop.unwatch(fd)
        self._sources = {}
        if self._log is not None:
            self._log.close("stdout")
            self._log.close("stderr")
        if self._input is not None:
            self._input.close()
        for fd in {*self._handed["outputs"].values(), *(() if self._console is None else (self._console,))}:
            with suppress(OSError):
                os.close(fd)

    def _type(self, data: bytes | None) -> None:
        """Pass on what somebody types; None is the end of the input, which lasts when it comes from the launcher."""
        if self._input is None:
            return
        if data is not None:
            self._input.write(data)
        elif self._console is not None:
            self._input.write(END_OF_INPUT)
        elif self._config["StdinOnce"]:
            self._input.end()

    def _input_drained(self) -> None:
        self._attached.listen_again()

    def _resize(self, rows: int, columns: int) -> None:
        if self._console is not None:
            with suppress(OSError):
                fcntl.ioctl(self._console, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _abandoned(self) -> None:
        """End with the launcher in the foreground: it was killed, or its terminal is gone."""
        with suppress(NoSuchContainer, ProcessLookupError, OSError):
            with self._store.changing(self._container) as text:
                text["Cgscope"]["Stopped"] = True
            signal.pidfd_send_signal(self._handed["pidfd"], signal.SIGKILL)

    # Processes that become our children, as we are the subreaper: those of a probe that was killed, and with the
    # host's PID namespace the container's own orphans. Until they are reaped their PID namespace cannot end.

    def _reap_orphans(self) -> Callable[[], None]:
        """Reap them as they end; returns what ends that."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def reap() -> None:
            with suppress(BlockingIOError):
                os.read(reading, CHUNK)
            self._reap()

        def end() -> None:
            self._loop.unwatch(reading)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(reading)
            os.close(writing)

        self._loop.watch(reading, reap)
        self._reap()  # those that ended before we could be told
        return end

    def _reap(self) -> None:
        ours = {self._handed["pid"], self._checker.pid if self._checker else 0}
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid in ours:  # whoever waits for that one comes here again
                    return
                os.waitpid(found.si_pid, 0)


def main(root: str, container: str, handed: Handed) -> None:
    """Watch a container until its last end; each start after the first is the starter's work again."""
    again = Watch(root, container, handed).serve()
    if again is not None:
        forget_older()
        from sandbox.monitor import start_again  # noqa: PLC0415
        from sandbox.state import Store  # noqa: PLC0415

        start_again(Store(root), container, again)


def run(words: list[str]) -> None:
    """Be the small program that monitor.py executes: words are the state directory, the id, and what is handed over."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("sandbox-monitor")
    handed = loads(words[2])
    single = (handed[key] for key in ("pidfd", "console", "stdin", "listener", "launcher"))
    for fd in {*single, *handed["outputs"].values(), *handed["descriptors"]} - {None}:
        os.set_inheritable(fd, False)  # noqa: FBT003  its only argument
    main(words[0], words[1], handed)
