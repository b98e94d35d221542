"""Whose claim it is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from inspector.layers import Claim, Layers, Role

__all__ = ["Who"]


class Who(NamedTuple):
    """A container, as its claims name it."""

    id: str
    name: str
    runtime: str | None
    running: bool = False

    def claim(self, role: Role, path: str, inside: str | None = None, layer: int | None = None) -> Claim:
        """Make a claim of its."""
        return Claim(self.id, self.name, self.runtime, self.running, role, path, inside, layer)

    def layers(self, layers: Layers, *, store: bool) -> Iterator[Claim]:
        """Claim all layers; with `store` also the directory around the upper one, which is the container's alone."""
        places: tuple[tuple[Role, str | None], ...] = (("upper", layers.upper), ("merged", layers.merged))
        yield from (self.claim(role, path, "/") for role, path in places if path)
        if layers.work:
            yield self.claim("work", layers.work)
        for number, path in enumerate(layers.lower, 1):
            if path != "/":  # the machine's own root as an image is no layer of one container
                yield self.claim("lower", path, "/", number)
        around = posixpath.dirname(layers.upper or "")
        if store and around not in ("", "/") and around == posixpath.dirname(layers.work or ""):
            yield self.claim("state", around)

    def mount(self, source: str, destination: str, *, volume: bool = False) -> Iterator[Claim]:
        """Claim where a mount of its comes from; nothing when that is no place of the host."""
        if source.startswith("/"):
            role: Role = "volume" if volume else "mounted-from"
            yield self.claim(role, posixpath.normpath(source), destination or None)
