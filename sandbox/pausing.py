"""`sandbox pause` and `unpause`: all processes of a container stop, and go on (its cgroup's freezer)."""

from __future__ import annotations

from sandbox import events, freezer
from sandbox.errors import SandboxError
from sandbox.state import Store

__all__ = ["pause", "unpause"]


def pause(store: Store, name: str) -> None:
    """Stop all processes of a container; returns when they have stopped."""
    with store.changing(store.find(name)["Id"]) as text:
        state = text["State"]
        if state["Paused"]:
            raise SandboxError(f"container {name} is already paused", 1)
        if state["Status"] != "running":
            raise SandboxError(f"container {name} is not running", 1)
        freezer.freeze(state["Pid"], force=False, started=text["Cgscope"]["StartTime"])
        state.update(Paused=True, Status="paused")
    events.of_container(store.root, text, "pause")


def unpause(store: Store, name: str) -> None:
    """Let the processes of a paused container go on."""
    with store.changing(store.find(name)["Id"]) as text:
        state = text["State"]
        if not state["Paused"]:
            raise SandboxError(f"container {name} is not paused", 1)
        freezer.thaw(state["Pid"], force=False, started=text["Cgscope"]["StartTime"])
        state.update(Paused=False, Status="running")
    events.of_container(store.root, text, "unpause")
