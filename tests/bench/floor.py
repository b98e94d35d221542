"""What no scrape does without: its files are read, and a page is sent. Here both are done for their own sake."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.bench.bench_inspector import best, drain, peek

__all__ = ["Floor", "transfer"]

PIECE = 128 << 10  # bytes, as the exporter sends


class Floor:
    """The files of a scrape: descriptors that it keeps open, and paths that it opens, reads and closes."""

    def __init__(self, descriptors: Sequence[int], paths: Sequence[str]) -> None:
        self._descriptors = descriptors
        self._paths = paths

    def read(self) -> None:
        """Read them all."""
        for descriptor in self._descriptors:
            peek(descriptor)
        for path in self._paths:
            drain(path)

    def kinds(self) -> list[tuple[str, int, float]]:
        """Return of each kind of file how many there are and microseconds a read, the dearest in sum first."""
        reads: dict[str, list[Callable[[], bytes]]] = defaultdict(list)
        for descriptor in self._descriptors:
            kind = _kind(os.readlink(f"/proc/self/fd/{descriptor}"))
            reads[kind].append(lambda descriptor=descriptor: peek(descriptor))  # type: ignore[misc]
        for path in self._paths:
            reads[f"{_kind(path)} (opened)"].append(lambda path=path: drain(path))  # type: ignore[misc]
        found = [
            (kind, len(those), best(lambda those=those: [read() for read in those], 5) * 1000 / len(those))  # type: ignore[misc]
            for kind, those in reads.items()
        ]
        return sorted(found, key=lambda one: -one[1] * one[2])


def _kind(path: str) -> str:
    """Return what a file is called whoever it is about: memory.stat, /proc/PID/net/dev."""
    process = re.search(r"/proc/[0-9]+(/.*)", path)
    return f"/proc/PID{process[1]}" if process else os.path.basename(path)


@contextmanager
def transfer(page: bytes, before: Callable[[], object] = list) -> Iterator[int]:
    """Answer every request on a port of loopback with a page that is ready, over one connection; gives the port.

    Work that is to be done `before` is done by the process that answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = os.fork()
        if child == 0:
            try:
                _send(listening, page, before)
            finally:
                os._exit(0)
        try:
            yield listening.getsockname()[1]
        finally:
            os.kill(child, signal.SIGKILL)  # nobody may have connected
            os.waitpid(child, 0)


def _send(listening: socket.socket, page: bytes, before: Callable[[], object]) -> None:
    connection, _ = listening.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page)
    pieces = [head, *(page[start : start + PIECE] for start in range(0, len(page), PIECE))]
    while connection.recv(PIECE):
        before()
        for piece in pieces:
            connection.sendall(piece)
