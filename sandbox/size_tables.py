"""The tables of `system df -v`: what each image, container and volume takes (docker/cli formatter/disk_usage.go)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from sandbox import ps, sizes
from sandbox.document import table
from sandbox.images import listing
from sandbox.images.listing import human_size
from sandbox.images.store import Images
from sandbox.volumes.store import Volumes, users_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.state import Document, Store

__all__ = ["tables"]


def tables(store: Store, containers: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Yield each table, with what stands above it."""
    yield "Images space usage:", _images(store, containers)
    template = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"

    def size(text: Document) -> str:
        return human_size(sizes.of_container(store, text)[0])

    yield "Containers space usage:", ps.listing(containers, template, time.time(), whole=False, size=size)
    kept, users = Volumes(store.root), users_of(store)
    taken = {name: human_size(sizes.tree_size(kept.path(name))) for name in kept.names()}
    rows = [(name, str(len(users.get(name, ()))), size) for name, size in taken.items()]
    yield "Local Volumes space usage:", table([("VOLUME NAME", "LINKS", "SIZE"), *rows])


def _images(store: Store, containers: Sequence[Document]) -> str:
    """Return the table of images: a layer that several have is shared."""
    images = Images(store.root)
    kept = images.all()
    users = Counter((text["Cgscope"]["Spec"].get("image") or {}).get("id") for text in containers)
    having = Counter(layer for image in kept for layer in set(image.layers))
    rows = [("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS")]
    for image in kept:
        weights = {layer: images.layer(layer).size for layer in image.layers}
        whole, shared = sum(weights.values()), sum(size for layer, size in weights.items() if having[layer] > 1)
        for row in listing.image_rows([image], {image.id: whole}, time.time(), whole=False):
            names = [row[name] for name in ("Repository", "Tag", "ID", "CreatedSince")]
            counts = [*map(human_size, (whole, shared, whole - shared)), str(users[f"sha256:{image.id}"])]
            rows.append((*names, *counts))  # type: ignore[arg-type]  # eight of them
    return table(rows)
