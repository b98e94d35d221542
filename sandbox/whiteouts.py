"""What a layer of an image deletes: whiteouts (`.wh.NAME`, `.wh..wh..opq`; image-spec layer.md) as overlayfs has them.

They hide what lower layers have, never what the same layer brings, in whatever order it brings it.
"""

from __future__ import annotations

import os
import stat

from sandbox.errors import SandboxError
from sandbox.inroot import host_path
from sandbox.tarstream import shown

__all__ = ["OPAQUE", "PREFIX", "delete", "hide", "named_by"]

PREFIX, OPAQUE, METADATA = ".wh.", ".wh..wh..opq", ".wh..wh."


def named_by(path: str) -> str | None:
    """Return the name that a member of a layer deletes from its directory, OPAQUE for all of them; None for no mark.

    "" is nothing: what AUFS keeps for itself.
    """
    folder, _, name = path.rpartition("/")
    if any(part.startswith(METADATA) for part in folder.split("/")):
        return ""
    if not name.startswith(PREFIX):
        return None
    if name.startswith(METADATA):
        return name if name == OPAQUE else ""
    hidden = name.removeprefix(PREFIX)
    if hidden in ("", ".", ".."):
        raise SandboxError(f"the archive's member {shown(path)} deletes nothing that has a name: refused")
    return hidden


def hide(parent: int, name: str, *, rootless: bool) -> None:
    """Apply a mark in the directory `parent`: `name` is what named_by() has returned."""
    if name == OPAQUE:
        _make_opaque(parent, rootless=rootless)
    else:
        delete(parent, name, rootless=rootless)


def delete(parent: int, name: str, *, rootless: bool) -> None:
    """Hide what lower layers have of that name, not what this one brought."""
    try:
        found = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        return
    if stat.S_ISDIR(found.st_mode):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            _make_opaque(fd, rootless=rootless)
        finally:
            os.close(fd)


def _make_opaque(fd: int, *, rootless: bool) -> None:
    os.setxattr(host_path(fd), f"{'user' if rootless else 'trusted'}.overlay.opaque", b"y")
