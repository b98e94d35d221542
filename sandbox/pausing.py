"""`sandbox pause` and `unpause`: all processes of a container stop, and go on (its cgroup's freezer)."""

from __future__ import annotations

from sandbox import document, events, freezer
from sandbox.errors import SandboxError
from sandbox.liveness import is_running, is_stopped, not_running
from sandbox.state import Store

__all__ = ["pause", "unpause"]


def pause(store: Store, name: str) -> None:
    """Stop all processes of a container; returns when they have stopped."""
    with store.changing(store.find(name)["Id"]) as text:
        state = text["State"]
        if state["Paused"]:
            raise SandboxError(f"container {name} is already paused", 1)
        if state["Status"] != "running" or not is_running(text):
            raise not_running(text, name)
        # First: who dies between the two leaves one that `unpause` knows, and not one that stands still and is "Up".
        state.update(Paused=True, Status="paused")
        store.save(text)
        try:
            freezer.freeze_group(freezer.group_in(document.places_of(text)))
        except BaseException:
            state.update(Paused=False, Status="running")
            store.save(text)
            raise
    events.of_container(store.root, text, "pause")


def unpause(store: Store, name: str) -> None:
    """Let the processes of a paused container go on, and of one that somebody else has frozen."""
    with store.changing(store.find(name)["Id"]) as text:
        state = text["State"]
        if not (state["Paused"] or is_stopped(text)):
            raise SandboxError(f"container {name} is not paused", 1)
        freezer.thaw_group(freezer.group_in(document.places_of(text)))
        state.update(Paused=False, Status="running")
    events.of_container(store.root, text, "unpause")
