"""A container's files, seen from here: as its processes see them, or mounted for us where it has none.

What is mounted for us is so in a mount namespace of this process, for its
lifetime: on the host nothing is mounted, and nothing is left. The host's files stay in
sight beside it. Paths are resolved in the descriptor that is given, by in_root_open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from inspector.kernel.host import Host
from sandbox import mounting, namespaces, syscalls
from sandbox.changes import Change, changes
from sandbox.codec import decode
from sandbox.errors import SandboxError
from sandbox.liveness import has_monitor, is_running
from sandbox.prepare import root_of
from sandbox.rootfs import Bind, Step
from sandbox.spec import Spec
from sandbox.state import Document, Store
from sandbox.volumes.wanted import Volume

__all__ = ["changes_of", "container_root"]

PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.01


@contextlib.contextmanager
def container_root(store: Store, name: str, *, volumes: bool = True) -> Iterator[tuple[int, int]]:
    """Open a container's root, with its `volumes`, and the user namespace that its files are seen in; -1 for our own.

    One that runs has mounted all that it has; one that is being started is waited for.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        text = store.find(name)
        if text["State"]["Running"]:
            opened = _root_of_process(text)
            if opened is not None:
                try:
                    yield opened
                finally:
                    _close(opened)
                return
            from sandbox.reconcile import reconcile  # noqa: PLC0415  rare

            reconcile(store)  # its monitor was killed, or the machine restarted, since somebody last looked
            text = store.find(name)
        with store.locked(text["Id"]) as now:  # nobody starts it meanwhile: a layer is not mounted twice
            if _is_at_rest(now):
                target = _mount(store, now, volumes=volumes)
                fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    yield fd, -1
                finally:
                    os.close(fd)
                return
        if time.monotonic() > deadline:
            raise _busy(name)
        time.sleep(POLL_SECONDS)


def _is_at_rest(text: Document) -> bool:
    """Tell whether nobody has a container's layer mounted, or mounts it under our lock: also between two runs."""
    if has_monitor(text):
        return text["State"]["Status"] == "restarting" and not text["Cgscope"].get("StartsAgain")
    return not text["State"]["Running"]


def _busy(name: str) -> SandboxError:
    return SandboxError(f"container {name} is being started or removed: try again", 1)


def _root_of_process(text: Document) -> tuple[int, int] | None:
    """Open the root directory and the users of a container's first process; None when that is gone."""
    pid = text["State"]["Pid"]
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    users = -1
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        users = namespaces.open_user_namespace(pid) if text["HostConfig"].get("IDMappings") else -1
        if is_running(text):  # what was opened is what is checked
            return fd, users
    _close((fd, users))
    return None


def _close(opened: tuple[int, int]) -> None:
    for fd in opened:
        if fd >= 0:
            os.close(fd)


def _be_alone() -> None:
    """Move into namespaces in which this process may mount, and reach what belongs to the container's users."""
    if os.geteuid() != 0:
        namespaces.enter_user_namespace()
    syscalls.unshare(syscalls.CLONE_NEWNS)


def _bound(volume: Volume) -> Bind:
    return Bind(volume.source, volume.target, volume.read_only, subpath=volume.subpath, may_go=True)


def _mount(store: Store, text: Document, *, volumes: bool) -> str:
    spec = decode(Spec, text["Cgscope"]["Spec"])
    rootless = os.geteuid() != 0
    layout, root, _, pieces = root_of(spec, store, text["Id"], Host(), rootless=rootless)
    wanted = sorted(spec.volumes if volumes else (), key=lambda volume: volume.target.count("/"))
    steps: list[Step] = [*pieces, *map(_bound, wanted)]
    _be_alone()
    try:
        mounting.apply(root, steps)
    except OSError as error:
        # The layer of one with --rm is mounted once, before it is said to run (overlayfs's `volatile`).
        if error.errno == errno.EINVAL and text["HostConfig"]["AutoRemove"]:
            raise _busy(text["Name"]) from None
        raise
    return layout.merged


def changes_of(store: Store, name: str) -> list[Change]:
    """Return what a container changed of its root filesystem."""
    text = store.find(name)
    spec = decode(Spec, text["Cgscope"]["Spec"])
    rootless = os.geteuid() != 0
    layout, root, layers, _ = root_of(spec, store, text["Id"], Host(), rootless=rootless)
    if rootless:
        namespaces.enter_user_namespace()
    made_for_mounts = root.skeleton.path if root.skeleton else ""
    found = []
    for layer in layers:
        # A root in pieces: each is an overlay on a directory of its own.
        inside = layer.like.removeprefix(layout.lowers[-1].rstrip("/")) if len(layers) > 1 else ""
        if not os.path.isdir(layer.upper):  # a piece that is new since the container's last start
            continue
        lowers = [path for path in layer.lowers if path != made_for_mounts]
        found += [change._replace(path=f"{inside}{change.path}") for change in changes(layer.upper, lowers)]
    return found
