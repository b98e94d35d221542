"""Writes images as an archive that `docker load` takes, and we do.

The layers are packed anew from their directories, in a fixed order: the files are the same, the archives are not those
that once were loaded. So an image that is saved has other digests, and another id, than the one it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from sandbox.images.store import Image, Images
from sandbox.inroot import root_directory
from sandbox.pack import pack_layer

__all__ = ["save"]

CHUNK = 1 << 20
BLOCK = 512


def save(images: Images, wanted: Sequence[tuple[Image, Sequence[str]]]) -> Iterator[bytes]:
    """Yield the archive of images, each with the names that it shall have in it."""
    manifest = []
    with images.session() as session:
        written: dict[str, str] = {}
        for image, names in wanted:
            for layer in image.layers:
                if layer not in written:
                    written[layer] = _pack(images, layer, f"{session}/{layer}.tar")
                    yield from _file(f"{written[layer]}/layer.tar", f"{session}/{layer}.tar")
                    os.unlink(f"{session}/{layer}.tar")
            digests = [written[layer] for layer in image.layers]
            config: dict[str, Any] = {**image.config}
            config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}
            data = json.dumps(config).encode()
            name = f"{hashlib.sha256(data).hexdigest()}.json"
            yield from _bytes(name, data)
            layers = [f"{digest}/layer.tar" for digest in digests]
            manifest.append({"Config": name, "RepoTags": list(names) or None, "Layers": layers})
        yield from _bytes("manifest.json", json.dumps(manifest).encode())
    yield bytes(2 * BLOCK)


def _pack(images: Images, layer: str, path: str) -> str:
    """Write a layer's archive to a file, and return its digest: that stands before it in the archive of images."""
    digest = hashlib.sha256()
    with open(path, "wb") as file, root_directory(images.layer_path(layer)) as root:
        for piece in pack_layer(root, root=images.layer(layer).root):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def _bytes(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data))
    yield data + bytes(-len(data) % BLOCK)


def _file(name: str, path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        yield _header(name, size)
        while data := file.read(CHUNK):
            yield data
    yield bytes(-size % BLOCK)
