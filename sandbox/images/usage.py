"""Which images containers were made of: those, and their layers, are not removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sandbox import events
from sandbox.errors import SandboxError
from sandbox.images.listing import human_size
from sandbox.images.reference import normalise
from sandbox.images.store import Image, Images
from sandbox.state import Document, Store

__all__ = ["layers_in_use", "open_images", "prune_images", "remove_image", "tell"]


def open_images(store: Store) -> Images:
    """Return the images of a store, without what commands that were killed have left."""
    found = Images(store.root)
    found.clean(lambda: layers_in_use(store))
    return found


def layers_in_use(store: Store) -> set[str]:
    """Return the digests of the layers that containers have as their lower directories."""
    return {layer for text in store.all() for layer in _image_of(text).get("layers", ())}


def _image_of(text: Document) -> Document:
    """Return what a container's spec says of its image; {} for one made of a directory."""
    return text["Cgscope"]["Spec"].get("image") or {}


def _users(store: Store, image: Image) -> list[Document]:
    return [text for text in store.all() if _image_of(text).get("id") == f"sha256:{image.id}"]


def remove_image(images: Images, store: Store, reference: str, *, force: bool) -> Iterator[str]:
    """Take a name from an image, or with its last name or by its id the image itself; yield what was done.

    Docker's rules: what a running container has stays, what a stopped one has goes with `force`, though its
    layers stay as long as the container; an id of an image with several names needs `force`.
    """
    image = images.find(reference)
    try:
        name = normalise(reference)
    except SandboxError:
        name = ""
    if name in image.names and len(image.names) > 1:
        images.untag(name)
        yield _untagged(store, image, name)
        return
    by_id = name not in image.names
    if by_id and len(image.names) > 1 and not force:
        raise SandboxError(f"conflict: unable to delete {image.id[:12]} (must be forced): it has several names", 1)
    for text in _users(store, image):
        running = text["State"]["Running"]
        if running and (by_id or not force):
            how = "cannot be forced" if by_id else "must force"
            raise SandboxError(f"conflict: unable to remove {reference!r} ({how}): container {text['Id'][:12]} runs", 1)
        if not force:
            raise SandboxError(
                f"conflict: unable to remove {reference!r} (must force): container {text['Id'][:12]} is made of it", 1
            )
        if running:  # its image stays, without a name
            images.untag(name)
            yield _untagged(store, image, name)
            return
    images.remove(image.id, lambda: layers_in_use(store))
    yield from _gone(store, image)


def _untagged(store: Store, image: Image, name: str) -> str:
    tell(store, "untag", f"sha256:{image.id}", name)
    return f"Untagged: {name}"


def _gone(store: Store, image: Image) -> Iterator[str]:
    lines = [_untagged(store, image, name) for name in image.names]  # all, also where nobody hears the first
    tell(store, "delete", f"sha256:{image.id}")
    yield from (*lines, f"Deleted: sha256:{image.id}")


def tell(store: Store, action: str, identity: str, name: str = "") -> None:
    """Record what was done with an image."""
    events.append(store.root, "image", action, identity, {"name": name or identity})


def prune_images(
    images: Images, store: Store, meant: Callable[[Image], bool] = lambda _: True, *, named: bool = False
) -> Iterator[str]:
    """Remove, of the images that are meant, those with neither a name nor a container, with `named` with a name too.

    Yields what was done, and what it freed.
    """
    freed = 0
    for image in images.all():
        if (image.names and not named) or not meant(image) or _users(store, image):
            continue
        sizes = {layer: images.layer(layer).size for layer in image.layers}
        images.remove(image.id, lambda: layers_in_use(store))
        freed += sum(size for layer, size in sizes.items() if not images.has_layer(layer))
        yield from _gone(store, image)
    yield f"Total reclaimed space: {human_size(freed)}"
