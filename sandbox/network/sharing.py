"""`--net container:ID`: one more container in a network that another has."""

from __future__ import annotations

from sandbox import syscalls
from sandbox.errors import NoSuchContainer, SandboxError
from sandbox.liveness import open_running
from sandbox.sharing import Joined
from sandbox.state import SHORT_ID, Document, Store

__all__ = ["find_owner", "open_shared"]


def find_owner(store: Store, name: str) -> Document:
    """Return the container whose network is meant; one that has joined another's stands for that one."""
    try:
        text = store.find(name)
    except NoSuchContainer:
        raise SandboxError(f"No such container: {name}") from None
    mode = str(text["HostConfig"]["NetworkMode"])
    return find_owner(store, mode.partition(":")[2]) if mode.startswith("container:") else text


def open_shared(store: Store, container: str, *, rootless: bool) -> Joined:
    """Hold a container that runs, to enter its network; without root the user namespace that owns it too."""
    text = find_owner(store, container)
    pidfd = open_running(text) if text["State"]["Running"] else None
    if pidfd is None:
        raise SandboxError(f"cannot join network of a non running container: {container[:SHORT_ID]}")
    return Joined(pidfd, syscalls.CLONE_NEWNET | (syscalls.CLONE_NEWUSER if rootless else 0))
