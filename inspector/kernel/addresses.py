"""Addresses of a network namespace: /proc/<pid>/net/{fib_trie,route,if_inet6} (proc_pid_net(5)).

IPv4 addresses stand in the routing trie without their interface: that is the
one whose route leads to the narrowest network around the address.
"""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from inspector.errors import ParseError
from inspector.kernel.host import Host

__all__ = ["Address", "parse_fib_trie", "parse_if_inet6", "parse_route", "read_addresses"]

LEAF = re.compile(rb"\s*\|-- (\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})", re.ASCII)
LOCAL = re.compile(rb"\s*/32 host LOCAL\s*", re.ASCII)
LOOPBACK = IPv4Network("127.0.0.0/8")
DESTINATION, MASK = 1, 7  # fields of /proc/net/route


class Address(NamedTuple):
    """One address as text; the interface is None where no route tells it."""

    interface: str | None
    address: str


class Route(NamedTuple):
    """A network that is reached through an interface."""

    interface: str
    network: IPv4Network


#         |-- 172.17.0.2
#            /32 host LOCAL
def parse_fib_trie(data: bytes) -> tuple[str, ...]:
    """Parse /proc/<pid>/net/fib_trie: the IPv4 addresses that are the namespace's own, each once."""
    found: dict[str, None] = {}
    leaf = None
    for line in data.split(b"\n"):
        if match := LEAF.fullmatch(line.rstrip()):
            leaf = match[1]
        elif LOCAL.fullmatch(line):
            try:
                found[str(IPv4Address((leaf or b"").decode("ascii")))] = None
            except ValueError as error:
                raise ParseError("/proc/<pid>/net/fib_trie", line) from error
    return tuple(found)


# Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
# eth0  000011AC    00000000 0001 0 0 0 0000FFFF 0 0 0
def parse_route(data: bytes) -> tuple[Route, ...]:
    """Parse /proc/<pid>/net/route: a route a line, its addresses 32-bit words in the machine's byte order."""
    found = []
    for line in data.split(b"\n")[1:]:
        fields = line.split()
        if not fields:
            continue
        try:
            destination, mask = (_word(fields[place]) for place in (DESTINATION, MASK))
            network = IPv4Network(f"{destination}/{mask}")
        except (IndexError, ValueError, OverflowError) as error:
            raise ParseError("/proc/<pid>/net/route", line) from error
        found.append(Route(fields[0].decode(errors="surrogateescape"), network))
    return tuple(found)


def _word(text: bytes) -> IPv4Address:
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))


# fe80000000000000a8bbccfffe000102 02 40 20 80     eth0
def parse_if_inet6(data: bytes) -> tuple[Address, ...]:
    """Parse /proc/<pid>/net/if_inet6: an address a line, its interface last."""
    found = []
    for line in data.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        try:
            packed = bytes.fromhex(fields[0].decode("ascii"))
            text = socket.inet_ntop(socket.AF_INET6, packed)
            found.append(Address(fields[5].decode(errors="surrogateescape"), text))
        except (IndexError, ValueError) as error:
            raise ParseError("/proc/<pid>/net/if_inet6", line) from error
    return tuple(found)


def read_addresses(host: Host, pid: int) -> tuple[Address, ...]:
    """Read the addresses of a network namespace, seen through one process in it (/proc/<pid>/net/{route,fib_trie,...}).

    A kernel without IPv6 has none of its kind; OSError where the other two cannot be read.
    """
    routes = parse_route(host.read(f"/proc/{pid}/net/route"))
    found = [Address(_interface(one, routes), one) for one in parse_fib_trie(host.read(f"/proc/{pid}/net/fib_trie"))]
    with contextlib.suppress(FileNotFoundError):  # no IPv6 in this kernel
        found += parse_if_inet6(host.read(f"/proc/{pid}/net/if_inet6"))
    return tuple(found)


def _interface(address: str, routes: tuple[Route, ...]) -> str | None:
    there = IPv4Address(address)
    if there in LOOPBACK:
        return "lo"
    around = [route for route in routes if route.network.prefixlen and there in route.network]
    return max(around, key=lambda route: route.network.prefixlen).interface if around else None
