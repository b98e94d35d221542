"""Makes and starts containers: in the foreground, where we are its monitor, or beside one of its own.

prepare.py computes everything and changes nothing, launch.py forks and speaks
with the child, monitor.py stays beside what runs in the background, and
teardown.py takes down what they made.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from sandbox import channel, init, launch
from sandbox.errors import SandboxError
from sandbox.foreground import attend
from sandbox.liveness import has_monitor
from sandbox.monitor import be_monitor, services
from sandbox.prepare import Prepared, prepare_again
from sandbox.signals import blocked_signals
from sandbox.state import Store
from sandbox.teardown import destroy, finish, settle, take_down

__all__ = ["create", "run", "start"]

# What undoes a start, and what records it and returns that.
Undo = Callable[[], None]


def create(prepared: Prepared, store: Store) -> str:
    """Make a container and start nothing; returns its id."""
    _warn(prepared)
    launch.create(prepared, store)
    settle(store, prepared.document["Id"], "created")
    return str(prepared.document["Id"])


def run(prepared: Prepared, store: Store) -> int:
    """Make a container and start its program; returns its exit code, or 0 at once with -d, whose id is printed."""
    _warn(prepared)

    def establish() -> Undo:
        launch.create(prepared, store)
        return lambda: _quietly(lambda: destroy(store, store.load(prepared.document["Id"])))

    with blocked_signals():
        if prepared.spec.detach:
            _start_detached(prepared, store, establish)
            sys.stdout.write(f"{prepared.document['Id']}\n")
            sys.stdout.flush()
            return 0
        return _run_in_foreground(prepared, store, establish)


def start(store: Store, name: str) -> None:
    """Start a container that was created, or has ended, in the background; one that runs is left alone."""
    text = store.find(name)
    if text["State"]["Status"] == "paused":
        raise SandboxError(f"cannot start a paused container, try unpause instead: {name}", 1)
    if text["State"]["Running"]:
        return
    prepared = prepare_again(text, store)
    _warn(prepared)

    def establish() -> Undo:
        container = text["Id"]
        with store.changing(container) as now:
            if has_monitor(now):
                raise SandboxError(f"container {name} is being started by another command", 1)
            before = now["State"]["Status"]
            now["Cgscope"].update(launch.ourselves())
        return lambda: _quietly(lambda: _give_up(store, container, before))

    with blocked_signals():
        _start_detached(prepared, store, establish)


def _give_up(store: Store, container: str, before: str) -> None:
    take_down(store, store.load(container))
    settle(store, container, before)


def _quietly(action: Undo) -> None:
    """Undo as much as can be: the error that led to it is what the user shall read."""
    with contextlib.suppress(SandboxError, OSError):
        action()


def _warn(prepared: Prepared) -> None:
    for warning in prepared.warnings:
        sys.stderr.write(f"sandbox: warning: {warning}\n")


def _run_in_foreground(prepared: Prepared, store: Store, establish: Callable[[], Undo]) -> int:
    """Be the monitor ourselves: the program has our own streams, and dies with us."""
    undo = establish()
    streams = init.Streams(stdin=0 if prepared.spec.interactive else init.NULL)
    try:
        running = launch.start(prepared, store, streams, lambda: None)
    except BaseException as error:
        undo()
        if isinstance(error, channel.Closed):
            raise SandboxError("the container's first process was killed during its set-up") from None
        raise
    code = attend(
        running.pid,
        running.pidfd,
        running.console,
        interactive=prepared.spec.interactive,
        services=lambda loop: services(loop, prepared, running),
    )
    finish(store, prepared.document["Id"], code)
    return code


def _start_detached(prepared: Prepared, store: Store, establish: Callable[[], Undo]) -> None:
    """Fork the monitor; it starts the program only while we are there to say so."""
    ours, theirs = channel.pair()
    sys.stdout.flush()
    if os.fork() == 0:
        ours.close()
        be_monitor(prepared, store, theirs, establish)
    theirs.close()
    try:
        ours.expect(channel.Ready)
        ours.send(channel.Go())
        ours.expect_end()
    except channel.Closed:
        raise SandboxError("the container's monitor was killed") from None
