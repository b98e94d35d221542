"""The proxy of published ports, on loopback: what comes in goes on, in both directions, to the last byte."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.errors import SandboxError
from sandbox.loop import Loop
from sandbox.network import listening
from sandbox.network.ports import Port
from sandbox.network.proxy import Proxy

PATIENCE_SECONDS = 60.0
HOME = "127.0.0.1"


@contextlib.contextmanager
def proxied(protocol: str, target: int) -> Iterator[int]:
    """Serve a free port of loopback by a proxy in a thread, and give its number."""
    (listener,) = listening.bind([Port(target, protocol, HOME)])
    loop = Loop()
    stop, stopping = os.pipe()
    loop.watch(stop, loop.stop)
    proxy = Proxy({"address": HOME, "listeners": [(listener.socket.detach(), protocol, target)]}, loop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield listener.number
    finally:
        os.write(stopping, b"x")
        thread.join(PATIENCE_SECONDS)
        proxy.close()
        loop.close()
        os.close(stop)
        os.close(stopping)


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection after another in a thread, and give the port."""
    server = socket.create_server((HOME, 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(PATIENCE_SECONDS)
                    handle(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(PATIENCE_SECONDS)


def read_all(connection: socket.socket) -> bytes:
    """Return everything up to the end."""
    found = b""
    while chunk := connection.recv(1 << 20):
        found += chunk
    return found


def test_half_close() -> None:
    """The end of what a client sends reaches the server, which can still answer: all arrives, and then the end."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(read_all(connection)[::-1])

    asked = os.urandom(3_000_000)
    with serving(answer) as port, proxied("tcp", port) as public:
        for data in (b"hello", asked):
            with socket.create_connection((HOME, public), PATIENCE_SECONDS) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == data[::-1]


def test_a_reader_that_is_slow_holds_the_sender() -> None:
    """What nobody reads is not read from its sender either: the proxy keeps 64 KiB of it, not all."""
    go_on = threading.Event()

    def answer(connection: socket.socket) -> None:
        go_on.wait(PATIENCE_SECONDS)
        connection.sendall(str(len(read_all(connection))).encode())

    with (
        serving(answer) as port,
        proxied("tcp", port) as public,
        socket.create_connection((HOME, public), PATIENCE_SECONDS) as client,
    ):
        client.settimeout(0.2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 30:
                sent += client.send(bytes(1 << 20))
        assert sent < 1 << 30
        go_on.set()
        client.settimeout(PATIENCE_SECONDS)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == str(sent).encode()


def test_nobody_listens() -> None:
    """A connection that the container refuses ends; the port goes on being served, also for one that is reset."""
    with socket.create_server((HOME, 0)) as unused:
        port = unused.getsockname()[1]
    with proxied("tcp", port) as public:
        for _ in range(3):
            client = socket.create_connection((HOME, public), PATIENCE_SECONDS)
            with client, contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
        with socket.create_server((HOME, port)) as server:
            for _ in range(2):
                client = socket.create_connection((HOME, public), PATIENCE_SECONDS)
                connection, _ = server.accept()
                connection.settimeout(PATIENCE_SECONDS)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                with connection, contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""


def test_many_connections_at_once() -> None:
    """Connections do not wait for each other."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"for " + connection.recv(100))

    with serving(answer) as port, proxied("tcp", port) as public:
        clients = [socket.create_connection((HOME, public), PATIENCE_SECONDS) for _ in range(50)]
        for number, client in reversed(list(enumerate(clients))):
            client.sendall(str(number).encode())
        for number, client in enumerate(clients):
            with client:
                assert read_all(client) == f"for {number}".encode()


def test_datagrams_are_kept_apart() -> None:
    """Each client of a UDP port gets its own answers, by a flow of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOME, 0))
        server.settimeout(PATIENCE_SECONDS)
        with proxied("udp", server.getsockname()[1]) as public:
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
            peers = set()
            for number, client in enumerate(clients):
                client.settimeout(PATIENCE_SECONDS)
                client.connect((HOME, public))
                client.send(b"")  # an empty datagram is one too
                assert server.recvfrom(65536)[0] == b""
                client.send(bytes([number]) * 20_000)
                data, peer = server.recvfrom(65536)
                peers.add(peer)
                server.sendto(data[:10], peer)
            assert len(peers) == 5
            for number, client in enumerate(clients):
                with client:
                    assert client.recv(65536) == bytes([number]) * 10


def test_a_container_that_moves() -> None:
    """Datagrams and connections go to where the container is: also the next ones of a client that was there before."""
    other = "127.0.0.2"
    with socket.create_server((HOME, 0)) as here, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        port = here.getsockname()[1]
        echo.bind((other, port))
        (tcp,), (udp,) = (listening.bind([Port(port, protocol, HOME)]) for protocol in ("tcp", "udp"))
        loop = Loop()
        handed = [(each.socket.detach(), each.port.protocol, port) for each in (tcp, udp)]
        proxy = Proxy({"address": "", "listeners": handed}, loop)
        with socket.create_connection((HOME, tcp.number), PATIENCE_SECONDS) as client:
            loop.watch(client.fileno(), loop.stop)
            loop.run()
            assert client.recv(1) == b""
            loop.unwatch(client.fileno())
        proxy.move(HOME)
        with (
            socket.create_connection((HOME, tcp.number), PATIENCE_SECONDS),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
        ):
            loop.watch(here.fileno(), loop.stop)
            loop.run()
            here.accept()[0].close()
            loop.unwatch(here.fileno())
            asking.sendto(b"a", (HOME, udp.number))
            proxy.move(other)
            asking.sendto(b"b", (HOME, udp.number))
            loop.watch(echo.fileno(), loop.stop)
            loop.run()
            assert echo.recv(10) in (b"a", b"b")
        proxy.close()
        loop.close()


def test_a_port_that_is_taken() -> None:
    """Binding is all or nothing, and says in Docker's words what is in the way."""
    with socket.create_server((HOME, 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"Bind for {HOME}:{number} failed: port is already allocated"):
            listening.bind([Port(80, "tcp", HOME), Port(81, "tcp", HOME, number, number)])
    with pytest.raises(SandboxError, match=r"listen tcp 192.0.2.250:80: bind: cannot assign requested address"):
        listening.bind([Port(80, "tcp", "192.0.2.250", 80, 80)])
    found: Any = listening.bind([Port(80, "tcp", HOME), Port(53, "udp", HOME)])
    assert {each.number > 0 for each in found} == {True}
    listening.close(found)
