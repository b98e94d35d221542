"""Takes down what launch.py made: at a container's end, at a failed start, and after a launcher that was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from sandbox import cgroup, document
from sandbox.liveness import is_running
from sandbox.state import Document, Store

__all__ = ["destroy", "finish"]

DEFAULT_CGROUP_PARENT = "/cgscope"


def _take_down(text: Document) -> None:
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


def destroy(store: Store, text: Document) -> None:
    """Remove a container and all that belongs to it."""
    _take_down(text)
    with store.lock():
        store.remove(text["Id"], text["Name"])


def finish(store: Store, text: Document, code: int, error: str = "") -> None:
    """Record how a container ended and take it down; one with --rm is gone afterwards."""
    text["State"].update(
        Status="exited",
        Running=False,
        Pid=0,
        ExitCode=code,
        OOMKilled=cgroup.oom_kills(document.places_of(text)) > 0,
        Error=error,
        FinishedAt=document.timestamp(time.time()),
    )
    _take_down(text)
    if text["HostConfig"]["AutoRemove"]:
        destroy(store, text)
    else:
        store.save(text)
