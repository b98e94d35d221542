"""`sandbox restart`: a container is stopped and started again; one with --rm outlasts the end that this is."""

from __future__ import annotations

import os

from sandbox import container, ending, events
from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.liveness import has_monitor
from sandbox.overlays import DIRTY, MARK
from sandbox.state import Document, Store

__all__ = ["restart"]


def restart(store: Store, name: str, seconds: int | None, number: int | None) -> None:
    """Stop a container as `stop` does, and start it in the background."""
    removed = store.find(name)["HostConfig"]["AutoRemove"]
    if removed:
        _keep(store, name)
    ending.stop(store, name, seconds, number)
    text = store.find(name)
    if removed:
        _make_mountable(text)
    try:
        container.start(store, name)
    except (SandboxError, OSError):
        if removed:
            ending.remove(store, text["Id"], force=True, volumes=True)
        raise
    events.of_container(store.root, text, "restart")


def _keep(store: Store, name: str) -> None:
    """Have a container's end, which is to come, not remove it."""
    with store.changing(store.find(name)["Id"]) as text:
        if has_monitor(text):
            text["Cgscope"]["Kept"] = True


def _make_mountable(text: Document) -> None:
    """Take away what keeps the layer of one with --rm from being mounted twice, and make what its start removed."""
    data = text["GraphDriver"]["Data"]
    mark = f"{data['WorkDir']}/{MARK}"
    with suppress(OSError):
        os.unlink(f"{mark}/{DIRTY}")
    with suppress(OSError):
        os.rmdir(mark)
    os.makedirs(data["MergedDir"], mode=0o700, exist_ok=True)
