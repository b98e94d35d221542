"""Archives of images, made in memory: layers from a few members, and the two forms that hold them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Made = tuple[tarfile.TarInfo, bytes]


def sha256(data: bytes) -> str:
    """Return the digits of a digest."""
    return hashlib.sha256(data).hexdigest()


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: Any) -> Made:  # noqa: ANN401
    """Return one member: a file, or with `kind` and `linkname` something else."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(data)
    member.mode = fields.pop("mode", 0o755 if kind == tarfile.DIRTYPE else 0o644)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, data


def folder(name: str, **fields: Any) -> Made:  # noqa: ANN401
    """Return a directory's member."""
    return entry(name, kind=tarfile.DIRTYPE, **fields)


def link(name: str, target: str, **fields: Any) -> Made:  # noqa: ANN401
    """Return a symbolic link's member."""
    return entry(name, kind=tarfile.SYMTYPE, linkname=target, **fields)


def hard_link(name: str, target: str) -> Made:
    """Return a hard link's member."""
    return entry(name, kind=tarfile.LNKTYPE, linkname=target)


def tar(members: Iterable[Made]) -> bytes:
    """Return a pax archive of members, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def config_of(layers: Sequence[bytes], config: Mapping[str, Any] | None = None) -> bytes:
    """Return the configuration of an image with these layers."""
    return json.dumps(
        {
            "created": "2026-01-02T03:04:05Z",
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}" for layer in layers]},
            "history": [{"created": "2026-01-02T03:04:05Z", "created_by": f"step {i}"} for i in range(len(layers))],
        }
    ).encode()


def docker_archive(
    layers: Sequence[bytes], names: Sequence[str] = ("made:1",), config: Mapping[str, Any] | None = None
) -> bytes:
    """Return what `docker save` writes (before version 25)."""
    data = config_of(layers, config)
    paths = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": f"{sha256(data)}.json", "RepoTags": list(names), "Layers": paths}]
    members = [entry(path, layer) for path, layer in zip(paths, layers, strict=True)]
    members += [entry(f"{sha256(data)}.json", data), entry("manifest.json", json.dumps(manifest).encode())]
    return tar(members)


def oci_archive(
    layers: Sequence[bytes],
    name: str = "made:2",
    config: Mapping[str, Any] | None = None,
    pack: Callable[[bytes], bytes] = lambda layer: gzip.compress(layer, mtime=0),
) -> bytes:
    """Return an OCI image layout whose layers are compressed, behind an index of two platforms."""
    data = config_of(layers, config)
    blobs = [pack(layer) for layer in layers]
    manifest = json.dumps({"config": _descriptor(data), "layers": [_descriptor(blob) for blob in blobs]}).encode()
    other = json.dumps({"config": {"digest": "sha256:" + "0" * 64}, "layers": []}).encode()
    index = json.dumps(
        {
            "manifests": [
                {**_descriptor(other), "platform": {"os": "linux", "architecture": "none"}},
                {**_descriptor(manifest), "platform": {"os": "linux", "architecture": "amd64"}},
            ]
        }
    ).encode()
    kind = "application/vnd.oci.image.index.v1+json"
    top = {"manifests": [{**_descriptor(index), "mediaType": kind, "annotations": {"io.containerd.image.name": name}}]}
    files = [data, *blobs, manifest, other, index]
    return tar([*(entry(f"blobs/sha256/{sha256(file)}", file) for file in files),
                entry("index.json", json.dumps(top).encode())])  # fmt: skip


def _descriptor(data: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{sha256(data)}", "size": len(data)}
