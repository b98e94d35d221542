"""A client and a server of DNS for tests, in a few lines of their own (RFC 1035)."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

A, PTR, MX, AAAA = 1, 12, 15, 28
PATIENCE_SECONDS = 60.0


def question(name: str, kind: int = A) -> bytes:
    """Return a query's bytes, with a number by chance."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return os.urandom(2) + struct.pack("!5H", 0x100, 1, 0, 0, 0) + labels + struct.pack("!xHH", kind, 1)


def reply(query: bytes, addresses: list[str], *, flags: int = 0x8180) -> bytes:
    """Return what answers a query with these IPv4 addresses."""
    records = b"".join(struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + socket.inet_aton(each) for each in addresses)
    return query[:2] + struct.pack("!5H", flags, 1, len(addresses), 0, 0) + query[12:] + records


def values(query: bytes, answer: bytes) -> tuple[int, list[str]]:
    """Return the code of an answer, and its values as text."""
    identity, flags, _, count, _, _ = struct.unpack_from("!6H", answer)
    assert (identity, flags >> 15) == (int.from_bytes(query[:2], "big"), 1)
    found, at = [], len(query)
    for _ in range(count):
        kind, _, _, size = struct.unpack_from("!HHIH", answer, at + 2)
        data = answer[at + 12 : at + 12 + size]
        at += 12 + size
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        found.append(socket.inet_ntop(family, data) if family else _name(data))
    return flags & 0xF, found


def _name(data: bytes) -> str:
    labels = []
    while data[0]:
        labels.append(data[1 : 1 + data[0]].decode())
        data = data[1 + data[0] :]
    return ".".join(labels)


def ask(server: tuple[str, int], name: str, kind: int = A, *, tcp: bool = False) -> tuple[int, list[str]]:
    """Ask a server: the code, and the values."""
    query = question(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(server)
        client.sendall(len(query).to_bytes(2, "big") + query if tcp else query)
        answer = client.recv(65535)
        while tcp and len(answer) < 2 + int.from_bytes(answer[:2], "big"):
            answer += client.recv(65535)
    return values(query, answer[2:] if tcp else answer)


@contextlib.contextmanager
def server(address: str, handle: Callable[[bytes, bool], list[bytes]], port: int = 53) -> Iterator[int]:
    """Serve datagrams and connections on one port: `handle` gets a query, and whether it came over TCP."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, port))
    tcp = socket.create_server((address, udp.getsockname()[1]))
    over = threading.Event()

    def datagrams() -> None:
        while not over.is_set():
            query, peer = udp.recvfrom(65535)
            for each in handle(query, False) if query else ():  # noqa: FBT003
                udp.sendto(each, peer)

    def connections() -> None:
        while not over.is_set():
            try:
                client, _ = tcp.accept()
            except OSError:  # it is over
                return
            with client:
                query = client.recv(65535)
                for each in handle(query[2:], True) if query else ():  # noqa: FBT003
                    client.sendall(len(each).to_bytes(2, "big") + each)

    threads = [threading.Thread(target=each) for each in (datagrams, connections)]
    for each in threads:
        each.start()
    try:
        yield udp.getsockname()[1]
    finally:
        over.set()
        udp.connect(udp.getsockname())
        udp.send(b"")
        tcp.shutdown(socket.SHUT_RDWR)
        for each in threads:
            each.join()
        udp.close()
        tcp.close()
