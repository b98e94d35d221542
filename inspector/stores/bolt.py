"""bbolt databases: containerd's <root>/io.containerd.metadata.v1.bolt/meta.db, Podman's libpod/bolt_state.db.

The only place where containerd writes down which image a container of `ctr`
or nerdctl was made from, and Podman what a pod is called. bbolt is a tree of pages in one file: two meta
pages at the start (the valid one with the higher transaction wins), branch
pages that lead to leaf pages, and buckets that are values of their parent's
leaves. containerd goes on writing while we read, so what we have may be torn:
a change never overwrites a page of the state before it, and the second change
after may. Format: go.etcd.io/bbolt, internal/common/page.go and bucket.go.
containerd's buckets: core/metadata/buckets.go, v1/<namespace>/containers/<id>/{image,createdat,labels}.
Podman's, before version 5 (inspector.stores.sqlite): libpod/boltdb_state_internal.go, ctr/<id>/pod-id and
id-registry/<id>.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial

from inspector.errors import ParseError
from inspector.kernel.named import NamedTuple
from inspector.stores.facts import MOST_LABELS, MOST_TEXT, Facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["META_BYTES", "Database", "Entries", "answer", "parse_containerd", "parse_podman", "torn"]

MAGIC = 0xED0CDAED
PAGE_HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
META = struct.Struct("<IIIIQQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, high page, txid, sum
LEAF = struct.Struct("<IIII")  # flags, position, key size, value size
BRANCH = struct.Struct("<IIQ")  # position, key size, page
BUCKET = struct.Struct("<QQ")  # root page (0: the page follows inline), sequence
BRANCH_PAGE, LEAF_PAGE, META_PAGE = 1, 2, 4
BUCKET_VALUE = 1
MOST_PAGES = 500
PAGE_SIZES = (512, 1 << 16)
VERSION = 2
META_BYTES = PAGE_SIZES[1] + PAGE_HEADER.size + META.size  # in which both meta pages are, whatever the page size
FNV_OFFSET, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
GO_TIME = struct.Struct(">BqiH")  # version, seconds since the year 1, nanoseconds, offset: time.Time's MarshalBinary
YEAR_1 = -62135596800
Entries = dict[bytes, tuple[int, bytes]]  # by key: flags and value


class Meta(NamedTuple):
    """One state of the database: the transaction that wrote it, the size of a page, the page of the root bucket."""

    txid: int
    page_size: int
    root: int


def _metas(data: bytes) -> list[Meta]:
    """Find the meta pages, whose distance is the page size, that are whole; the newest first."""
    found = []
    for offset in (0, *(1 << bits for bits in range(9, 17))):
        start = offset + PAGE_HEADER.size
        if start + META.size > len(data):
            break
        flags = PAGE_HEADER.unpack_from(data, offset)[1]
        magic, version, size, _, root, _, _, _, txid, checksum = META.unpack_from(data, start)
        fits = flags & META_PAGE and magic == MAGIC and version == VERSION and offset in (0, size)
        if fits and PAGE_SIZES[0] <= size <= PAGE_SIZES[1] and checksum == _fnv(data[start : start + META.size - 8]):
            found.append(Meta(txid, size, root))
    if not found:
        raise ParseError("meta.db", "not a bbolt database")
    return sorted(found, reverse=True)


def _fnv(data: bytes) -> int:
    """Return the 64-bit FNV-1a hash, bbolt's checksum of a meta page."""
    found = FNV_OFFSET
    for byte in data:
        found = (found ^ byte) * FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return found


def torn(data: bytes, since: bytes) -> bool:
    """Tell whether pages of `data` may have been overwritten as it was read, by what the meta pages are `since`."""
    return _metas(since)[0].txid - _metas(data)[0].txid > 1


def answer(data: bytes, question: Callable[[Database], T], pages: int = MOST_PAGES) -> T:
    """Put a question to the newest state of a database or, where it is torn, the one before; ParseError if both are."""
    metas = _metas(data)
    for meta in metas[:-1]:
        try:
            return question(Database(data, meta, pages))
        except ParseError:
            continue
    return question(Database(data, metas[-1], pages))


