"""The resolver of a container: messages, who is known, and how others are asked, on sockets of loopback."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.codec import encode
from sandbox.loop import Loop
from sandbox.network import dns, names, upstream
from sandbox.network.registry import Lease, Record
from sandbox.network.resolver import Resolver
from sandbox.network.zone import Zone
from tests.testbed import resolving
from tests.testbed.resolving import AAAA, MX, PTR, ask

REFUSED, SERVFAIL = 5, 2


@given(st.binary(max_size=600))
def test_any_bytes_are_a_question_or_none(data: bytes) -> None:
    """Whatever a container sends, it is understood or left alone, and the answer repeats its question."""
    for message in (data, os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + data):
        try:
            found = dns.parse(message)
        except ValueError:
            continue
        answer = dns.answer(found, [b"\1\2\3\4"] * 40, room=512)
        assert answer[:2] == message[:2]
        assert answer[12 : 12 + len(found.text)] == found.text
        assert len(answer) <= 512
        assert answer[2] & 2, "it has to say that not all had room"


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,63}", fullmatch=True), min_size=1, max_size=3))
def test_names_come_back(labels: list[str]) -> None:
    """A name in a question is the name that was asked, whatever its letters' size."""
    name = ".".join(labels)
    assert dns.parse(resolving.question(name.upper(), AAAA)).name == name
    assert dns.domain(name) + b"\0\1\0\1" == dns.parse(resolving.question(name)).text


@given(st.ip_addresses())
def test_addresses_backwards(address: Any) -> None:  # noqa: ANN401
    """The name under which an address is asked for gives the address, by the standard library's own spelling."""
    assert dns.reversed_address(address.reverse_pointer) == address.packed


@given(st.text(max_size=80))
def test_any_name_backwards(name: str) -> None:
    """What is no such name is no address of anybody."""
    for ending in (".in-addr.arpa", ".ip6.arpa"):
        assert isinstance(dns.reversed_address(name + ending), bytes)


def lease(address: str, *known: str, address6: str = "") -> Lease:
    """Return a place on a network."""
    return Lease(address, "02:42:0a:01:00:02", "cgv00", address6=address6, names=known)


def save(root: Path, name: str, leases: dict[str, Lease], **changes: Any) -> None:  # noqa: ANN401
    """Write a network as the registry does: another file each time."""
    record = Record(name, "id", 0.0, "cgscope-1234567", "10.1.0.0/24", "10.1.0.1", leases, **changes)
    path = root / "networks" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(encode(record)))
    path.with_suffix(".new").rename(path)


