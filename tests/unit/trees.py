"""The directories of a union's layers, to be filled and walked."""

from __future__ import annotations

import os
from pathlib import Path

from inspector.changes import Changes
from inspector.layers import Layers
from tests.fakehost import FakeHost

UPPER, LOWER = "/store/c/diff", ("/store/top/diff", "/store/base/diff")
LAYERS = Layers("overlay", LOWER, UPPER, "/store/c/work", None, ("user.overlay.",))
PAST = 1_600_000_000


class Trees:
    """An upper directory and two lower layers on a machine in a directory."""

    def __init__(self, root: Path, layers: Layers = LAYERS) -> None:
        self.root = root
        self.layers = layers
        self.builder = FakeHost(root)
        for layer in (UPPER, *LOWER):
            os.makedirs(f"{root}{layer}")

    def put(self, layer: str, path: str, size: int = 10) -> str:
        """Write a file of some bytes, as old as every other."""
        full = f"{self.root}{layer}{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        Path(full).write_bytes(b"x" * size)
        os.utime(full, (PAST, PAST))
        return full

    def whiteout(self, layer: str, path: str) -> None:
        """Delete a name in a layer: since Linux 5.8 everybody may make this one device."""
        full = f"{self.root}{layer}{path}"
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.mknod(full, 0o020000, 0)

    def mark(self, layer: str, path: str, name: str, value: bytes) -> None:
        """Set one of overlayfs's attributes."""
        os.setxattr(f"{self.root}{layer}{path}", f"user.overlay.{name}", value)

    def walk(self) -> Changes:
        """Return the walk."""
        return Changes(self.builder.open(), self.layers)

    def found(self) -> set[tuple[str, str]]:
        """Return kind and path of all changes; there must be no problem and nothing twice."""
        walk = self.walk()
        found = [(change.kind, change.path) for change in walk]
        assert walk.problems == []
        assert len(found) == len(set(found))
        return set(found)
