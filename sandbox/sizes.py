"""What containers and volumes take on the disk, as Docker counts it: the sizes of files, each inode once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from sandbox.images.listing import human_size
from sandbox.images.store import Images
from sandbox.value import Value
from sandbox.volumes.store import Volumes, users_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.state import Document, Store

__all__ = ["Usage", "of_container", "shown", "tree_size", "usages"]

DIGITS = 4  # of `system df`


def tree_size(path: str) -> int:
    """Return the bytes of all files below a directory, directories themselves left out; what goes meanwhile is 0."""
    total, seen, waiting = 0, set(), [path]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1:
                        if (key := (found.st_dev, found.st_ino)) in seen:
                            continue
                        seen.add(key)
                    total += found.st_size
    return total


def of_container(store: Store, text: Document) -> tuple[int, int]:
    """Return the bytes that a container has written into its root filesystem, and those with its image's."""
    written = tree_size(text["GraphDriver"]["Data"]["UpperDir"])
    images = Images(store.root)
    return written, written + sum(images.layer(layer).size for layer in _layers_of(text))


def shown(written: int, whole: int) -> str:
    """Write both as `ps -s` does; a container of a directory has no image of a known size."""
    return human_size(written) + (f" (virtual {human_size(whole)})" if whole > written else "")


def _layers_of(text: Document) -> list[str]:
    """Return the layers of a container's image, none for one made of a directory."""
    image = text["Cgscope"]["Spec"].get("image") or {}
    return list(image.get("layers") or ())


class Usage(Value):
    """What all things of a kind take: how many there are, how many are used, bytes, and those of the unused ones."""

    kind: str
    count: int
    active: int
    size: int
    free: int

    def columns(self) -> dict[str, str]:
        """Return them by Docker's names."""
        share = f" ({self.free * 100 // self.size}%)" if self.size else ""
        return {
            "Type": self.kind,
            "TotalCount": str(self.count),
            "Active": str(self.active),
            "Size": human_size(self.size, DIGITS),
            "Reclaimable": f"{human_size(self.free, DIGITS)}{share}",
        }


def usages(store: Store, containers: Sequence[Document]) -> list[Usage]:
    """Return what images, containers and volumes take. A layer that images share is counted once."""
    images = Images(store.root)
    kept = images.all()
    used = {layer for text in containers for layer in _layers_of(text)}
    users = {(text["Cgscope"]["Spec"].get("image") or {}).get("id") for text in containers}
    layers = {layer: images.layer(layer).size for image in kept for layer in image.layers}
    written = {text["Id"]: tree_size(text["GraphDriver"]["Data"]["UpperDir"]) for text in containers}
    live = {text["Id"] for text in containers if text["State"]["Running"]}
    volumes = Volumes(store.root)
    holders = users_of(store)
    held = {name: tree_size(volumes.path(name)) for name in volumes.names()}
    return [
        Usage(
            "Images",
            len(kept),
            sum(f"sha256:{image.id}" in users for image in kept),
            sum(layers.values()),
            sum(size for layer, size in layers.items() if layer not in used),
        ),
        Usage(
            "Containers",
            len(written),
            len(live),
            sum(written.values()),
            sum(size for key, size in written.items() if key not in live),
        ),
        Usage(
            "Local Volumes",
            len(held),
            sum(name in holders for name in held),
            sum(held.values()),
            sum(size for name, size in held.items() if name not in holders),
        ),
    ]
