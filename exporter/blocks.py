"""The text of a page in blocks: a metric's samples are one, kept from scrape to scrape while they are the same.

A block that is likely to stay is kept compressed, as the piece of a gzip
stream that Prometheus asks for (exporter.pieces): a twentieth of the memory,
and decompressing it takes less time than writing it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.pieces import GzipStream, Piece, deflate, inflate, packed

__all__ = ["Block", "Page"]

PIECE = 128 << 10
"""Bytes that are sent at a time."""
WORTH_PACKING = 4096
STORED = 512
"""Bytes: what is shorter goes into a gzip stream as it is."""


class Block:
    """Some lines of a page, in UTF-8."""

    __slots__ = ("_packed", "_plain", "size")

    def __init__(self, plain: bytes) -> None:
        self._plain: bytes | None = plain
        self._packed: Piece | None = None
        self.size = len(plain)

    def settle(self) -> Block:
        """Keep it compressed alone, if that is worth it; not for two threads at once. Returns itself."""
        if self._plain is not None and self.size >= WORTH_PACKING:
            self._packed = packed(self._plain)
            self._plain = None
        return self

    def plain(self) -> bytes:
        """Return the lines."""
        plain = self._plain  # read once: another thread may be about to settle it
        if plain is None:
            assert self._packed is not None  # noqa: S101  for the type checker
            return inflate(self._packed.deflated, self.size)
        return plain

    def into(self, stream: GzipStream) -> bytes:
        """Return them as the next piece of a gzip stream."""
        if self._packed is not None:
            return stream.packed(self._packed)
        plain = self.plain()
        return stream.piece(plain, deflate(plain))


@dataclass(frozen=True, slots=True)
class Page:
    """The text of one scrape in one format. What has not changed it shares with the scrapes before."""

    blocks: list[Block]
    ok: bool

    @property
    def size(self) -> int:
        """Return the number of bytes."""
        return sum(block.size for block in self.blocks)

    def pieces(self) -> Iterator[bytes]:
        """Return the page piece by piece: it need not be held whole."""
        return _joined(block.plain() for block in self.blocks)

    def gzipped(self) -> Iterator[bytes]:
        """Return the page compressed; short blocks that follow one another as one."""
        return _joined(self._gzipped())

    def _gzipped(self) -> Iterator[bytes]:
        stream = GzipStream()
        yield stream.head
        short = b""
        for block in self.blocks:
            if block.size < WORTH_PACKING:
                short += block.plain()
                continue
            if short:
                yield _short(stream, short)
                short = b""
            yield block.into(stream)
        if short:
            yield _short(stream, short)
        yield stream.tail()


def _joined(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Join texts to pieces worth a system call each; one that is worth it by itself is not copied."""
    waiting: list[bytes] = []
    size = 0
    for text in texts:
        large = len(text) >= PIECE
        if waiting and (large or size >= PIECE):
            yield b"".join(waiting)
            waiting, size = [], 0
        if large:
            yield text
        else:
            waiting.append(text)
            size += len(text)
    yield b"".join(waiting)


def _short(stream: GzipStream, text: bytes) -> bytes:
    return stream.stored(text) if len(text) < STORED else stream.piece(text, deflate(text))
