"""How the layers of a union say what they hide of those below.

- overlayfs (Documentation/filesystems/overlayfs.rst): a character device 0:0
  is a whiteout, its name is not there; in a directory marked opaque="x" an
  empty file with the attribute "whiteout" is one too. A directory marked
  opaque="y" hides all that the layers below hold under its name.
- aufs (aufs(5), "Whiteout" and "Opaque directory"): .wh.NAME says that NAME is
  not there, .wh..wh..opq in a directory that it hides what is below; other
  names with .wh..wh. are aufs's own business. The OCI image format has the same.
- fuse-overlayfs (main.c, get_whiteout_name and is_directory_opaque): all of
  these, with attributes that an ordinary user may set.
"""

from __future__ import annotations

import stat

from inspector.kernel.host import Directory, Entry, Host
from inspector.layers import Layers

__all__ = ["Marks", "attribute"]

PREFIX = ".wh."
OPAQUE = ".wh..wh..opq"


class Marks:
    """Reads the marks of one union. A place is a directory that is open, with a name in it, or the host with a path."""

    def __init__(self, layers: Layers) -> None:
        self._attributes = layers.attributes
        self._named = layers.kind != "overlay"

    def deletes(self, name: str) -> str | None:
        """Return what an entry of this name deletes by its name; "" for another mark, None where it is a plain one."""
        if not self._named or not name.startswith(PREFIX):
            return None
        rest = name.removeprefix(PREFIX)
        return "" if rest.startswith(PREFIX) else rest

    def deleted(self, place: Directory | Host, name: str, directory: str = ".") -> bool:
        """Tell whether a name of a directory is deleted by another entry in it."""
        return self._named and _exists(place, f"{directory}/{PREFIX}{name}")

    def opaque(self, place: Directory | Host, path: str = ".") -> bytes:
        """Return b"y" for a directory that hides what is below, b"x" for one with whiteouts by attribute."""
        return self.attribute(place, "opaque", path) or (
            b"y" if self._named and _exists(place, f"{path}/{OPAQUE}") else b""
        )

    def attribute(self, place: Directory | Host, name: str, path: str = ".") -> bytes:
        """Return one of the union's attributes, empty where there is none or it may not be read."""
        found = (attribute(place, prefix + name, path) for prefix in self._attributes)
        return next(filter(None, found), b"")

    def is_whiteout(self, entry: Entry, mark: bytes, place: Directory | Host, path: str) -> bool:
        """Tell whether an entry only says that its name is deleted; `mark` is its directory's."""
        if stat.S_ISCHR(entry.mode):
            return entry.rdev == 0 and bool(self._attributes)
        if mark != b"x" or entry.size or not stat.S_ISREG(entry.mode):
            return False
        # Its value is empty: what counts is that it is there.
        return any(attribute(place, f"{prefix}whiteout", path) is not None for prefix in self._attributes)


def attribute(place: Directory | Host, key: str, path: str) -> bytes | None:
    """Return an extended attribute, None where there is none or it may not be read."""
    try:
        return place.attribute(key, path) if isinstance(place, Directory) else place.attribute(path, key)
    except OSError:
        return None


def _exists(place: Directory | Host, path: str) -> bool:
    try:
        return (place.entry(path) if isinstance(place, Directory) else place.lstat(path)) is not None
    except OSError:
        return False
