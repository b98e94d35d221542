"""containerd: one database says which containers there are, that of its overlay snapshotter where their layers lie.

- <root>/io.containerd.metadata.v1.bolt/meta.db (core/metadata/buckets.go):
  v1/<namespace>/containers/<id>/{snapshotKey,snapshotter,spec,labels} and
  v1/<namespace>/snapshots/<snapshotter>/<key>/name
- <root>/io.containerd.snapshotter.v1.overlayfs/metadata.db (core/snapshots/storage/bolt.go):
  v1/snapshots/<name>/{id,parent}; the files of a snapshot are in snapshots/<id>/{fs,work}

Docker on containerd's store takes a stopped container out of the first again, but not its snapshot, whose key is the
container's id (moby: daemon/containerd/image_snapshot.go).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from inspector.claims.files import items, record, short_name, word
from inspector.claims.who import Who
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.layers import Claim, Layers
from inspector.stores.bolt import META_BYTES, Database, Entries, answer, torn

__all__ = ["containerd"]

METADATA = "io.containerd.metadata.v1.bolt/meta.db"
SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"
FILES = (METADATA, f"{SNAPSHOTTER}/metadata.db")
TRIES = 3  # containerd goes on writing
MOST_BYTES = 64 << 20
MOST_PAGES = 5_000
MOST_LAYERS = 500
NAMES = (b"io.kubernetes.container.name", b"nerdctl/name")
# Docker keeps its containers in a namespace of its own, and their names elsewhere: where it runs a containerd of its
# own, that is at MANAGED below its data root (moby: daemon/command/daemon.go).
RUNTIMES = {"moby": "docker"}
MANAGED = "/containerd/daemon"
DOCKER_ROOT = "/var/lib/docker"
ID = re.compile(rb"[0-9a-f]{64}")


def containerd(host: Host, root: str) -> tuple[Claim, ...]:
    """Return what belongs to the containers of containerd's root; OSError where it is none, or may not be read.

    ParseError where its databases make no sense, however often they are read.
    """
    for left in reversed(range(TRIES)):
        metadata, snapshots = (host.read_inside(root, file, MOST_BYTES) for file in FILES)
        try:
            found = _asked(metadata, snapshots, f"{root}/{SNAPSHOTTER}/snapshots")
            found = tuple(_named(host, root, found))
            since = (host.read_inside(root, file, META_BYTES) for file in FILES)
            if not any(map(torn, (metadata, snapshots), since)):
                return found
        except ParseError:
            if not left:
                raise
    return found


def _asked(metadata: bytes, snapshots: bytes, home: str) -> tuple[Claim, ...]:
    def claims(names: Database) -> tuple[Claim, ...]:
        return answer(snapshots, lambda layers: tuple(_claims(names, layers, home)), MOST_PAGES)

    return answer(metadata, claims, MOST_PAGES)


def _claims(metadata: Database, snapshots: Database, home: str) -> Iterator[Claim]:
    chain = snapshots.bucket(b"v1", b"snapshots")
    for namespace, entry in metadata.bucket(b"v1").items():
        inside = metadata.bucket(namespace, within={namespace: entry})
        containers = metadata.bucket(b"containers", within=inside)
        names = metadata.bucket(b"snapshots", b"overlayfs", within=inside)
        stopped = (key for key in names if namespace == b"moby" and key not in containers and ID.fullmatch(key))
        for identifier in (*containers, *stopped):
            found = metadata.bucket(identifier, within=containers)
            who = _who(os.fsdecode(namespace), os.fsdecode(identifier), metadata.bucket(b"labels", within=found))
            key = _value(found, b"snapshotKey") or identifier
            name = _value(metadata.bucket(key, within=names), b"name")
            layers = _layers(snapshots, chain, name, home)
            yield from who.layers(layers, store=True) if layers else ()
            for mount in items(_spec(_value(found, b"spec")).get("mounts")):
                if mount.get("type") in ("bind", "none"):
                    yield from who.mount(word(mount.get("source")), word(mount.get("destination")))


def _named(host: Host, root: str, claims: Iterable[Claim]) -> Iterator[Claim]:
    """Put Docker's own names in place of the ids that containerd knows its containers by."""
    data_root = root.removesuffix(MANAGED) if root.endswith(MANAGED) else DOCKER_ROOT
    known: dict[str, str] = {}
    for claim in claims:
        if claim.runtime == "docker" and claim.container not in known:
            config = record(host, data_root, f"containers/{claim.container}/config.v2.json")
            known[claim.container] = short_name(config, claim.container)
        yield replace(claim, name=known[claim.container]) if claim.container in known else claim


def _who(namespace: str, identifier: str, labels: Entries) -> Who:
    name = next(filter(None, (_value(labels, key) for key in NAMES)), b"")
    return Who(identifier, os.fsdecode(name) or identifier, RUNTIMES.get(namespace, "containerd"))


def _layers(snapshots: Database, chain: Entries, name: bytes, home: str) -> Layers | None:
    """Follow a snapshot to its parents: the first is the container's own."""
    places: list[str] = []
    while name and len(places) < MOST_LAYERS:
        found = snapshots.bucket(name, within=chain)
        if b"id" not in found:
            break
        places.append(f"{home}/{_uvarint(_value(found, b'id'))}")
        name = _value(found, b"parent")
    if not places:
        return None
    own, *lower = places
    return Layers("overlay", tuple(f"{place}/fs" for place in lower), f"{own}/fs", f"{own}/work", None)


def _spec(value: bytes) -> dict[str, object]:
    """Return the OCI spec out of a protobuf Any: the type's URL, and the JSON as its last field."""
    try:
        found = json.loads(value[value.find(b"{") :] or b"null")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _value(entries: Entries, key: bytes) -> bytes:
    return entries[key][1] if key in entries else b""


def _uvarint(data: bytes) -> int:
    """Decode Go's binary.Uvarint: seven bits a byte, the lowest first."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[:10]))
