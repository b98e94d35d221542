"""Ends containers: a signal, a stop, a removal; each waits until the container's monitor has recorded the end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from sandbox.errors import NoSuchContainer, SandboxError
from sandbox.liveness import has_monitor, is_running
from sandbox.reconcile import reconcile
from sandbox.state import Document, Store
from sandbox.teardown import destroy

__all__ = ["kill", "remove", "stop"]

POLL_SECONDS = 0.005
FINISH_SECONDS = 15.0


def _await(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _settled(store: Store, container: str) -> bool:
    """Tell whether a container's monitor has recorded its end."""
    try:
        text = store.load(container)
    except NoSuchContainer:
        return True
    return not has_monitor(text)


def _signal(text: Document, number: int) -> None:
    """Signal a container's first process, and no other that has its number by now."""
    pid = text["State"]["Pid"]
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError, OSError) as error:
        raise SandboxError(f"container {text['Name']} is not running", 1) from error
    try:
        if not is_running(text):
            raise SandboxError(f"container {text['Name']} is not running", 1)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def kill(store: Store, name: str, number: int) -> None:
    """Send a signal to a container's first process."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        raise SandboxError(f"container {name} is not running", 1)
    _signal(text, number)
    if number == signal.SIGKILL:
        _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS)


def stop(store: Store, name: str, seconds: float) -> None:
    """Ask a container to end, and kill it after `seconds`; returns when its end is recorded."""
    text = store.find(name)
    if text["State"]["Status"] != "running":
        return
    with contextlib.suppress(SandboxError):
        _signal(text, signal.SIGTERM)
        if not _await(lambda: not is_running(text), seconds):
            _signal(text, signal.SIGKILL)
    if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
        raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    reconcile(store)


def remove(store: Store, name: str, *, force: bool) -> None:
    """Remove a container; a running one only with `force`, which kills it."""
    text = store.find(name)
    if has_monitor(text):
        if not force:
            raise SandboxError(
                f"cannot remove container {name!r}: it is {text['State']['Status']}: stop it first, or use rm -f", 1
            )
        with contextlib.suppress(SandboxError):
            _signal(text, signal.SIGKILL)
        if not _await(lambda: _settled(store, text["Id"]), FINISH_SECONDS):
            raise SandboxError(f"container {name} does not end: a process of it is stuck in the kernel", 1)
    with contextlib.suppress(NoSuchContainer):
        destroy(store, store.load(text["Id"]))
