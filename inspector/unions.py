"""The layers of a process's root filesystem: which directories they are, and where they are found from here.

The mount says it of overlay, sysfs of aufs, and the container's store of fuse-overlayfs.
"""

from __future__ import annotations

from collections.abc import Iterable

from inspector.claims import fuse_layers
from inspector.kernel.aufs import read_branches
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, read_mountinfo, root_identity, root_mount
from inspector.layers import Layers, layers_of
from inspector.model import Container, Leader

__all__ = ["UNPLACED", "layers_at", "read_layers", "view_of"]

UNPLACED = "its layers are named from where they were mounted: where that is cannot be told"


def read_layers(host: Host, pid: int | str, view: str = "", container: Container | None = None) -> Layers | None:
    """Read the layers of a process's root filesystem; None where it is no union of layers."""
    root = root_mount(read_mountinfo(host, pid))
    return layers_at(host, root, read_mountinfo(host, "self"), view, container) if root else None


def layers_at(
    host: Host, root: Mount, host_mounts: tuple[Mount, ...], view: str = "", container: Container | None = None
) -> Layers | None:
    """Return the layers of a root mount; `view` is the directory at which the mounter's own "/" is found.

    The mount of fuse-overlayfs names no layers: the store of the `container` does.
    """

    def readlink(path: str) -> str | None:
        try:
            return host.readlink(view + path)
        except OSError:
            return None

    layers = layers_of(root, host_mounts, read_branches(host, root) if root.fstype == "aufs" else (), readlink)
    return fuse_layers(host, root, container) if layers is None and container else layers


def view_of(container: Container, containers: Iterable[Container]) -> str:
    """Return where the "/" of whoever mounted a container's layers is found: in the container around it, if any.

    A container that has kept the root of the one around it (`unshare` in a container) has the layers of that one.
    """
    ones = {one.id: one for one in containers}
    around = ones.get(container.parent or "")
    while around and around.leader and container.leader and _same_root(container.leader, around.leader):
        container, around = around, ones.get(around.parent or "")
    return f"/proc/{around.leader.process.pid}/root" if around and around.leader else ""


def _same_root(one: Leader, other: Leader) -> bool:
    return one.root is not None and root_identity(one.root) == root_identity(other.root)
