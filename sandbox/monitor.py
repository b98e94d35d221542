"""Becomes the process that stands beside a container: starts its program, then watches it.

The kernel kills a container whose monitor dies (PR_SET_PDEATHSIG): nobody
could tell its exit code any more. What it takes to start a container is too
much to keep for as long as it runs, so the monitor of one in the background
executes a small program in its own place (watch.py), which keeps its process
number, its children and the descriptors it was handed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from sandbox import attachments, channel, events, syscalls, watch
from sandbox.conversation import Running
from sandbox.errors import describe
from sandbox.launch import start
from sandbox.prepare import Prepared, prepare_again
from sandbox.program import NULL, Streams
from sandbox.quick import dumps
from sandbox.state import Store
from sandbox.teardown import settle, take_down

__all__ = ["Handed", "Undo", "be_monitor", "hand_over", "start_again"]

NAME = "sandbox-monitor"
SMALL = "import sys; sys.path[:] = {}; from sandbox import watch; watch.run(sys.argv[1:])"
Handed = dict[str, Any]
# What undoes a start, and what records it and returns that.
Undo = Callable[[], None]


def hand_over(prepared: Prepared, running: Running) -> Handed:
    """Return what watch.py needs of this container, as JSON; "descriptors" lists those that stay open."""
    del prepared  # each concern adds its part here
    ports = running.network.handed() if running.network is not None else None
    resolver = running.network.resolver() if running.network is not None else None
    descriptors = [fd for fd, *_ in ports["listeners"]] if ports else []
    descriptors += [resolver["udp"], resolver["tcp"]] if resolver else []
    return {"descriptors": descriptors, "ports": ports, "resolver": resolver}


def be_monitor(
    prepared: Prepared,
    store: Store,
    launcher: channel.Channel,
    establish: Callable[[], Undo],
    attached: socket.socket | None,
) -> NoReturn:
    """Be a container's monitor, from its start to its end.

    `establish` records us as its monitor, and returns what undoes that when it does not start. `attached` is the
    launcher's connection when it stays to show the output: then it waits for us, and we need not be small, unless it
    can leave by the detach keys.
    """
    undo: Undo = lambda: None  # noqa: E731
    try:
        _leave_the_terminal()
        undo = establish()
        directory = store.directory(prepared.document["Id"])
        os.chdir(directory)  # by which others find the container's name before its root leads there (inspector.stores)
        listener = attachments.listen(directory).detach()

        def confirm() -> None:
            launcher.send(channel.Ready())
            launcher.expect(channel.Go)

        handed = _start(prepared, store, listener, confirm)
        handed["launcher"] = None if attached is None else attached.detach()
        launcher.close()
    except BaseException as error:  # noqa: BLE001  the launcher tells the user
        undo()
        launcher.send_error(error)
        os._exit(1)
    _watch(store, prepared.document["Id"], handed, small=attached is None or prepared.spec.tty)


def start_again(store: Store, container: str, again: Handed) -> NoReturn:
    """Start a container once more after its pause, and watch it; one that does not start has ended for good."""
    try:
        with store.changing(container) as text:  # from now on nobody else may mount its files
            stopped = text["Cgscope"].get("Stopped", False)
            text["Cgscope"]["StartsAgain"] = not stopped
        if stopped:  # just now
            settle(store, container, "exited")
            os._exit(0)
        prepared = prepare_again(text, store)
        handed = _start(prepared, store, again["listener"], lambda: None)
        handed["restarts"] = again["restarts"]
    except BaseException as error:  # noqa: BLE001  nobody but the document can be told
        with contextlib.suppress(Exception):
            take_down(store, store.load(container))
            settle(store, container, "exited", describe(error), getattr(error, "exit_code", 125))
        os._exit(1)
    _watch(store, container, handed, small=True)


def _leave_the_terminal() -> None:
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    syscalls.set_process_name(NAME)


def _start(prepared: Prepared, store: Store, listener: int, confirm: Callable[[], None]) -> Handed:
    """Start the program, its output coming to us; returns what is to be watched."""
    store.reserve(prepared.document["Id"])
    stdin, out, err = NULL, NULL, NULL
    outputs: dict[str, int] = {}
    typed = None
    if not prepared.spec.tty:
        (outputs["stdout"], out), (outputs["stderr"], err) = os.pipe(), os.pipe()
        if prepared.spec.interactive:
            stdin, typed = os.pipe()
    running = start(prepared, store, Streams(stdin, out, err, owned=True), confirm)
    events.of_container(store.root, prepared.document, "start")
    for fd in (stdin, out, err):
        if fd != NULL:
            os.close(fd)
    if running.console is not None:
        outputs = {"stdout": running.console}
        typed = os.dup(running.console) if prepared.spec.interactive else None
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return {
        "pid": running.pid,
        "pidfd": running.pidfd,
        "started": time.monotonic(),
        "outputs": outputs,
        "console": running.console,
        "stdin": typed,
        "listener": listener,
        "launcher": None,
        "restarts": [0, 0.0],
        **hand_over(prepared, running),
    }


def _watch(store: Store, container: str, handed: Handed, *, small: bool) -> NoReturn:
    """Watch the container, in a small program if we shall be one; where that cannot be executed, as we are."""
    try:
        if small:
            single = (handed[key] for key in ("pidfd", "console", "stdin", "listener", "launcher"))
            for fd in {*single, *handed["outputs"].values(), *handed["descriptors"]} - {None}:
                os.set_inheritable(fd, True)  # noqa: FBT003  its only argument
            program = SMALL.format([entry for entry in sys.path if os.path.isabs(entry)])
            words = [store.root, container, dumps(handed)]
            with contextlib.suppress(OSError):
                # -I knows no environment: where byte code is kept must be said, or all would be compiled each time.
                cache = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []
                os.execv(sys.executable, [sys.executable, "-I", "-S", *cache, "-c", program, *words])  # noqa: S606
        watch.main(store.root, container, handed)
    finally:
        os._exit(0)
