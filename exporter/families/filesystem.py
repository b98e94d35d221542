"""The filesystems that containers and the machine write to.

The machine's are those on its block devices (`id="/"`; /proc/1/mountinfo). A container's size and inodes are those of
the filesystem that holds its root (statvfs(3)): it shares them with others. `device` is "/dev/sda" as in cAdvisor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from exporter.families.readings import at
from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.disks import Space, read_space, with_devices
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, overlay_layers, parse_mountinfo
from inspector.model import Container

__all__ = ["FILESYSTEM", "USAGE", "Place", "places"]

MOUNTS_SECONDS = 60.0


class Place(NamedTuple):
    """Where a container's root is kept: the filesystem's device, a path that leads to it, and its upper layer."""

    device: str
    path: str
    upper: str | None


class _Places:
    """Remembers where the roots of containers are kept, as a root does not move, and for a while what is mounted."""

    def __init__(self) -> None:
        self.mounts: tuple[Mount, ...] = ()
        self.read_at = float("-inf")
        self.known: dict[str, tuple[Container, Place | None]] = {}

    def update(self, sight: Sight) -> _Places:
        """Forget the containers that are gone, and read the mounts when they were read a minute ago."""
        if sight.observation.monotonic - self.read_at > MOUNTS_SECONDS:
            self.mounts, self.read_at = _mounts(sight.host), sight.observation.monotonic
            self.known = {id_: known for id_, known in self.known.items() if known[1] is not None}
        for gone in self.known.keys() - set(sight.subjects.ids):
            del self.known[gone]
        return self

    def of(self, host: Host, container: Container) -> Place | None:
        """Return where a container's root is kept."""
        known = self.known.get(container.id)
        if known is None or known[0].leader is not container.leader:
            known = self.known[container.id] = (container, self._find(host, container))
        return known[1]

    def _find(self, host: Host, container: Container) -> Place | None:
        leader = container.leader
        root = leader.root if leader and container.kind == "container" else None
        if leader is None or root is None:
            return None
        layers = overlay_layers(root)
        path = f"/proc/{leader.process.pid}/root"
        if layers is None or layers.upper is None:
            return Place(root.source if root.source.startswith("/") else root.fstype, path, None)
        try:
            number = host.stat(layers.upper).device
        except OSError:
            return Place(root.fstype, path, None)
        there = os.major(number), os.minor(number)
        sources = (one.source for one in self.mounts if (one.device_major, one.device_minor) == there)
        return Place(next(sources, root.fstype), layers.upper, layers.upper)


def places(sight: Sight) -> Any:  # noqa: ANN401
    """Bring up to date where the containers' roots are kept."""
    known: _Places = sight.memory("places", _Places)
    return known.update(sight)


def _mounts(host: Host) -> tuple[Mount, ...]:
    """Read the machine's mounts of block devices: its first process's, or ours where that one is hidden."""
    try:
        data = host.read("/proc/1/mountinfo")
    except OSError:
        data = host.read("/proc/self/mountinfo")
    return parse_mountinfo(b"\n".join(line for line in data.split(b"\n") if b" /dev/" in line))


def _filesystems(sight: Sight) -> Any:  # noqa: ANN401
    """Ask what the machine's filesystems hold, and those of the containers' roots; each device once."""
    known: _Places = sight.of("places")
    roll = sight.subjects
    where = roll.each("filesystem", known.read_at, lambda one: tuple(_paths(sight.host, known, one).items()))
    spaces: dict[str, Space | None] = {}
    found: list[list[tuple[str, Space]] | None] = []
    for paths in where:
        for device, path in paths:
            if device not in spaces or not device.startswith("/"):
                spaces[device] = _space(sight.host, path)
        found.append([(device, space) for device, _ in paths if (space := spaces[device]) is not None] or None)
    return found


def _paths(host: Host, known: _Places, subject: Subject) -> dict[str, str]:
    """Return by device a path on each filesystem that is a subject's."""
    if subject.container is None:
        return {device: mount.mountpoint for device, mount in with_devices(known.mounts).items()}
    place = known.of(host, subject.container)
    return {place.device: place.path} if place else {}


def _space(host: Host, path: str) -> Space | None:
    try:
        space = read_space(host, path)
    except OSError:
        return None
    return space if space.total_bytes else None


def _spaces(sight: Sight) -> Sequence[Any]:
    found: Sequence[Any] = sight.of("filesystem")
    return found


def _used_by_machine(sight: Sight) -> Sequence[Any]:
    return [None if one.container else found for one, found in zip(sight.subjects, _spaces(sight), strict=True)]


def _by_device(spaces: list[tuple[str, Space]]) -> Iterator[tuple[str, Space]]:
    for device, space in spaces:
        yield "," + pairs({"device": device}), space


USAGE = Row(
    "container_fs_usage_bytes",
    "gauge",
    "Bytes used: of the machine's filesystem; of a container, by its own layer and its log.",
    lambda space: space.total_bytes - space.free_bytes,
)

FILESYSTEM = Collector(
    "filesystem",
    "size and inodes of the filesystems that hold the containers' roots, and of the machine's",
    (
        Group(
            (
                Row("container_fs_limit_bytes", "gauge", "Size of the filesystem.", at("total_bytes")),
                Row("container_fs_inodes_total", "gauge", "Inodes of the filesystem.", at("inodes")),
                Row("container_fs_inodes_free", "gauge", "Inodes that are free.", at("free_inodes")),
            ),
            _spaces,
            _by_device,
        ),
        Group((USAGE,), _used_by_machine, _by_device),
    ),
    prepare=_filesystems,
)
