"""The stores that keep a layer a directory, with links to those below it: Docker's overlay2, and Podman's and CRI-O's.

- Docker: <root>/image/overlay2/layerdb/mounts/<id>/mount-id names <root>/overlay2/<mount-id>/{diff,work,merged,lower};
  with containerd's store (where Docker 29 begins anew) its layers are that one's, mounted at <root>/rootfs/*/<id>
- Podman, CRI-O: <root>/overlay-containers/{,volatile-}containers.json name
  <root>/overlay/<layer>/{diff,work,merged,lower}
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from inspector.claims.files import SHORT_ID, items, names, record, records, short_name, text, word
from inspector.claims.who import Who
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount
from inspector.layers import FUSE, Claim, Layers
from inspector.model import Container

__all__ = ["docker", "fuse_layers", "podman"]

DOCKER_MOUNTS = "image/overlay2/layerdb/mounts"
PODMAN = "overlay-containers"
PODMAN_LISTS = (f"{PODMAN}/containers.json", f"{PODMAN}/volatile-containers.json")  # the second: of those with --rm


def docker(host: Host, root: str) -> Iterator[Claim]:
    """Return what belongs to the containers of Docker's data root."""
    mounts = names(host, f"{root}/{DOCKER_MOUNTS}")
    for identifier in dict.fromkeys((*mounts, *names(host, f"{root}/containers"))):
        layer = text(host, root, f"{DOCKER_MOUNTS}/{identifier}/mount-id")
        config = record(host, root, f"containers/{identifier}/config.v2.json")
        if not layer and config.get("ID") != identifier:  # others have such a directory too
            continue
        who = Who(identifier, short_name(config, identifier), "docker")
        yield who.claim("state", f"{root}/containers/{identifier}")
        yield from _claimed(who, _layers(host, f"{root}/overlay2", layer))
        if not layer:
            yield who.claim("merged", f"{root}/rootfs/{word(config.get('Driver')) or 'overlayfs'}/{identifier}", "/")
        for point in items(config.get("MountPoints")):
            name = word(point.get("Name"))
            held = f"{root}/volumes/{name}/_data" if name and "/" not in name else ""
            source, destination = word(point.get("Source")) or held, word(point.get("Destination"))
            yield from who.mount(source, destination, volume=point.get("Type") == "volume")


def podman(host: Host, root: str) -> Iterator[Claim]:
    """Return what belongs to the containers of a containers/storage graph root."""
    for entry in _listed(host, root):
        identifier = word(entry.get("id"))
        if not identifier or "/" in identifier:
            continue
        known = entry.get("names")
        name = word(known[0]) if isinstance(known, list) and known else ""
        # Only CRI-O notes a pod there (its internal/storage/runtime.go); Podman keeps pods elsewhere.
        runtime = "cri-o" if '"pod-id"' in word(entry.get("metadata")) else "podman"
        who = Who(identifier, name or identifier[:SHORT_ID], runtime)
        yield who.claim("state", f"{root}/{PODMAN}/{identifier}")
        yield from _claimed(who, _layers(host, f"{root}/overlay", word(entry.get("layer"))))
        # The bundle of its last start; what the runtime gave (hosts, resolv.conf) lies in directories of its own.
        for mount in items(record(host, root, f"{PODMAN}/{identifier}/userdata/config.json").get("mounts")):
            source = word(mount.get("source"))
            if mount.get("type") == "bind" and f"/{PODMAN}/{identifier}/" not in source:
                volume = source.startswith(f"{root}/volumes/")
                yield from who.mount(source, word(mount.get("destination")), volume=volume)


def fuse_layers(host: Host, root_mount: Mount, container: Container) -> Layers | None:
    """Return the layers of a container on fuse-overlayfs, whose mount names none: Podman's store tells. None elsewhere.

    The store is the one that its conmon was started for ("-b <root>/overlay-containers/<id>/userdata").
    """
    if root_mount.fstype != "fuse.fuse-overlayfs":
        return None
    words = container.leader.parent_cmdline.split(" ") if container.leader else []
    bundle = words[words.index("-b") + 1] if "-b" in words[:-1] else ""
    root, found, _ = bundle.partition(f"/{PODMAN}/")
    if not found:
        return None
    identifier = container.runtime_id or container.id
    entry = next((one for one in _listed(host, root) if one.get("id") == identifier), {})
    layers = _layers(host, f"{root}/overlay", word(entry.get("layer")))
    # Its merged directory is mounted where only the user's Podman sees it.
    return Layers("fuse-overlayfs", layers.lower, layers.upper, layers.work, None, FUSE) if layers else None


def _listed(host: Host, root: str) -> Iterator[dict[str, object]]:
    return (entry for file in PODMAN_LISTS for entry in records(host, root, file))


def _claimed(who: Who, layers: Layers | None) -> Iterator[Claim]:
    if layers is not None and layers.upper is not None:
        yield from who.layers(layers, store=True)
        yield who.claim("state", f"{posixpath.dirname(layers.upper)}-init")


def _layers(host: Host, home: str, layer: str) -> Layers | None:
    """Return a layer of the store and those below it, which its file `lower` names by their short links."""
    if not layer or "/" in layer or layer.startswith("."):
        return None
    places: list[str] = []
    for link in filter(None, text(host, home, f"{layer}/lower").split(":")):
        try:
            target = posixpath.join(home, posixpath.dirname(link), host.readlink(posixpath.join(home, link)))
            places.append(posixpath.normpath(target))
        except (OSError, ValueError):
            continue
    own = f"{home}/{layer}"
    return Layers("overlay", tuple(places), f"{own}/diff", f"{own}/work", f"{own}/merged")
