"""Archives as they come: compressed or not, hashed while they are read, and read as members whose headers are bounded.

tarfile reads the members, and nothing else: what is made of them is unpack.py's
business. Its own limits are none: a header may ask for gigabytes of memory, and
a broken one in the middle would end the archive as if all had been read.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, Self, cast

from sandbox.errors import SandboxError

__all__ = ["Hashed", "archive_errors", "is_plain", "members", "open_archive", "place", "plain", "shown"]

CHUNK = 1 << 20
LARGEST_HEADER = 1 << 20
XZ_MEMORY = 256 << 20
MOST_DEPTH = 1000
EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# What tarfile raises for a header, and takes for the end of the archive unless it is the first one.
BROKEN = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
    tarfile.SubsequentHeaderError,  # type: ignore[attr-defined]
    ValueError,  # of the map of a sparse file
    IndexError,
)
GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
# A frame of zstd, or one to be skipped, with which pzstd and others begin (RFC 8878, 3.1).
ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60)))
ZSTD_WINDOW_LOG = 27  # 128 MiB of memory: all that zstd itself reads unless told otherwise


class Borrowed(io.RawIOBase):
    """A stream that reads another one, which is not closed with it."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a writable buffer
        """Read as a file does."""
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Hashed(Borrowed):
    """A stream that counts and hashes what is read of it."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__(source)
        self._hash = hashlib.sha256()
        self.count = 0

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a writable buffer
        """Read as a file does."""
        count = super().readinto(buffer)
        self._hash.update(memoryview(buffer)[:count])
        self.count += count
        return count

    def drain(self, most: int = -1) -> None:
        """Read to the end; more than `most` bytes are refused."""
        before = self.count
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            if 0 <= most < self.count - before:
                raise SandboxError(f"more than {most} bytes stand behind the end of the archive")

    @property
    def digest(self) -> str:
        """Return `sha256:` and the digest of what was read so far."""
        return f"sha256:{self._hash.hexdigest()}"


class _Xz(io.RawIOBase):
    """An xz stream that is not given all the memory it asks for, as lzma.LZMAFile would."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._part = self._new()

    @staticmethod
    def _new() -> Any:  # noqa: ANN401  lzma is imported late
        return importlib.import_module("lzma").LZMADecompressor(memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a writable buffer
        while True:
            fresh = b""
            if self._part.eof:
                fresh = (self._part.unused_data or self._source.read(CHUNK)).lstrip(b"\0")
                if not fresh:
                    return 0
                self._part = self._new()
            elif self._part.needs_input:
                fresh = self._source.read(CHUNK)
                if not fresh:
                    raise EOFError("the compressed data ends too early")
            data = self._part.decompress(fresh, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)


def plain(source: IO[bytes] | io.RawIOBase) -> IO[bytes]:
    """Return the stream without its compression (gzip, bzip2, xz, zstd)."""
    buffered = io.BufferedReader(Borrowed(cast("IO[bytes]", source)), CHUNK)
    magic = buffered.peek(6)[:6]
    if magic.startswith(GZIP):
        return cast("IO[bytes]", importlib.import_module("gzip").GzipFile(fileobj=buffered))
    if magic.startswith(BZIP2):
        return cast("IO[bytes]", importlib.import_module("bz2").BZ2File(buffered))
    if magic.startswith(XZ):
        return io.BufferedReader(_Xz(buffered), CHUNK)
    if magic.startswith(ZSTD):
        return _zstd(buffered)
    return buffered


def _zstd(source: IO[bytes]) -> IO[bytes]:
    """Return what a zstd stream holds, by Python's own module (3.14) or its backport."""
    try:
        zstd = importlib.import_module("compression.zstd")
    except ImportError:
        zstd = importlib.import_module("backports.zstd")
    options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    return cast("IO[bytes]", zstd.ZstdFile(source, options=options))


def is_plain(file: IO[bytes]) -> bool:
    """Tell whether a seekable file is not compressed."""
    magic = file.read(6)
    file.seek(0)
    return not magic.startswith((GZIP, BZIP2, XZ, *ZSTD))


class Member(tarfile.TarInfo):
    """A member whose extended headers are of a sane size, and whose broken header is an error.

    By what every header goes through: newer ones of tarfile, also in Debian's updates of 3.11, parse it by a method of
    their own, and not by frombuf().
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read a member with all its headers."""
        stream: Any = archive.fileobj
        if not isinstance(stream, _Header):
            archive.fileobj = cast("Any", _Header(stream))
        try:
            member = super().fromtarfile(archive)
        except BROKEN as error:
            raise tarfile.ReadError(f"broken header: {error}") from None
        finally:
            archive.fileobj = stream
        if member.size < 0:
            raise tarfile.ReadError("a member of negative size")
        return member

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Read what stands behind one header: the method that tarfile has for subclasses to extend."""
        if self.type in EXTENDED and not 0 <= self.size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"an extended header of {self.size} bytes")
        return cast("tarfile.TarInfo", super()._proc_member(archive))  # type: ignore[misc]


class _Header:
    """The stream of an archive while the headers of one member are read, and a map, which may be as long as a file."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401  a file, or tarfile's own kind of stream
        self._stream, self._left = stream, 2 * LARGEST_HEADER
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        """Read as the stream does."""
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"a header of more than {2 * LARGEST_HEADER} bytes")
        return cast("bytes", self._stream.read(size))