@contextlib.contextmanager
def resolver(root: Path, *servers: str) -> Iterator[tuple[str, int]]:
    """Serve the container `me` on loopback, at the same port for both kinds."""
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    where = udp.getsockname()
    for each in (udp, tcp):
        each.settimeout(0)
    loop = Loop()
    handed = {"udp": udp.detach(), "tcp": tcp.detach(), "dns": list(servers)}
    served = Resolver(handed, Zone(str(root), "me"), loop)
    reading, writing = os.pipe()
    loop.watch(reading, loop.stop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield where
    finally:
        os.write(writing, b"x")
        thread.join()
        served.close()
        loop.close()
        os.close(reading)
        os.close(writing)


@pytest.fixture
def two_networks(tmp_path: Path) -> Path:
    """Give the files of two networks that `me` is on, and of one that it is not."""
    me = {"me": lease("10.1.0.2", "me")}
    save(tmp_path, "one", {**me, "a": lease("10.1.0.3", "web", "WWW"), "b": lease("10.1.0.4", "db", "www")})
    save(tmp_path, "two", {**me, "c": lease("10.2.0.3", "six", address6="fd00::3")})
    save(tmp_path, "other", {"d": lease("10.3.0.3", "far")})
    save(tmp_path, "bridge", {**me, "e": lease("10.4.0.3", "old")})
    return tmp_path


def test_who_is_known(two_networks: Path) -> None:
    """Those on a created network with the container, by each name, with the network's too; and their addresses."""
    refusing = {"me": lease("10.1.0.2", "me")}
    for name in ("one", "two", "bridge"):
        text = json.loads((two_networks / "networks" / f"{name}.json").read_text())
        (two_networks / "networks" / f"{name}.json").write_text(json.dumps({**text, "internal": True}))
    with resolver(two_networks) as where:
        assert ask(where, "web") == ask(where, "Web.ONE", tcp=True) == (0, ["10.1.0.3"])
        code, both = ask(where, "www")
        assert (code, sorted(both)) == (0, ["10.1.0.3", "10.1.0.4"])
        assert ask(where, "me")[1][0] == "10.1.0.2"
        assert ask(where, "six", AAAA) == (0, ["fd00::3"])
        assert ask(where, "web", AAAA) == ask(where, "web", MX) == (0, [])
        assert ask(where, "3.0.1.10.in-addr.arpa", PTR) == (0, ["web.one"])
        for unknown in ("far", "old", "web.two", "example.test"):
            assert ask(where, unknown) == ask(where, unknown, tcp=True) == (REFUSED, []), unknown
        save(two_networks, "one", {**refusing, "b": lease("10.1.0.9", "db")}, internal=True)
        assert [ask(where, name) for name in ("db", "web")] == [(0, ["10.1.0.9"]), (REFUSED, [])]


def test_an_answer_without_room(tmp_path: Path) -> None:
    """An alias of a hundred containers is told whole over TCP, and cut in a datagram."""
    many = {str(number): lease(f"10.1.0.{number}", "all") for number in range(3, 103)}
    save(tmp_path, "one", {"me": lease("10.1.0.2", "me"), **many})
    with resolver(tmp_path) as where:
        assert 20 < len(ask(where, "all")[1]) < 32
        assert len(ask(where, "all", tcp=True)[1]) == 100


def test_others_are_asked(two_networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there, or refuses, is passed over; what nobody asked for is not believed."""

    def handle(query: bytes, tcp: bool) -> list[bytes]:
        right = resolving.reply(query, ["192.0.2.7"] if tcp else ["192.0.2.6"])
        if tcp:
            return [right]
        wrong = bytes([right[0] ^ 1]) + right[1:]
        asked_back = resolving.reply(query, ["192.0.2.66"], flags=0x100)
        other = resolving.reply(resolving.question("other.test"), ["192.0.2.66"])
        return [b"", b"short", wrong, asked_back, query[:2] + other[2:], right]

    def refuse(query: bytes, tcp: bool) -> list[bytes]:
        del tcp
        return [resolving.reply(query, [], flags=0x8185)]

    with resolving.server("127.0.0.2", handle, 0) as port:
        monkeypatch.setattr(upstream, "PORT", port)
        with (
            resolving.server("127.0.0.3", refuse, port),
            resolver(two_networks, "127.0.0.9", "banana", "127.0.0.3", "127.0.0.2") as where,
        ):
            assert ask(where, "example.test") == (0, ["192.0.2.6"])
            assert ask(where, "Example.Test", tcp=True) == (0, ["192.0.2.7"])
            assert ask(where, "web") == (0, ["10.1.0.3"])
        with resolving.server("127.0.0.3", refuse, port), resolver(two_networks, "127.0.0.3", "127.0.0.9") as where:
            assert ask(where, "example.test") == ask(where, "example.test", tcp=True) == (REFUSED, [])
    with resolver(two_networks, "127.0.0.9") as where:
        assert ask(where, "example.test") == ask(where, "example.test", tcp=True) == (SERVFAIL, [])


def test_a_hostile_client(two_networks: Path) -> None:
    """Garbage, halves of messages and many idle connections keep nobody else from an answer."""
    with resolver(two_networks) as where, contextlib.ExitStack() as stack:
        for data in (b"\0\x20" + b"x" * 31, b"\xff\xff", b"\0\0", b""):
            client = stack.enter_context(socket.create_connection(where))
            client.sendall(data)
        flood = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for _ in range(200):
            flood.sendto(os.urandom(40), where)
        assert ask(where, "web") == ask(where, "web", tcp=True) == (0, ["10.1.0.3"])
        many = [stack.enter_context(socket.create_connection(where)) for _ in range(40)]
        many[0].settimeout(60)
        assert many[0].recv(1) == b""  # it made room
        assert ask(where, "web") == ask(where, "web", tcp=True) == (0, ["10.1.0.3"])
        two = resolving.question("web"), resolving.question("db")
        with contextlib.suppress(OSError):
            many[-1].sendall(b"".join(len(each).to_bytes(2, "big") + each for each in two))


def test_the_machines_servers() -> None:
    """Each `nameserver` of a resolv.conf, as it is; the public ones where there is none."""
    assert names.servers("# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver\nnameserver ::1 x\n") == [
        "127.0.0.53",
        "::1",
    ]
    assert names.servers("") == ["8.8.8.8", "8.8.4.4"]


def test_networks_that_cannot_be_read(two_networks: Path) -> None:
    """A file that is no network, or none at all any more, takes nobody else's name away and ends nothing."""
    with resolver(two_networks, "127.0.0.9") as where:
        assert ask(where, "web") == (0, ["10.1.0.3"])
        (two_networks / "networks" / "aaa.json").write_text("{")
        assert ask(where, "six", AAAA) == (0, ["fd00::3"])
        (two_networks / "networks").rename(two_networks / "gone")
        assert ask(where, "web") == (0, ["10.1.0.3"])
