"""--web.listen-address."""

from __future__ import annotations

import socket

import pytest

from exporter.address import bind, is_loopback, parse_address, url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:10071", ("127.0.0.1", 10071)),
        ("[::1]:10071", ("::1", 10071)),
        ("localhost:0", ("localhost", 0)),
        (":10071", ("", 10071)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_addresses_as_prometheus_exporters_write_them(text: str, expected: tuple[str, int]) -> None:
    """Host and port, IPv6 in brackets, no host for every address."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "10071", "127.0.0.1", "127.0.0.1:", "::1:10071", "[::1]", "a:b", "a:99999", "a:-1", "a b:1", "a:\u0661"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Anything else is a ValueError whose text can be shown."""
    with pytest.raises(ValueError, match="is not"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_sockets(host: str) -> None:
    """A socket on loopback, IPv4 or IPv6, is known to be one, and a client gets to it."""
    with bind(host, 0) as sock:
        assert is_loopback(sock)
        assert url(sock).startswith("http://")
        socket.create_connection(sock.getsockname()[:2], timeout=5).close()


def test_the_end_of_an_answer_is_not_held_back() -> None:
    """Connections send small writes at once (TCP_NODELAY), not when what came before them was acknowledged."""
    with bind("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname(), timeout=5):
        served, _ = sock.accept()
        with served:
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_an_oserror() -> None:
    """A second socket on the same port cannot be had."""
    with bind("127.0.0.1", 0) as sock, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", sock.getsockname()[1])
