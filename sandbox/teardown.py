"""Takes down what launch.py made: at a container's end, at a failed start, and after a launcher that was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from sandbox import cgroup, document
from sandbox.errors import NoSuchContainer
from sandbox.liveness import is_running
from sandbox.network import connection
from sandbox.network.document import disconnected
from sandbox.state import Document, Store

__all__ = ["destroy", "finish", "settle", "take_down"]

DEFAULT_CGROUP_PARENT = "/cgscope"


def take_down(store: Store, text: Document) -> None:
    """Kill what is left of a container and remove its cgroups; the mounts go with the last process."""
    places = document.places_of(text)
    if is_running(text):
        with contextlib.suppress(ProcessLookupError):
            os.kill(text["State"]["Pid"], signal.SIGKILL)
    cgroup.kill(places)
    made = list(text["Cgscope"]["MadeCgroups"])
    if text["HostConfig"]["CgroupParent"] == DEFAULT_CGROUP_PARENT:
        made = [os.path.dirname(place.directory) for place in places]
    cgroup.remove(places, made)
    connection.release(store, text)


def destroy(store: Store, text: Document) -> None:
    """Remove a container and all that belongs to it."""
    take_down(store, text)
    store.remove(text["Id"], text["Name"])


def settle(store: Store, container: str, status: str, error: str = "", code: int | None = None) -> None:
    """Say that nobody looks after a container any more, and what it is: created, or exited as before."""
    with store.changing(container) as text:
        text["Cgscope"]["Monitor"] = None
        text["State"].update(Status=status, Pid=0, Error=error)
        if code is not None:
            text["State"]["ExitCode"] = code


def finish(store: Store, container: str, code: int, error: str = "") -> None:
    """Take down a container whose program has ended, and record how; one with --rm is gone afterwards."""
    with contextlib.suppress(NoSuchContainer):  # removed by force meanwhile
        text = store.load(container)
        out_of_memory = cgroup.oom_kills(document.places_of(text)) > 0  # while there is a counter
        take_down(text)
        if text["HostConfig"]["AutoRemove"]:
            store.remove(container, text["Name"])
            return
        with store.changing(container) as text:
            text["Cgscope"]["Monitor"] = None
            text["State"].update(document.ended(code, time.time(), error, out_of_memory=out_of_memory))
            text["NetworkSettings"] = disconnected(text["NetworkSettings"])