class archive_errors:  # noqa: N801  used as a statement
    """Turn what a broken archive raises into one line that names it."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raise SandboxError for what is the archive's fault."""
        broken = (tarfile.TarError, EOFError, zlib.error, RecursionError, UnicodeError, OverflowError)
        name = type(error).__name__
        if isinstance(error, broken) or name in ("BadGzipFile", "LZMAError", "ZstdError"):
            text = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise SandboxError(f"{self._what}: not a sound archive: {text}") from None
        if isinstance(error, OSError) and error.errno is None:  # bz2's "Invalid data stream"
            raise SandboxError(f"{self._what}: not a sound archive: {error}") from None


def members(stream: IO[bytes] | io.RawIOBase) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the members of a tar stream in order, each with the archive to read its data from."""
    source = cast("IO[bytes]", stream)
    with tarfile.open(fileobj=source, mode="r|", tarinfo=Member, encoding="utf-8", bufsize=CHUNK) as tar:
        for member in tar:
            yield tar, member
            tar.members.clear()  # type: ignore[attr-defined]  # a million of them would stay in memory
            _skip(cast("IO[bytes]", tar.fileobj), cast("Any", tar).offset)


def _skip(stream: IO[bytes], end: int) -> None:
    """Read on to the next member: behind the end of a stream tarfile would go on for as long as a header says."""
    while (left := end - stream.tell()) > 0:
        if not stream.read(min(left, CHUNK)):
            raise tarfile.ReadError("unexpected end of data")


def open_archive(file: IO[bytes]) -> tarfile.TarFile:
    """Open an uncompressed, seekable archive, whose members are looked up by name."""
    return tarfile.open(fileobj=file, mode="r:", tarinfo=Member, encoding="utf-8")


def shown(name: str) -> str:
    """Return a member's name as an error shows it."""
    return repr(name if len(name) <= 100 else f"{name[:100]}...")  # noqa: PLR2004


def place(name: str) -> str:
    """Return a member's path without leading, doubled and trailing slashes; "" is the root itself."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise SandboxError(f"the archive's member {shown(name)} leads out of its root: refused")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if len(parts) > MOST_DEPTH:
        raise SandboxError(f"the archive's member {shown(name)} is nested too deeply: refused")
    if "\0" in name:
        raise SandboxError(f"the archive's member {shown(name)} has a NUL byte in its name")
    return "/".join(parts)
