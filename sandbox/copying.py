"""`sandbox cp`: files between a container and the host, by Docker's rules (docker cp; moby pkg/archive: copy.go).

A source is packed and what comes of it is unpacked at the destination, in one
process and through descriptors: no path of the container ever is one of the host. What is copied out belongs to who
copies it, has no set-uid bits and is no device, unless -a asks for the container's owners.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections import Counter
from collections.abc import Iterator
from typing import IO, NamedTuple

from sandbox.errors import SandboxError
from sandbox.inroot import follow, in_root_open
from sandbox.namespaces import become_its_root
from sandbox.pack import Stream, pack
from sandbox.unpack import Rules, unpack

__all__ = ["Place", "copy", "pack_source", "unpack_into"]


class Place(NamedTuple):
    """A path in a root; `container` is that one's name, "" for the host, `users` its user namespace, -1 for ours."""

    root: int
    path: str
    container: str = ""
    users: int = -1

    def called(self, path: str) -> str:
        """Return how a path in this root is called on the command line."""
        return f"{self.container}:{path}" if self.container else path

    def missing(self, path: str) -> SandboxError:
        """Return the error for what does not exist."""
        if self.container:
            return SandboxError(f"could not find the file {path} in container {self.container}", 1)
        return SandboxError(f"{path}: no such file or directory", 1)


@contextlib.contextmanager
def _source(place: Place, *, follow_link: bool) -> Iterator[int]:
    """Open what is to be copied: a link itself, unless it is followed or something behind it is asked for."""
    is_directory = place.path.endswith(("/", "/."))
    flags = os.O_PATH | (os.O_DIRECTORY if is_directory else 0 if follow_link else os.O_NOFOLLOW)
    try:
        fd = in_root_open(place.root, place.path, flags)
    except FileNotFoundError:
        raise place.missing(place.path) from None
    try:
        if place.container:
            _refuse_kernels(place, fd)
        yield fd
    finally:
        os.close(fd)


def _refuse_kernels(place: Place, fd: int) -> None:
    """Refuse what lies on /proc or /sys, as Docker does: such files have no size, and copies of them would be empty."""
    own = os.stat(place.root).st_dev
    for top in ("proc", "sys"):
        with contextlib.suppress(OSError):
            device = os.stat(top, dir_fd=place.root, follow_symlinks=False).st_dev
            if own != device == os.fstat(fd).st_dev:
                how = f"`sandbox exec {place.container} cat`"
                raise SandboxError(f"{place.path} is the kernel's, and has no content to copy: try {how}", 1)


def _has_only_content(path: str) -> bool:
    """Tell whether a path means what is in a directory, not the directory."""
    return path.endswith("/.") or path.strip("/.") == ""


def _name(path: str) -> str:
    """Return the name under which a source is packed."""
    return "." if _has_only_content(path) else os.path.basename(path.rstrip("/"))


@contextlib.contextmanager
def pack_source(place: Place, *, follow_link: bool) -> Iterator[Iterator[bytes]]:
    """Give an archive of a source, as `cp CONTAINER:PATH -` writes it."""
    with _source(place, follow_link=follow_link) as fd:
        yield _packed(place, place, fd, _name(place.path))


def unpack_into(stream: IO[bytes] | io.RawIOBase, place: Place, rules: Rules) -> Counter[str]:
    """Unpack an archive in a directory, as `cp - CONTAINER:PATH` does; returns what could not be made."""
    try:
        os.close(in_root_open(place.root, place.path, os.O_PATH | os.O_DIRECTORY))
    except FileNotFoundError:
        raise place.missing(place.path) from None
    except NotADirectoryError:
        raise SandboxError(f"destination {place.container}:{place.path} must be a directory", 1) from None
    return unpack(stream, place.root, _as_its_users(place, rules), place.path, place.called).lost


def copy(source: Place, target: Place, rules: Rules, *, follow_link: bool) -> Counter[str]:
    """Copy a file or a directory; returns what could not be made there, and how often."""
    with _source(source, follow_link=follow_link) as fd:
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        folder, name = _destination(source, target, is_directory=is_directory)
        pieces = _packed(source, target, fd, name)
        return unpack(Stream(pieces), target.root, _as_its_users(target, rules), folder, target.called).lost


def _packed(source: Place, target: Place, fd: int, name: str) -> Iterator[bytes]:
    """Give an archive of what was opened, apart from us when we are not to be where it is, or stay there."""
    if source.users < 0 and target.users < 0:
        return pack(fd, name)
    from sandbox.apart import pack_apart  # noqa: PLC0415  rare

    return pack_apart(fd, name, users=source.users)


def _as_its_users(place: Place, rules: Rules) -> Rules:
    """Be root where files are to be made, and return how: root of a container's own users makes no devices."""
    if place.users < 0:
        return rules
    become_its_root(place.users)
    return rules._replace(devices=False)


def _destination(source: Place, target: Place, *, is_directory: bool) -> tuple[str, str]:
    """Return the directory that a source goes to, and the name it gets there ("." for its content alone)."""
    try:
        fd = in_root_open(target.root, target.path)
    except FileNotFoundError:
        return _new(target, is_directory=is_directory)
    except NotADirectoryError:
        raise SandboxError(f"{target.path}: not a directory", 1) from None
    try:
        there = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    if stat.S_ISDIR(there):
        return target.path, _name(source.path)
    if not stat.S_ISREG(there):  # what is copied would take its place: this machine's /dev/null is everybody's
        raise SandboxError(f"destination {target.called(target.path)} must be a directory or a regular file", 1)
    if is_directory:
        raise SandboxError("cannot copy directory: the destination is a file", 1)
    folder, name = os.path.split(follow(target.root, target.path))
    return folder, name


def _new(target: Place, *, is_directory: bool) -> tuple[str, str]:
    """Return the same for a destination that does not exist: its directory must."""
    if target.path.endswith("/") and not is_directory:
        raise SandboxError(f"{target.path}: no such directory", 1)
    path = target.path.rstrip("/")
    try:
        path = follow(target.root, path)
        os.close(in_root_open(target.root, os.path.dirname(path), os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        raise target.missing(os.path.dirname(path)) from None
    return os.path.dirname(path), os.path.basename(path)
