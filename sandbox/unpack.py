"""Makes files of an archive's members, below one directory and nowhere else.

Each member's directory is opened with in_root_open, and the member itself made
in it by name without following what is there: an archive that first brings a
link and then writes through it writes inside. Order of the metadata: owner, mode (chown clears
set-uid), extended attributes (chown clears file capabilities), times; those of directories at the end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

from sandbox import whiteouts
from sandbox.errors import SandboxError
from sandbox.inroot import in_root_open, make_directories
from sandbox.metadata import CAPABILITY, Metadata, is_whiteout, nanoseconds, set_metadata
from sandbox.removal import remove_tree
from sandbox.tarstream import members, place, shown

__all__ = ["Rules", "Unpacker", "unpack"]

CHUNK = 1 << 20
LARGEST_ID = 2**32 - 2
XATTR = "SCHILY.xattr."
Called = Callable[[str], str]


class Rules(NamedTuple):
    """How members become files.

    `whiteouts`: it is an image's layer. `own_ids`: keep the members' owners; without it all is
    `owner`'s, and nobody else's program runs as him: set-uid bits are dropped. `devices`: make them.
    `rootless`: neither owners nor devices can be made. `replace`: a directory may take
    the place of something else, and the other way round. `spare`: bytes of the disk that stay free.
    """

    whiteouts: bool = False
    own_ids: bool = True
    owner: tuple[int, int] = (0, 0)
    devices: bool = True
    rootless: bool = False
    replace: bool = True
    spare: int = 0


def unpack(
    stream: IO[bytes] | io.RawIOBase, root: int, rules: Rules, prefix: str = "", called: Called | None = None
) -> Unpacker:
    """Make everything that a tar stream holds below the descriptor `root`, in its directory `prefix`.

    With `called`, which returns how a path in the root is called by who asked, an error names what cannot be made;
    without it the archive's member.
    """
    unpacker = Unpacker(root, rules, prefix, called)
    umask = os.umask(0)
    try:
        for tar, member in members(stream):
            unpacker.add(tar, member)
        unpacker.finish()
    finally:
        os.umask(umask)
    return unpacker


class Unpacker:
    """Takes the members of one archive, in order; then finish()."""

    def __init__(self, root: int, rules: Rules, prefix: str = "", called: Called | None = None) -> None:
        self._root, self._rules, self._prefix, self._called = root, rules, prefix.strip("/"), called
        self._directories: dict[str, tarfile.TarInfo] = {}
        self._free = 0
        self.size = 0  # bytes of regular files
        self.has_root = False  # the archive says how the root itself shall look
        self.lost: Counter[str] = Counter()  # what could not be made here, and how often

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make one member; SandboxError names it when it must not or cannot be made."""
        path = place(member.name)
        try:
            if self._rules.whiteouts and self._is_mark(path):
                return
            if not path:
                if not member.isdir():
                    raise SandboxError("the archive's root is not a directory: refused")
                self.has_root = True
                self._directories[path] = member
                return
            folder, _, name = path.rpartition("/")
            parent = make_directories(self._root, self._inside(folder))
            try:
                self._make(parent, name, path, tar, member)
            finally:
                os.close(parent)
        except OSError as error:
            if error.errno is None:
                raise
            raise SandboxError(f"{self._what(path)}: {os.strerror(error.errno)}") from None
        except ValueError as error:  # a NUL byte in the name of an attribute
            raise SandboxError(f"the archive's member {shown(member.name)}: {error}") from None

    def finish(self) -> None:
        """Give the directories their owners, modes and times: the deepest first, while all can still be entered."""
        for path in sorted(self._directories, key=lambda each: each.count("/") + bool(each), reverse=True):
            try:
                fd = in_root_open(self._root, self._inside(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except (NotADirectoryError, FileNotFoundError):
                continue  # a later member took its place
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                continue
            try:
                self._finish_file(fd, self._directories[path])
            finally:
                os.close(fd)

    def _what(self, path: str) -> str:
        """Say what cannot be made."""
        where = self._called(f"/{self._inside(path)}") if self._called else ""
        return f"cannot copy to {shown(where)}" if where else f"the archive's member {shown(path)}"

    def _inside(self, path: str) -> str:
        return f"{self._prefix}/{path}".strip("/")

    def _is_mark(self, path: str) -> bool:
        """Apply a whiteout; False when the path is not one."""
        hidden = whiteouts.named_by(path)
        if hidden:
            parent = make_directories(self._root, self._inside(os.path.dirname(path)))
            try:
                whiteouts.hide(parent, hidden, rootless=self._rules.rootless)
            finally:
                os.close(parent)
        return hidden is not None

    def _make(self, parent: int, name: str, path: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if member.isdir():
            self._directory(parent, name)
            self._directories[path] = member
        elif member.islnk():
            self._hard_link(parent, name, member)
        elif member.isreg():
            segments: Any = member.sparse if member.issparse() else [(0, member.size)]
            self._reserve(parent, sum(length for _, length in segments) - _held(parent, name), path)
            self._clear(parent, name)
            self._file(parent, name, tar, member)
        elif member.issym():
            if "\0" in member.linkname:
                raise SandboxError(f"the archive's member {shown(path)} is a link to a name with a NUL byte")
            self._clear(parent, name)
            os.symlink(member.linkname, name, dir_fd=parent)
            self._finish_name(parent, name, member)
        elif member.isfifo() or member.ischr() or member.isblk():
            self._node(parent, name, path, member)
        else:
            raise SandboxError(f"the archive's member {shown(path)} is of the unknown type {member.type!r}: refused")

    def _clear(self, parent: int, name: str, *, keep_directory: bool = False) -> bool:
        """Make place for a member; True when a whiteout was there."""
        try:
            found = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(found.st_mode):
            if keep_directory:
                return False
            if not self._rules.replace:
                raise SandboxError(f"cannot overwrite directory {shown(name)} with non-directory")
            remove_tree(name, parent)
            return False
        if keep_directory and not self._rules.replace:
            raise SandboxError(f"cannot overwrite non-directory {shown(name)} with directory")
        os.unlink(name, dir_fd=parent)
        return is_whiteout(found)

    def _directory(self, parent: int, name: str) -> None:
        hides_lower = self._clear(parent, name, keep_directory=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        if hides_lower and self._rules.whiteouts:
            whiteouts.delete(parent, name, rootless=self._rules.rootless)

    def _hard_link(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        target = place(member.linkname)
        folder, _, old = target.rpartition("/")
        fd = make_directories(self._root, self._inside(folder))
        try:
            found = os.lstat(old or ".", dir_fd=fd)
            if stat.S_ISDIR(found.st_mode) or is_whiteout(found):
                raise SandboxError(f"hard link {shown(member.name)} to {shown(target)}, which is no file: refused")
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(name, dir_fd=parent), found):
                    return
            self._clear(parent, name)
            os.link(old, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise SandboxError(f"hard link {shown(member.name)}: {shown(target)} is not in this archive") from None
        finally:
            os.close(fd)

    def _node(self, parent: int, name: str, path: str, member: tarfile.TarInfo) -> None:
        if not member.isfifo() and (member.devmajor, member.devminor) == (0, 0):
            raise SandboxError(f"the archive's member {shown(path)} is device 0:0, overlayfs's whiteout: refused")
        if not member.isfifo() and (self._rules.rootless or not self._rules.devices):
            self.lost["devices"] += 1
            return
        self._clear(parent, name)
        kind = stat.S_IFIFO if member.isfifo() else stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        device = 0 if member.isfifo() else os.makedev(member.devmajor & 0xFFFFFFFF, member.devminor & 0xFFFFFFFF)
        os.mknod(name, kind | member.mode & 0o7777, device, dir_fd=parent)
        self._finish_name(parent, name, member)

    def _file(self, parent: int, name: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb", buffering=0) as file:
            try:
                self._write(file.fileno(), tar, member)
                self._finish_file(file.fileno(), member)
            except BaseException:  # half a file is nobody's
                os.unlink(name, dir_fd=parent)
                raise

    def _write(self, fd: int, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Copy a member's data; the holes of a sparse one stay holes."""
        source = cast("IO[bytes]", tar.fileobj)
        source.seek(member.offset_data)  # of a sparse member the segments stand there one after the other
        segments: Any = member.sparse if member.issparse() else [(0, member.size)]
        for start, length in segments:
            done = 0
            while done < length:
                data = source.read(min(length - done, CHUNK))
                if not data:
                    raise tarfile.ReadError("unexpected end of data")
                view = memoryview(data)
                while view:
                    written = os.pwrite(fd, view, start + done)
                    view, done = view[written:], done + written
        os.ftruncate(fd, member.size)
        self.size += member.size

    def _reserve(self, parent: int, size: int, path: str) -> None:
        """Refuse what the filesystem cannot hold, before it is written, or takes the place of what is there."""
        if size > self._free:
            found = os.fstatvfs(parent)
            free = found.f_bavail * found.f_frsize
            self._free = free - self._rules.spare
            if size > self._free:
                needed = f"{size} bytes more are needed{f' besides {self._rules.spare}' if self._rules.spare else ''}"
                raise SandboxError(f"{self._what(path)}: no space: {needed}, and {free} are free")
        self._free -= size

    def _owner(self, member: tarfile.TarInfo) -> tuple[int, int] | None:
        """Return whose a file shall be; None to leave it ours."""
        for number in (member.uid, member.gid):
            if not 0 <= number <= LARGEST_ID:
                raise SandboxError(f"the archive's member {shown(member.name)} belongs to {number}, which is no id")
        if self._rules.rootless:
            self.lost["owners"] += (member.uid, member.gid) != (0, 0)
            return None
        return (member.uid, member.gid) if self._rules.own_ids else self._rules.owner

    def _finish_file(self, fd: int, member: tarfile.TarInfo) -> None:
        attributes = {
            key.removeprefix(XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(XATTR)
        }
        when = nanoseconds(member.pax_headers.get("mtime", member.mtime))
        mode = member.mode & (0o7777 if self._rules.own_ids else 0o1777)
        if not self._rules.own_ids:
            attributes.pop(CAPABILITY, None)
        self.lost.update(set_metadata(fd, Metadata(self._owner(member), mode, when, attributes)))

    def _finish_name(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        """Do the same for what cannot be opened: a link, a device, a FIFO."""
        owner = self._owner(member)
        if owner is not None:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        when = nanoseconds(member.pax_headers.get("mtime", member.mtime))
        os.utime(name, ns=(when, when), dir_fd=parent, follow_symlinks=False)


def _held(parent: int, name: str) -> int:
    """Return the bytes that are free when a name is no file's any more."""
    with contextlib.suppress(FileNotFoundError):
        found = os.lstat(name, dir_fd=parent)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return found.st_blocks * 512
    return 0
