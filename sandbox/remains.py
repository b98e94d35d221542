"""Takes away what interrupted launchers and removals left in a store: halves of containers, names and ids of nobody."""

from __future__ import annotations

import fcntl
import os

from sandbox.atomic import SPARE
from sandbox.commands.output import warn
from sandbox.contexts import suppress
from sandbox.removal import remove_tree
from sandbox.state import SHORT_ID, Store, hold, owner_of

__all__ = ["owned", "remove_remains"]


def remove_remains(store: Store) -> None:
    """Remove what is left of containers that are gone, or never were whole: call with the store's lock held."""
    for entry in os.listdir(f"{store.root}/containers"):
        directory = f"{store.root}/containers/{entry}"
        size = _size(f"{directory}/state.json")
        # One that was in the background has room for another record (Store.reserve), and a user's files: it stays.
        lost = size == 0 and not os.path.exists(f"{directory}/state.json{SPARE}")
        if entry.startswith(".") or size is None or lost:
            # Who is at its removal right now has it locked.
            held = hold(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if held is not None:
                remove_tree(directory)
                os.close(held)
                if lost and not entry.startswith("."):
                    why = f"the machine went down before container {entry[:SHORT_ID]} was on the disk: it is removed"
                    warn(why)
    owned(store, "names")
    owned(store, "userns")


def _size(path: str) -> int | None:
    """Return how long a document is; None where there is none.

    It gets its name only when it is written: without a byte it is what a machine that lost its power left of it.
    """
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def owned(store: Store, kind: str) -> list[str]:
    """Return what containers have of "names" or "userns"; of those that are gone it is taken: hold the lock."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir(f"{store.root}/{kind}"):
            path = f"{store.root}/{kind}/{name}"
            if os.path.isdir(store.directory(owner_of(path))):
                found.append(name)
            else:
                os.unlink(path)
    return found
