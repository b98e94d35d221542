"""Block I/O by device.

A container's own figures are those of the io controller (blkio of v1), the
machine's (`id="/"`) those of /proc/diskstats, which has times too. `device` is
"/dev/sda" as in cAdvisor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from exporter.families.lasting import Lasting
from exporter.families.readings import at, part, reading
from exporter.sight import Sight
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.controllers import DeviceIo, Io
from inspector.kernel.disks import SECTOR, Disk, read_diskstats

__all__ = ["DISK"]

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
