"""Takes down what launch.py made: at a container's end, at a failed start, and after a launcher that was killed."""

from __future__ import annotations

import os
import time

from sandbox import culling, document, events
from sandbox.contexts import suppress
from sandbox.errors import NoSuchContainer, describe
from sandbox.liveness import age, is_running, is_stopped
from sandbox.network import connection
from sandbox.network.document import disconnected
from sandbox.quick import signal
from sandbox.state import Document, Store

__all__ = ["destroy", "finish", "settle", "take_down"]


def take_down(store: Store, text: Document) -> None:
    """Kill what is left of a container and remove its cgroups; the mounts go with the last process."""
    places = document.places_of(text)
    alive = is_running(text)
    if text["State"]["Paused"] or (alive and is_stopped(text)):  # v1: a stopped process dies when it goes on
        from sandbox import freezer  # noqa: PLC0415  rare

        freezer.let_go(places)
    if alive:
        with suppress(ProcessLookupError):
            os.kill(text["State"]["Pid"], signal.SIGKILL)
    made = [os.path.dirname(place.directory) for place in places]
    if text["HostConfig"]["CgroupParent"] != document.CGROUP_PARENT:
        from sandbox.above import still_there  # noqa: PLC0415  rare

        private = text["Cgscope"]
        made = still_there(private["MadeCgroups"], starting=private["Monitor"] is not None)
    culling.remove(places, made)
    connection.release(store, text)


def destroy(store: Store, text: Document, *, volumes: bool = False) -> None:
    """Remove a container and all that belongs to it; its anonymous volumes with --rm, or with `volumes`."""
    take_down(store, text)
    _forget(store, text, volumes=volumes)


def _forget(store: Store, text: Document, *, volumes: bool = False) -> None:
    """Remove what is kept of a container that is taken down."""
    if text["HostConfig"].get("IDMappings"):
        from sandbox import idmap  # noqa: PLC0415  rare

        idmap.release(store, text)
    store.remove(text["Id"], text["Name"])
    if (volumes or text["HostConfig"]["AutoRemove"]) and any(each["Type"] == "volume" for each in text["Mounts"]):
        from sandbox.volumes.store import Volumes, named_volumes  # noqa: PLC0415  rare

        Volumes(store.root).remove_anonymous(named_volumes(text), store)
    events.of_container(store.root, text, "destroy")


def settle(store: Store, container: str, status: str, error: str = "", code: int | None = None) -> None:
    """Say that nobody looks after a container any more, and what it is: created, or exited as before."""
    with store.changing(container, durable=True) as text:
        text["Cgscope"]["Monitor"] = None
        text["State"].update(Status=status, Running=False, Restarting=False, Pid=0, Error=error)
        if code is not None:
            text["State"]["ExitCode"] = code


def finish(store: Store, container: str, code: int, error: str = "", restart: int | None = None) -> None:
    """Take down a container whose program has ended, and record how; one with --rm is gone afterwards.

    With `restart`, the number of times it will have been restarted, its monitor stays to start it again.
    """
    try:
        text = store.load(container)
    except NoSuchContainer:  # removed by force meanwhile
        return
    out_of_memory = culling.oom_kills(document.places_of(text)) > 0  # while there is a counter
    is_down = False
    try:
        take_down(store, text)
        is_down = True
    except OSError as problem:  # a full disk: the next command sweeps up, the end is recorded now
        error = error or describe(problem)
    if out_of_memory:
        events.of_container(store.root, text, "oom")
    events.of_container(store.root, text, "die", exitCode=str(code), execDuration=str(int(age(text))))
    if text["HostConfig"]["AutoRemove"] and not text["Cgscope"].get("Kept"):
        (_forget if is_down else destroy)(store, text)
        return
    with suppress(NoSuchContainer), store.changing(container, durable=restart is None) as text:
        document.end(text["State"], code, time.time(), error, out_of_memory=out_of_memory)
        text["NetworkSettings"] = disconnected(text["NetworkSettings"])
        if restart is None:
            text["Cgscope"]["Monitor"] = None
        else:
            text["State"].update(Status="restarting", Running=True, Restarting=True)
            text["Cgscope"]["StartsAgain"] = False
            text["RestartCount"] = restart
