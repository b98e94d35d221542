"""How a document gets on the disk as JSON: whole or not at all, and with room kept for it also when that is full.

<path>.new    what takes its place as soon as it is written
<path>.spare  room for one more, with its blocks: what is replaced on a full disk is the next spare
"""

from __future__ import annotations

import errno
import os

from sandbox.contexts import suppress
from sandbox.quick import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["SPARE", "replace_document", "reserve", "write_document"]

SPARE = ".spare"
FULL = (errno.ENOSPC, errno.EDQUOT)


def replace_document(path: str, document: Mapping[str, Any], *, durable: bool = False) -> None:
    """Replace a file by a document as JSON, whole or not at all; a `durable` one is on the disk when this returns.

    Where the disk is full it goes into the room that reserve() has made for it.
    """
    text = dumps(document).encode()  # in one go: with `indent`, or to a file, it takes ten times as long
    try:
        _write(f"{path}.new", os.O_CREAT | os.O_TRUNC, text, durable=durable)
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.new")
        if error.errno not in FULL or not os.path.exists(f"{path}{SPARE}"):
            raise
        _write(f"{path}{SPARE}", 0, text, durable=durable)
        # What is replaced is the next spare: were its blocks free for an instant, somebody else would have them.
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.old")
        os.link(path, f"{path}.old")
        os.replace(f"{path}{SPARE}", path)
        os.replace(f"{path}.old", f"{path}{SPARE}")
    else:
        os.replace(f"{path}.new", path)


def write_document(path: str, document: Mapping[str, Any]) -> None:
    """Write a document into a file that nobody reads yet."""
    _write(path, os.O_CREAT | os.O_TRUNC, dumps(document).encode(), durable=False)


def reserve(path: str, growth: int) -> None:
    """Keep room for a document that is `growth` bytes longer than the one there: OSError when the disk is full."""
    fd = os.open(f"{path}{SPARE}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take_room(fd, os.stat(path).st_size + growth)
    except OSError as error:  # which does not know its file
        raise OSError(error.errno, error.strerror, f"{path}{SPARE}") from None
    finally:
        os.close(fd)


def _take_room(fd: int, size: int) -> None:
    """Give a new file its blocks: by fallocate, or where neither the filesystem nor libc (musl) has it, zeros."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        written = 0
        while written < size:
            written += os.pwrite(fd, bytes(size - written), written)


def _write(path: str, flags: int, data: bytes, *, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        written = 0
        while written < len(data):
            written += os.write(fd, data[written:])
        if not flags & os.O_TRUNC:
            os.ftruncate(fd, len(data))
        if durable:
            os.fdatasync(fd)
    except OSError as error:  # which does not know its file
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
