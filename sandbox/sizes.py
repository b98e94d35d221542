"""What containers and volumes take on the disk, as Docker counts it: the sizes of files, each inode once."""

from __future__ import annotations

import contextlib
import os

from sandbox.images.listing import human_size
from sandbox.images.store import Images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.state import Document, Store

__all__ = ["layer_sizes", "of_container", "shown", "tree_size"]


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


def layer_sizes(store: Store, layers: list[str]) -> int:
    """Return what an image's layers hold, as it was counted when they were unpacked."""
    images = Images(store.root)
    return sum(images.layer(layer).size for layer in layers)


def of_container(store: Store, text: Document) -> tuple[int, int]:
    """Return the bytes that a container has written into its root filesystem, and those with its image's."""
    written = tree_size(text["GraphDriver"]["Data"]["UpperDir"])
    image = text["Cgscope"]["Spec"].get("image") or {}
    return written, written + layer_sizes(store, image.get("layers") or [])


def shown(written: int, whole: int) -> str:
    """Write both as `ps -s` does; a container of a directory has no image of a known size."""
    return human_size(written) + (f" (virtual {human_size(whole)})" if whole > written else "")
