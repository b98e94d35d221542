"""The name server of containers on a created network, asked by real programs, beside Docker's."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.root import sandboxing
from tests.testbed import netbed, resolving
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.netbed import NetworkBed
from tests.testbed.resolving import AAAA, PTR

pytestmark = pytest.mark.root

RESOLVER = ("127.0.0.11", 53)
REFUSED = 5
# A name server in the container, on every address it has.
OWN_SERVER = """
import socket, sys
tcp = socket.create_server(("", 53))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 53))
print("serves", flush=True)
udp.recv(100)
"""


def sleeper(bed: NetworkBed, name: str, *options: str) -> None:
    """Start a container that does nothing."""
    bed("run", "-d", "--name", name, "--rootfs", "/", *options, "sleep", "600")


@contextlib.contextmanager
def within(bed: NetworkBed, name: str) -> Iterator[None]:
    """Be in a container's network."""
    with netbed.inside(bed.inspect(name)["State"]["Pid"]):
        yield


def test_who_comes_and_goes(bed: NetworkBed) -> None:
    """A running container finds one that starts later, by each of its names, by IPv6, and at its next address."""
    bed("network", "create", "--ipv6", "--subnet", "10.81.0.0/24", "one")
    sleeper(bed, "client", "--net", "one")
    sleeper(bed, "web", "--net", "one", "--network-alias", "www")
    text = bed.inspect("web")
    place = text["NetworkSettings"]["Networks"]["one"]
    short = text["Id"][:12]
    with within(bed, "client"):
        for name in ("web", "www", short, "web.one", "WEB"):
            assert resolving.ask(RESOLVER, name) == (0, [place["IPAddress"]]), name
        assert resolving.ask(RESOLVER, "www", AAAA, tcp=True) == (0, [place["GlobalIPv6Address"]])
        reverse = ".".join(reversed(place["IPAddress"].split("."))) + ".in-addr.arpa"
        assert resolving.ask(RESOLVER, reverse, PTR) == (0, ["web.one"])
    bed("stop", "-t", "0", "web")
    sleeper(bed, "thief", "--net", "one", "--network-alias", "www")
    bed("start", "web")
    bed("rename", "web", "shop")
    moved = bed.inspect("shop")["NetworkSettings"]["IPAddress"]
    assert moved != place["IPAddress"]
    with within(bed, "client"):
        assert resolving.ask(RESOLVER, "shop") == (0, [moved])
        assert sorted(resolving.ask(RESOLVER, "www")[1]) == sorted([moved, place["IPAddress"]])
        assert resolving.ask(RESOLVER, "web")[1] != [moved]
    for name in ("client", "shop"):
        assert sandboxing.is_small(bed.inspect(name)["Cgscope"]["Monitor"]["Pid"])


def test_programs_that_ask(bed: NetworkBed) -> None:
    """nslookup, which knows no /etc/hosts, finds others, from the foreground and from a network that is shared too."""
    bed("network", "create", "--subnet", "10.82.0.0/24", "--internal", "one")
    sleeper(bed, "web", "--net", "one", "--ip", "10.82.0.80")
    lookup = ("busybox", "nslookup", "web")
    for options in (("--net", "one"), ("--net", "container:web")):
        found = bed("run", "--rm", *options, "--rootfs", "/", *lookup, check=False)
        assert "Address: 10.82.0.80" in found.stdout, found.stderr
    bed("run", "-d", "--name", "bare", "--net", "bridge", "--rootfs", "/", "sleep", "600")
    assert "127.0.0.11" not in bed("exec", "bare", "cat", "/etc/resolv.conf").stdout
    own = bed("run", "--rm", "--net", "one", "--dns", "127.0.0.1", "--rootfs", "/", "cat", "/etc/resolv.conf").stdout
    assert [line for line in own.splitlines() if line.startswith("nameserver")] == ["nameserver 127.0.0.1"]


def test_names_of_elsewhere(bed: NetworkBed) -> None:
    """What is not on the network is asked outside by the machine; from an internal network nothing is."""

    def handle(query: bytes, tcp: bool) -> list[bytes]:
        return [resolving.reply(query, ["192.0.2.7" if tcp else "192.0.2.6"])]

    outside = bed.outside
    bed("network", "create", "one")
    bed("network", "create", "--internal", "closed")
    for name in ("one", "closed"):
        sleeper(bed, name, "--net", name, "--dns", NetworkBed.FAR)
    with contextlib.ExitStack() as stack:
        with outside.inside():
            stack.enter_context(resolving.server(NetworkBed.FAR, handle))
        with within(bed, "one"):
            assert resolving.ask(RESOLVER, "example.test") == (0, ["192.0.2.6"])
            assert resolving.ask(RESOLVER, "example.test", tcp=True) == (0, ["192.0.2.7"])
        with within(bed, "closed"):
            assert resolving.ask(RESOLVER, "example.test") == (REFUSED, [])


def test_a_name_server_of_its_own(bed: NetworkBed) -> None:
    """A program in the container may serve port 53 itself, on every address, while its resolver answers."""
    bed("network", "create", "one")
    bed("run", "-d", "--name", "own", "--net", "one", "--rootfs", "/", sys.executable, "-c", OWN_SERVER)
    assert sandboxing.wait_for(lambda: bed("logs", "own").stdout == "serves\n"), bed("logs", "own").stderr
    address = bed.inspect("own")["NetworkSettings"]["IPAddress"]
    with within(bed, "own"):
        assert resolving.ask(RESOLVER, "own", tcp=True) == resolving.ask(RESOLVER, "own") == (0, [address])
        with socket.create_connection((address, 53), timeout=60), socket.create_connection(("127.0.0.1", 53)):
            pass


def looked_up(call: Callable[[str], str]) -> dict[str, bool]:
    """Tell which of the names a container has lead anywhere, by what nslookup says."""
    names = ("web", "www", "web.one", "client", "nobody.one")
    return {name: f"Name:\t{name}\n" in call(name) for name in names}


def test_beside_docker(bed: NetworkBed, docker: Docker) -> None:
    """Docker's resolver knows the same names, and /etc/resolv.conf of a container leads to it by the same lines."""
    docker("network", "create", "--internal", "one")
    try:
        with (
            docker.running("web", "--network-alias", "www", IMAGE, "sleep", "600", network="one"),
            docker.running("client", IMAGE, "sleep", "600", network="one"),
        ):
            theirs = looked_up(lambda name: docker("exec", "client", "busybox", "nslookup", name, check=False).stdout)
            table = docker("exec", "client", "cat", "/etc/resolv.conf").stdout
    finally:
        docker("network", "rm", "one")
    assert (theirs["web"], theirs["nobody.one"]) == (True, False)
    bed("network", "create", "--internal", "one")
    sleeper(bed, "web", "--net", "one", "--network-alias", "www")
    sleeper(bed, "client", "--net", "one")
    assert looked_up(lambda name: bed("exec", "client", "busybox", "nslookup", name, check=False).stdout) == theirs
    ours = bed("exec", "client", "cat", "/etc/resolv.conf").stdout
    for line in ("nameserver 127.0.0.11", "options ndots:0"):
        assert (line in table.splitlines()) == (line in ours.splitlines()) == True  # noqa: E712
