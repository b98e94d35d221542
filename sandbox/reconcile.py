"""Cleans up after launchers and monitors that were killed, and after a reboot.

A document says who makes, starts or watches its container (Cgscope.Monitor).
Where that process is dead, the container is what it was when its program had
never run: gone when it was being made, created or exited when it was being
started; and what ran has ended, as the kernel kills it with its monitor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from sandbox import culling, document
from sandbox.commands.output import warn
from sandbox.errors import NoSuchContainer, SandboxError, describe
from sandbox.images import NEW
from sandbox.liveness import boot_id, has_monitor
from sandbox.network import connection
from sandbox.network.document import disconnected
from sandbox.remains import remove_remains
from sandbox.state import Document, Store
from sandbox.teardown import destroy, take_down

__all__ = ["reconcile"]

KILLED = 137
REBOOTED = 255


def reconcile(store: Store) -> list[Document]:
    """Clean up, and return the documents of the containers that there are, the newest first."""
    _sweep_images(store)
    if not store.exists():
        return []
    try:
        with store.lock():
            remove_remains(store)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        # Who looks at what is on a disk that has failed can do without.
        return [_as_ended(text) for text in store.all()]
    found = store.all(lambda error: warn(describe(error)))
    orphans = [text for text in found if _is_orphan(text)]
    for text in orphans:
        try:
            _clean_up(store, text["Id"])
        except NoSuchContainer:  # another command was faster
            continue
        except (SandboxError, OSError) as error:
            warn(f"cannot clean up {text['Name']}: {describe(error)}")
    connection.sweep(store)
    return store.all() if orphans else found


def _sweep_images(store: Store) -> None:
    """Remove what loads of images that were killed have left."""
    with contextlib.suppress(FileNotFoundError):
        if any(name.startswith(NEW) for name in os.listdir(f"{store.root}/images")):
            from sandbox.images.store import Images  # noqa: PLC0415  rare
            from sandbox.images.usage import layers_in_use  # noqa: PLC0415

            Images(store.root).clean(lambda: layers_in_use(store))


def _is_orphan(text: Document) -> bool:
    """Tell whether somebody looked after a container and was killed."""
    return text["Cgscope"]["Monitor"] is not None and not has_monitor(text)


def _as_ended(text: Document) -> Document:
    """Return a document that cannot be written any more as one that has ended, where nobody looks after it."""
    if _is_orphan(text) and text["State"]["Running"]:
        document.end(text["State"], KILLED, time.time(), "its end could not be recorded")
    return text


def _clean_up(store: Store, container: str) -> None:
    """Take down a container whose monitor is dead."""
    with store.locked(container) as text:
        if not _is_orphan(text):  # its monitor may have ended well since it was listed
            return
        status = text["State"]["Status"]
        doomed = status == "creating" or (text["HostConfig"]["AutoRemove"] and status not in ("created", "exited"))
        out_of_memory = culling.oom_kills(document.places_of(text)) > 0
        take_down(store, text)
        text["Cgscope"]["Monitor"] = None
        text["NetworkSettings"] = disconnected(text["NetworkSettings"])
        if status in ("created", "exited"):
            text["State"].update(Pid=0, Error="its start was interrupted")
        elif text["Cgscope"]["BootId"] != boot_id():
            document.end(text["State"], REBOOTED, time.time(), "the machine was restarted")
        else:
            why = "the monitor of this container was killed"
            document.end(text["State"], KILLED, time.time(), why, out_of_memory=out_of_memory)
        store.save(text)
    if doomed:
        destroy(store, text, volumes=True)
