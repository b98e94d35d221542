"""A gzip stream out of pieces that are compressed once, whoever they are sent to (RFC 1951, RFC 1952).

Each piece is deflated by itself and ends on a byte, refers to nothing before
it and is not the last: so pieces can follow one another in any stream. What
is short and differs from reader to reader goes in between as it is. The
checksum of the stream is put together of its pieces' own, as zlib's
crc32_combine() does, which Python's zlib lacks: what is kept compressed need
not be decompressed for it.
"""

from __future__ import annotations

import zlib
from functools import cache, lru_cache
from typing import NamedTuple

__all__ = ["GzipStream", "Piece", "deflate", "inflate", "packed"]

HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
LAST_BLOCK = b"\x03\x00"
LEVEL = 1  # documents repeat themselves so much that more gains nothing
# CRC-32 calculates with polynomials over GF(2), modulo this one; the highest bit is x to the power of 0.
POLYNOMIAL, ONE, X_8 = 0xEDB88320, 1 << 31, 1 << 23


class Piece(NamedTuple):
    """A text that is kept compressed, with the text's own size and checksum."""

    deflated: bytes
    size: int
    crc: int


def packed(text: bytes) -> Piece:
    """Compress a text that is to be sent more than once."""
    return Piece(deflate(text), len(text), zlib.crc32(text))


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

    def packed(self, piece: Piece) -> bytes:
        """Return a text that is kept as a piece."""
        self._crc = _times(_power(piece.size), self._crc) ^ piece.crc
        self._size += piece.size
        return piece.deflated

    def tail(self) -> bytes:
        """Return the end, with the checksum."""
        return LAST_BLOCK + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")

    def _count(self, text: bytes) -> None:
        self._crc = zlib.crc32(text, self._crc)
        self._size += len(text)


def _times(a: int, b: int) -> int:
    """Multiply two polynomials."""
    product = 0
    while a:
        if a & ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=1024)  # texts that are kept keep their sizes
def _power(size: int) -> int:
    """Return x to the power of 8 times `size`: what stands before so many bytes is multiplied by it."""
    result = ONE
    for place in range(size.bit_length()):
        if size >> place & 1:
            result = _times(_square(place), result)
    return result


@cache
def _square(times: int) -> int:
    """Return x to the power of 8, squared so many times."""
    if times == 0:
        return X_8
    root = _square(times - 1)
    return _times(root, root)
