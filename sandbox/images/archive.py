"""What an archive of images holds: that of `docker save`, old and new, and an OCI image layout; read, not unpacked.

Both name a configuration and its layers. manifest.json is Docker's, and is
taken where it is; index.json leads to the same through manifests by digest.
(moby image/tarexport; image-spec image-layout.md)
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import tarfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple, cast

from sandbox.errors import SandboxError
from sandbox.images.layers import verify
from sandbox.images.origin import defaults
from sandbox.images.reference import digest_of, normalise
from sandbox.images.store import diff_ids
from sandbox.tarstream import open_archive, place, shown

__all__ = ["Archive", "Found", "architecture"]

LARGEST_TEXT = 8 << 20
MOST_MEMBERS = 100_000
MOST_LINKS = 8
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class Found(NamedTuple):
    """One image of an archive: its configuration, its names, and where its layers are, the lowest first."""

    config: bytes
    names: tuple[str, ...]
    layers: tuple[str, ...]


def architecture() -> str:
    """Return what images call this machine."""
    return MACHINES.get(os.uname().machine, os.uname().machine)


class Archive:
    """An archive whose members are read by name; of several with one name the last counts."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = open_archive(file)
        self._members: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(self._tar):
            if number >= MOST_MEMBERS:
                raise SandboxError(f"more than {MOST_MEMBERS} members: this is no archive of images")
            member.pax_headers = {}  # each has a copy of all that the archive says of its members
            self._members[place(member.name)] = member

    def open(self, path: object) -> IO[bytes]:
        """Open a member's data; links within the archive are followed, as old archives share layers by them."""
        if not isinstance(path, str):
            raise SandboxError(f"{path!r} is not the path of a member")
        name = place(path)
        for _ in range(MOST_LINKS):
            if name not in self._members:
                raise SandboxError(f"{shown(name)} is missing in the archive")
            member = self._members[name]
            if member.issym():
                name = place(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                name = place(member.linkname)
            elif member.isreg():
                return cast("IO[bytes]", self._tar.extractfile(member))
            else:
                break
        raise SandboxError(f"{shown(name)} is not a file in the archive")

    def _read(self, path: object) -> bytes:
        with self.open(path) as file:
            data = file.read(LARGEST_TEXT + 1)
        if len(data) > LARGEST_TEXT:
            raise SandboxError(f"{path!r} is too large")
        verify(str(path), f"sha256:{hashlib.sha256(data).hexdigest()}")
        return data

    def _json(self, path: str) -> Any:  # noqa: ANN401  its shape is checked where it is used
        try:
            return json.loads(self._read(path))
        except (ValueError, RecursionError) as error:
            raise SandboxError(f"{shown(path)}: {error}") from None

    def images(self) -> Iterator[Found]:
        """Yield the images of the archive."""
        if "manifest.json" in self._members:
            entries = self._json("manifest.json")
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise SandboxError("manifest.json is not a list of images")
            for entry in entries:
                yield self._found(entry.get("Config"), entry.get("Layers") or [], entry.get("RepoTags") or [])
        elif "index.json" in self._members:
            for descriptor in _descriptors(self._json("index.json"), "manifests"):
                manifest = self._manifest(descriptor)
                layers = [_blob(each) for each in _descriptors(manifest, "layers")]
                yield self._found(_blob(manifest.get("config")), layers, _names(descriptor))
        else:
            raise SandboxError("no manifest.json and no index.json: this is no archive of images")

    def _manifest(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """Follow a descriptor to the manifest of one image, through an index to the one for this machine."""
        for _ in range(MOST_LINKS):
            found = self._json(_blob(descriptor))
            if not isinstance(found, dict):
                break
            if descriptor.get("mediaType") not in INDEXES and "manifests" not in found:
                return found
            choices = _descriptors(found, "manifests")
            fitting = [each for each in choices if _platform(each) == ("linux", architecture())] or choices
            if not fitting:
                break
            descriptor = fitting[0]
        raise SandboxError("index.json leads to no image")

    def _found(self, config: object, layers: object, names: object) -> Found:
        data = self._read(config)
        try:
            found = json.loads(data)
            count = len(diff_ids(found))
            defaults(found.get("config"))
        except (ValueError, RecursionError) as error:
            raise SandboxError(f"{config!r}: {error}") from None
        if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers) or len(layers) != count:
            raise SandboxError(f"{config!r} names {count} layers, and the archive has not as many for it")
        if not isinstance(names, list):
            raise SandboxError("the names of an image are not a list")
        return Found(data, tuple(normalise(str(name)) for name in names), tuple(layers))


def _descriptors(found: object, key: str) -> list[dict[str, Any]]:
    listed = found.get(key) if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise SandboxError(f"a manifest has no list of {key}")
    return listed


def _blob(descriptor: object) -> str:
    return f"blobs/sha256/{digest_of(descriptor.get('digest') if isinstance(descriptor, dict) else None)}"


def _platform(descriptor: dict[str, Any]) -> tuple[object, object]:
    platform = descriptor.get("platform")
    return (platform.get("os"), platform.get("architecture")) if isinstance(platform, dict) else (None, None)


def _names(descriptor: dict[str, Any]) -> list[str]:
    """Return the name that an OCI layout gives an image; what is a tag alone names nothing."""
    annotations = descriptor.get("annotations")
    found = [annotations.get(key) for key in NAMES] if isinstance(annotations, dict) else []
    return [name for name in found if isinstance(name, str) and (":" in name or "/" in name)][:1]
