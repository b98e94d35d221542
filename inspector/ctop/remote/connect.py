"""A machine through its exporter's event stream: a thread reads it, a call gives the newest document.

When the connection is lost the last picture stays, with a problem that says
since when; it is made anew by itself, at first after a second, then less often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from inspector.ctop.remote.http import MOST_BYTES, Address, RemoteError, Server, parsed
from inspector.ctop.shape import checked
from inspector.ctop.source import Secondhand
from inspector.schema import Document

__all__ = ["Exporter"]

LEAST, MOST = 0.5, 60.0  # seconds between two documents that an exporter gives
QUIET_SECONDS = 40.0  # it says something every 15
EVENT_SECONDS = 30.0  # from the first byte of an event to the last
PATIENCE = 10.0  # for a document that is due
FIRST_PATIENCE = 30.0  # a large machine that is busy takes its time for the first
BACKOFF = (1.0, 2.0, 5.0, 10.0, 30.0)


class Exporter(Secondhand):
    """A source that reads the stream of the exporter at `where`, a document every `delay` seconds or so."""

    through = "an exporter"

    def __init__(
        self, where: Address, delay: float, *, authority: str | None = None, insecure: bool = False
    ) -> None:
        self.focus: str | None = None
        self._where = where
        self._interval = min(max(round(delay * 2) / 2, LEAST), MOST)
        self._server = Server(where, authority=authority, insecure=insecure)
        self._change = threading.Condition()
        self._latest: Document | None = None
        self._fresh = False
        self._problem: str | None = None
        self._since = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def begin(self) -> None:
        """Start to read: the first document with rates is the first that a call gives."""
        self._start()
        with self._change:
            self._wait_for_news()
            self._fresh = False

    def __call__(self) -> Document:
        """Return the newest document, and wait for it a while; RemoteError while there has been none at all."""
        self._start()
        with self._change:
            self._wait_for_news()
            self._fresh = False
            if self._latest is None:
                raise RemoteError(str(self._problem))
            if self._problem is None:
                return self._latest
            since = time.strftime("%H:%M:%S", time.localtime(self._since))
            return {**self._latest, "problems": [f"old since {since}: {self._problem}", *self._latest["problems"]]}

    def _start(self) -> None:
        if not self._thread.is_alive() and not self._closed:
            self._thread.start()

    def _wait_for_news(self) -> None:
        """Wait for a document, or for a problem that is not told yet; no longer than the next document may take."""
        patience = FIRST_PATIENCE if self._latest is None else 0 if self._problem else PATIENCE
        limit = self._interval + patience
        told = self._problem if self._latest is not None else None  # a new one is told of at once
        self._change.wait_for(lambda: self._fresh or self._closed or self._problem != told, limit)
        if not self._fresh and self._problem is None:
            self._fail(f"{self._where.shown}: no picture within {limit:g} seconds")

    def _fail(self, text: str) -> None:
        if self._problem is None:
            self._since = time.time()
        self._problem = text

    def _run(self) -> None:
        tries = 0
        while not self._closed:
            try:
                for document in self._documents():
                    tries = 0
                    with self._change:
                        self._latest, self._fresh, self._problem = document, True, None
                        self._change.notify_all()
                raise RemoteError(f"{self._where.shown}: the stream has ended")  # noqa: TRY301  as every other end
            except RemoteError as error:
                with self._change:
                    self._fail(str(error))
                    self._change.notify_all()
                    self._change.wait_for(lambda: self._closed, BACKOFF[min(tries, len(BACKOFF) - 1)])
                tries += 1

    def _documents(self) -> Iterator[Document]:
        """Yield the documents of one connection."""
        path = f"/api/v1/stream?interval={self._interval:g}"
        with self._server.stream(path, seconds=None, quiet=QUIET_SECONDS) as (status, pieces):
            if status != 200:  # noqa: PLR2004
                raise RemoteError(f"{self._where.shown}: refused (HTTP {status})")
            for name, data in events(pieces, self._where):
                found = parsed(data, self._where)
                if name == "problem":
                    error = found.get("error") if isinstance(found, dict) else None
                    with self._change:
                        self._fail(f"{self._where.shown}: {str(error)[:200]}")
                        self._change.notify_all()
                    continue
                try:
                    document = checked(found)
                except ValueError as error:
                    raise RemoteError(f"{self._where.shown}: {error}: is it an exporter of cgscope?") from error
                yield document

    def close(self) -> None:
        """End the connection and the thread."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._server.close()
        if self._thread.is_alive():
            self._thread.join(timeout=1)


def events(pieces: Iterator[bytes], where: Address) -> Iterator[tuple[str, bytes]]:
    """Yield name and data of each event of a stream (HTML's server-sent events); RemoteError when one is too much."""
    buffer, searched = bytearray(), 0
    name, data, began = "message", bytearray(), time.monotonic()
    for piece in pieces:
        if not buffer and not data:
            began = time.monotonic()
        buffer += piece
        start = 0
        while (end := buffer.find(b"\n", searched)) >= 0:
            line = bytes(buffer[start:end]).rstrip(b"\r")
            start = searched = end + 1
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if not line:
                if data:
                    yield name, bytes(data[:-1])
                name, data = "message", bytearray()
            elif field == b"data":
                data += value + b"\n"
            elif field == b"event":
                name = value.decode("ascii", "replace")
        del buffer[:start]
        searched = len(buffer)
        if len(buffer) + len(data) > MOST_BYTES:
            raise RemoteError(f"{where.shown}: an event is larger than {MOST_BYTES >> 20} MiB")
        if (buffer or data) and time.monotonic() - began > EVENT_SECONDS:
            raise RemoteError(f"{where.shown}: an event took longer than {EVENT_SECONDS:g} seconds")