class Database:
    """A bbolt file in memory. Whatever the bytes, nothing but ParseError is raised, and that in bounded time."""

    def __init__(self, data: bytes, meta: Meta, pages: int) -> None:
        self.data = data
        self.page_size, self.root = meta.page_size, meta.root
        self.pages_left = pages

    def bucket(self, *names: bytes, within: Entries | None = None) -> Entries:
        """Return what is in a bucket of buckets, from the root or another one on; {} where there is none."""
        entries = dict(self._entries(self.data, self.root * self.page_size)) if within is None else within
        for name in names:
            flags, value = entries.get(name, (0, b""))
            if not flags & BUCKET_VALUE or len(value) < BUCKET.size:
                return {}
            page, _ = BUCKET.unpack_from(value)
            # A small bucket stands as a whole, with the header of a page, in its parent's value.
            place = (value, BUCKET.size) if page == 0 else (self.data, page * self.page_size)
            entries = dict(self._entries(*place))
        return entries

    def _entries(self, data: bytes, offset: int) -> Iterator[tuple[bytes, tuple[int, bytes]]]:
        """Yield the entries of the leaves below one page: a tree that loops, as only a forged one can, ends."""
        self.pages_left -= 1
        if self.pages_left < 0:
            raise ParseError("meta.db", "too many pages")
        try:
            number, flags, count, _ = PAGE_HEADER.unpack_from(data, offset)
            if not flags & (LEAF_PAGE | BRANCH_PAGE) or (data is self.data and number * self.page_size != offset):
                raise ParseError("meta.db", f"page {number} with flags {flags} at {offset}")
            element = LEAF if flags & LEAF_PAGE else BRANCH
            for at in range(offset + PAGE_HEADER.size, offset + PAGE_HEADER.size + count * element.size, element.size):
                if element is BRANCH:
                    yield from self._entries(self.data, BRANCH.unpack_from(data, at)[2] * self.page_size)
                    continue
                kind, position, key_size, value_size = LEAF.unpack_from(data, at)
                value = at + position + key_size
                yield data[at + position : value], (kind, data[value : value + value_size])
        except (struct.error, OverflowError, RecursionError) as error:
            raise ParseError("meta.db", "page cut off") from error


def parse_containerd(data: bytes, identifier: str, *, namespace: str) -> Facts:
    """Look a container up in meta.db: its image's name, its labels, and the name that nerdctl notes among them."""
    return answer(data, partial(_facts, identifier=identifier, namespace=namespace))


def _facts(database: Database, identifier: str, namespace: str) -> Facts:
    where = (b"v1", os.fsencode(namespace), b"containers", os.fsencode(identifier))
    entries = database.bucket(*where)
    image = entries.get(b"image", (0, b""))[1]
    found = list(database.bucket(*where, b"labels").items())[:MOST_LABELS]
    labels = {
        key.decode(errors="replace")[:MOST_TEXT]: value.decode(errors="replace")[:MOST_TEXT]
        for key, (_, value) in found
    }
    return Facts(
        name=labels.get("nerdctl/name", ""),
        image=image.decode(errors="replace")[:MOST_TEXT],
        labels=labels,
        created=_moment(entries.get(b"createdat", (0, b""))[1]),
    )


def _moment(value: bytes) -> float | None:
    """Return a time as Go writes it in binary, in seconds since the epoch; None for anything else."""
    if len(value) < GO_TIME.size:
        return None
    _, seconds, nanoseconds, _ = GO_TIME.unpack_from(value)
    return float(max(0, seconds + YEAR_1)) + nanoseconds / 1e9 if seconds > -YEAR_1 else None


def parse_podman(data: bytes, identifier: str) -> Facts:
    """Look up in bolt_state.db which pod a container is in: its id and its name."""
    return answer(data, partial(_pod, identifier=os.fsencode(identifier)))


def _pod(database: Database, identifier: bytes) -> Facts:
    pod = database.bucket(b"ctr", identifier).get(b"pod-id", (0, b""))[1]
    name = database.bucket(b"id-registry").get(pod, (0, b""))[1] if pod else b""
    return Facts(pod=name.decode(errors="replace")[:MOST_TEXT], pod_id=pod.decode(errors="replace")[:MOST_TEXT])
