"""Makes an archive of files, as a stream: the other half of unpack.py.

A tree is walked by path below one descriptor with no link followed, one
directory open at a time. What is no longer what it was when it is opened is left out:
the processes of a container may be changing it. Names of owners are not looked up, which
would load the container's libraries (CVE-2019-14271).
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from sandbox.errors import NobodyReads
from sandbox.inroot import host_path, in_root_open
from sandbox.lowers import is_opaque
from sandbox.metadata import is_whiteout, read_attributes
from sandbox.terminal import write_whole
from sandbox.whiteouts import OPAQUE, PREFIX

__all__ = ["CHUNK", "Entry", "Stream", "pack", "pack_layer", "walk", "write_to"]

CHUNK = 1 << 20
BLOCK = 512
GONE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO)
KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


class Entry(NamedTuple):
    """Something in a tree: its path below the top, and its metadata."""

    path: str
    stat: os.stat_result


def walk(top: int, *, mounts: bool = True) -> Iterator[Entry]:
    """Yield everything below the directory `top`, sorted, a directory before what is in it.

    Without `mounts` what is mounted below it is not entered.
    """
    waiting: list[Entry] = _entries(top, "", mounts=mounts)
    while waiting:
        entry = waiting.pop()
        yield entry
        if stat.S_ISDIR(entry.stat.st_mode):
            waiting += _entries(top, entry.path, mounts=mounts)


def _entries(top: int, path: str, *, mounts: bool) -> list[Entry]:
    """Return what a directory holds, the last name first; one that is gone holds nothing."""
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        fd = in_root_open(top, path, flags, links=False, mounts=mounts)
    except OSError as error:
        if error.errno in (*GONE, errno.EXDEV):
            return []
        raise
    try:
        found = []
        for name in sorted(os.listdir(fd), reverse=True):
            try:
                found.append(Entry(f"{path}/{name}".lstrip("/"), os.lstat(name, dir_fd=fd)))
            except FileNotFoundError:
                continue
        return found
    finally:
        os.close(fd)


def pack_layer(fd: int, *, root: bool) -> Iterator[bytes]:
    """Yield the archive of an image's layer from the directory overlayfs has it in; `root`: it tells of "/" too."""
    links: dict[tuple[int, int], str] = {}
    if root:
        yield from _member(os.dup(fd), ".", os.fstat(fd), links)
    if is_opaque(host_path(fd)):
        yield _header(tarfile.TarInfo(OPAQUE))
    for entry in walk(fd):
        folder, name = os.path.split(entry.path)
        if is_whiteout(entry.stat):
            yield _header(tarfile.TarInfo(os.path.join(folder, f"{PREFIX}{name}")))
            continue
        own = _open(fd, entry.path, mounts=True)
        if own is None:
            continue
        opaque = stat.S_ISDIR(entry.stat.st_mode) and is_opaque(host_path(own))
        yield from _member(own, entry.path, entry.stat, links)
        if opaque:
            yield _header(tarfile.TarInfo(f"{entry.path}/{OPAQUE}"))
    yield bytes(2 * BLOCK)


def pack(fd: int, name: str, *, mounts: bool = True) -> Iterator[bytes]:
    """Yield an archive of what `fd` (O_PATH) is: under `name` itself, and of a directory all that is in it.

    `name` "." or "" puts the content of a directory at the archive's root, as `./etc` or `etc`. Without `mounts` a
    mount point is as empty as it is without the mount.
    """
    links: dict[tuple[int, int], str] = {}
    found = os.fstat(fd)
    before = f"{name}/" if name else ""
    yield from _member(os.dup(fd), name or ".", found, links)
    if stat.S_ISDIR(found.st_mode):
        for entry in walk(fd, mounts=mounts):
            own = _open(fd, entry.path, mounts=mounts)
            if own is not None:
                yield from _member(own, f"{before}{entry.path}", entry.stat, links)
            elif not mounts and stat.S_IFMT(entry.stat.st_mode) in (stat.S_IFDIR, stat.S_IFREG):
                yield _mount_point(f"{before}{entry.path}", entry.stat)
    yield bytes(2 * BLOCK)


def _open(top: int, path: str, *, mounts: bool) -> int | None:
    """Open a file of the tree; None when it is gone, or a mount point that is not to be entered."""
    try:
        return in_root_open(top, path, os.O_PATH | os.O_NOFOLLOW, links=False, mounts=mounts)
    except OSError as error:
        if error.errno in (*GONE, errno.EXDEV):
            return None
        raise


def _mount_point(name: str, found: os.stat_result) -> bytes:
    member = tarfile.TarInfo(name)
    is_directory = stat.S_ISDIR(found.st_mode)
    member.type, member.mode = (tarfile.DIRTYPE, 0o755) if is_directory else (tarfile.REGTYPE, 0o644)
    return _header(member)


def _member(own: int, name: str, found: os.stat_result, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    """Yield one member, of the file that `own` (O_PATH; closed here) was opened as."""
    try:
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None or is_whiteout(found):
            return  # a socket is nothing without the process behind it
        member = _described(name, kind, found)
        identity = (found.st_dev, found.st_ino)
        if kind != tarfile.DIRTYPE and found.st_nlink > 1:
            if identity in links:
                member.type, member.linkname = tarfile.LNKTYPE, links[identity]
                yield _header(member)
                return
            links[identity] = name
        if kind == tarfile.SYMTYPE:
            member.linkname = os.readlink("", dir_fd=own)
        if kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
            attributes = read_attributes(own).items()
            found_there = {f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape") for key, value in attributes}
            member.pax_headers = {**member.pax_headers, **found_there}
        if kind == tarfile.REGTYPE:
            yield from _file(own, member, identity)
        else:
            yield _header(member)
    finally:
        os.close(own)


def _described(name: str, kind: bytes, found: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, stat.S_IMODE(found.st_mode)
    member.uid, member.gid = found.st_uid, found.st_gid
    whole, rest = divmod(found.st_mtime_ns, 1_000_000_000)
    member.pax_headers = {"mtime": f"{whole}.{rest:09d}"}
    member.devmajor, member.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return member


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file(own: int, member: tarfile.TarInfo, identity: tuple[int, int]) -> Iterator[bytes]:
    """Yield a regular file; one that becomes shorter meanwhile is filled with zeros, one that grows is cut."""
    found = os.fstat(own)
    if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) != identity:
        return
    with _opened(own) as file:
        member.size = found.st_size
        yield _header(member)
        left = member.size
        while left > 0:
            data = file.read(min(left, CHUNK)) or bytes(min(left, CHUNK))
            yield data
            left -= len(data)
    if member.size % BLOCK:
        yield bytes(BLOCK - member.size % BLOCK)


def _opened(own: int) -> io.FileIO:
    try:
        return open(host_path(own), "rb", buffering=0)
    except OSError as error:  # which knows it by our descriptor
        raise OSError(error.errno, error.strerror, os.readlink(host_path(own))) from None


class Stream(io.RawIOBase):
    """Pieces of bytes, read as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a writable buffer
        """Fill a buffer, as far as one piece goes."""
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def write_to(fd: int, pieces: Iterator[bytes]) -> None:
    """Write an archive to a descriptor; NobodyReads when its reader has gone."""
    try:
        for piece in pieces:
            write_whole(fd, memoryview(piece))
    except BrokenPipeError:
        raise NobodyReads from None
