"""Block I/O by device, and the filesystems that containers and the machine write to.

A container's own figures are those of the io controller (blkio of v1). The
machine's (`id="/"`) are /proc/diskstats, which has times too, and the
filesystems on its block devices. `device` is "/dev/sda" as in cAdvisor. A
container's size and inodes are those of the filesystem that holds its root:
it shares them with others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from exporter.families.lasting import Lasting
from exporter.families.readings import at, part, reading
from exporter.sight import Sight
from exporter.subjects import Subject
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.controllers import DeviceIo, Io
from inspector.kernel.disks import SECTOR, Disk, Space, read_diskstats, read_space, with_devices
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, overlay_layers, parse_mountinfo
from inspector.model import Container

__all__ = ["DISK", "FILESYSTEM", "USAGE", "Place", "places"]

MOUNTS_SECONDS = 60.0

READS = Row("container_fs_reads_total", "counter", "Reads completed.", at("reads"))
WRITES = Row("container_fs_writes_total", "counter", "Writes completed.", at("writes"))
READ_BYTES = Row("container_fs_reads_bytes_total", "counter", "Bytes read.", at("read_bytes"))
WRITE_BYTES = Row("container_fs_writes_bytes_total", "counter", "Bytes written.", at("write_bytes"))
BLKIO = "Bytes read and written, by device."


class _Io(NamedTuple):
    """A container's I/O, and what the devices are called."""

    io: Io
    names: dict[str, str]


def _disks(sight: Sight) -> Any:  # noqa: ANN401
    """Read the machine's disks; a kernel without block devices has no such file."""
    try:
        return read_diskstats(sight.host)
    except FileNotFoundError:
        return ()


def _names(sight: Sight) -> dict[str, str]:
    """Return what the devices are called by number; the same dict as before while it says the same."""
    disks: tuple[Disk, ...] = sight.of("disk")
    names = {disk.number: f"/dev/{disk.name}" for disk in disks}
    if names != sight.kept.get("devices"):
        sight.kept["devices"] = names
    kept: dict[str, str] = sight.kept["devices"]
    return kept


def _of_containers(sight: Sight) -> Sequence[Any]:
    names, readings = _names(sight), reading("io")(sight)

    def make() -> list[_Io | None]:
        place = sight.observation.located.get("io")
        done = _lasting(sight, readings) if place and place[0].version == 1 else readings
        return [
            _Io(io, names) if one.container and io and (io.bytes_by_device or io.operations_by_device) else None
            for one, io in zip(sight.subjects, done, strict=True)
        ]

    return sight.subjects.once("disk", (names, readings), make)


def _lasting(sight: Sight, readings: Sequence[Io | None]) -> Sequence[Io | None]:
    """Return what each cgroup has done in all: v1 forgets what those below it did that are gone."""
    lasting: Lasting = sight.memory("lasting", Lasting)
    return lasting.of(zip(sight.subjects.keys("io"), readings, strict=True), sight.observation.inodes)


def _devices(source: _Io) -> Iterator[tuple[str, DeviceIo]]:
    for one in source.io.devices():
        yield "," + pairs({"device": source.names.get(one.device, one.device)}), one


def _numbered(source: _Io) -> Iterator[tuple[str, DeviceIo]]:
    for one in source.io.devices():
        major, _, minor = one.device.partition(":")
        name = source.names.get(one.device, one.device)
        yield "," + pairs({"device": name, "major": major, "minor": minor}), one


def _of_machine(sight: Sight) -> Sequence[Any]:
    disks = tuple(disk for disk in sight.of("disk") if disk.is_disk and not _is_partition(sight, disk))
    return sight.subjects.each("machine's disks", disks, lambda one: None if one.container else disks)


def _is_partition(sight: Sight, disk: Disk) -> bool:
    """Tell a partition by the file that only partitions have; a disk and its partitions would be counted twice."""
    known: dict[str, bool] = sight.memory("disk", dict)
    if disk.name not in known:
        known[disk.name] = sight.host.access(f"/sys/class/block/{disk.name}/partition")
    return known[disk.name]


def _each_disk(disks: tuple[Disk, ...]) -> Iterator[tuple[str, Disk]]:
    for disk in disks:
        yield "," + pairs({"device": f"/dev/{disk.name}"}), disk


def _in_bytes(name: str) -> Callable[[Disk], float]:
    get = at(name)
    return lambda disk: get(disk) * SECTOR


DISK = Collector(
    "disk",
    "block I/O by device",
    (
        Group((READS, WRITES, READ_BYTES, WRITE_BYTES), _of_containers, _devices),
        Group(
            (
                Row("container_blkio_device_usage_total", "counter", BLKIO, at("read_bytes"), ',operation="Read"'),
                Row("container_blkio_device_usage_total", "counter", BLKIO, at("write_bytes"), ',operation="Write"'),
            ),
            _of_containers,
            _numbered,
        ),
        Group(
            (
                READS,
                WRITES,
                READ_BYTES._replace(value=_in_bytes("sectors_read")),
                WRITE_BYTES._replace(value=_in_bytes("sectors_written")),
                Row("container_fs_reads_merged_total", "counter", "Reads merged.", at("reads_merged")),
                Row("container_fs_writes_merged_total", "counter", "Writes merged.", at("writes_merged")),
                Row("container_fs_sector_reads_total", "counter", "Sectors of 512 bytes read.", at("sectors_read")),
                Row(
                    "container_fs_sector_writes_total",
                    "counter",
                    "Sectors of 512 bytes written.",
                    at("sectors_written"),
                ),
                Row("container_fs_read_seconds_total", "counter", "Time of all reads.", part("read_ms", 1e3)),
                Row("container_fs_write_seconds_total", "counter", "Time of all writes.", part("write_ms", 1e3)),
                Row("container_fs_io_current", "gauge", "I/O under way.", at("current")),
                Row(
                    "container_fs_io_time_seconds_total", "counter", "Time in which there was I/O.", part("io_ms", 1e3)
                ),
                Row(
                    "container_fs_io_time_weighted_seconds_total",
                    "counter",
                    "Time of all I/O, summed.",
                    part("weighted_ms", 1e3),
                ),
            ),
            _of_machine,
            _each_disk,
        ),
    ),
    prepare=_disks,
    resources=("io",),
)


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
