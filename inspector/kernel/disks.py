"""Block devices and filesystems of the machine: /proc/diskstats (proc_diskstats(5)), /proc/1/mountinfo, statvfs(3)."""

from __future__ import annotations

import os
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount

__all__ = ["Disk", "Space", "parse_diskstats", "read_diskstats", "read_space", "with_devices"]

SECTOR = 512  # bytes, whatever the device's own sector is
LEAST_FIELDS = 14  # since Linux 2.6; discards and flushes come behind
NOT_DISKS = ("loop", "ram", "zram", "sr", "fd", "nbd")


class Disk(NamedTuple):
    """What one block device did since boot: operations, sectors of 512 bytes, milliseconds; `current` is now."""

    major: int
    minor: int
    name: str
    reads: int
    reads_merged: int
    sectors_read: int
    read_ms: int
    writes: int
    writes_merged: int
    sectors_written: int
    write_ms: int
    current: int
    io_ms: int
    weighted_ms: int

    @property
    def number(self) -> str:
        """Return the device's number as control files write it: "254:0"."""
        return f"{self.major}:{self.minor}"

    @property
    def is_disk(self) -> bool:
        """Tell whether it has done anything and is no loop device, RAM or removable medium."""
        return bool(self.reads or self.writes) and not self.name.startswith(NOT_DISKS)


class Space(NamedTuple):
    """What a filesystem holds, bytes and inodes."""

    total_bytes: int
    free_bytes: int
    inodes: int
    free_inodes: int


# 254       0 vda 983086 84668 30885762 1189189 516882 903013 24707952 220119 0 250836 1494526 966827 35 16933496 84228
def parse_diskstats(data: bytes) -> tuple[Disk, ...]:
    """Parse /proc/diskstats: number, name and eleven figures a device; newer kernels add more."""
    found = []
    for line in data.splitlines():
        fields = line.split()
        if len(fields) < LEAST_FIELDS:
            raise ParseError("/proc/diskstats", line)
        try:
            name = fields[2].decode(errors="surrogateescape")
            found.append(Disk(int(fields[0]), int(fields[1]), name, *map(int, fields[3:LEAST_FIELDS])))
        except ValueError as error:
            raise ParseError("/proc/diskstats", line) from error
    return tuple(found)


def read_diskstats(host: Host) -> tuple[Disk, ...]:
    """Read the block devices of the machine (/proc/diskstats)."""
    return parse_diskstats(host.read("/proc/diskstats"))


def with_devices(mounts: tuple[Mount, ...]) -> dict[str, Mount]:
    """Return, by device, the mount that shows the whole of its filesystem best: a block device's, once each."""
    found: dict[str, Mount] = {}
    for mount in mounts:
        known = found.get(mount.source)
        if mount.source.startswith("/dev/") and (known is None or _rank(mount) < _rank(known)):
            found[mount.source] = mount
    return found


def _rank(mount: Mount) -> tuple[bool, int]:
    """Put a bind mount of one directory last, and of the others the highest place first."""
    return mount.root != "/", len(mount.mountpoint)


def read_space(host: Host, path: str) -> Space:
    """Ask what the filesystem at a path holds (statvfs(3))."""
    got = os.statvfs(host.path(path))
    size = got.f_frsize
    return Space(got.f_blocks * size, got.f_bfree * size, got.f_files, got.f_ffree)
