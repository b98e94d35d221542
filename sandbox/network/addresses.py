"""Subnets and addresses that are free; pure. IPv4, as numbers: importing `ipaddress` would cost each start 2 ms."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable
from typing import NamedTuple

from sandbox.errors import SandboxError

__all__ = ["POOL", "Subnet", "choose_subnet", "free_address", "mac_of", "parse_routes", "parse_subnet", "to_text"]

ALL = 0xFFFFFFFF
LONGEST_PREFIX = 30  # gateway and one container
SHORTEST_PREFIX = 8


class Subnet(NamedTuple):
    """A range of IPv4 addresses: its first, and the length of its prefix."""

    first: int
    prefix: int

    @property
    def last(self) -> int:
        """Return its last address, which is for broadcast."""
        return self.first | ALL >> self.prefix

    def overlaps(self, other: Subnet) -> bool:
        """Tell whether there is an address in both."""
        return self.first <= other.last and other.first <= self.last

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{to_text(self.first)}/{self.prefix}"


def to_number(text: str) -> int:
    """Return an IPv4 address as a number; SandboxError when it is none."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        raise SandboxError(f"invalid IPv4 address: {text!r}") from None


def to_text(address: int) -> str:
    """Write an IPv4 address with dots."""
    return socket.inet_ntop(socket.AF_INET, address.to_bytes(4, "big"))


def parse_subnet(text: str) -> Subnet:
    """Parse `172.30.0.0/16`, with the host's bits zero."""
    address, slash, prefix = text.partition("/")
    if not slash or not (prefix.isascii() and prefix.isdigit()):
        raise SandboxError(f"invalid subnet {text!r}: the form is 172.30.0.0/16")
    first = to_number(address)
    if not SHORTEST_PREFIX <= int(prefix) <= LONGEST_PREFIX:
        raise SandboxError(f"invalid subnet {text!r}: the prefix is from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}")
    subnet = Subnet(first, int(prefix))
    if first & ALL >> subnet.prefix:
        whole = Subnet(first & ~(ALL >> subnet.prefix), subnet.prefix)
        raise SandboxError(f"invalid subnet {text!r}: it should be {whole}")
    return subnet


# From the end of Docker's pools, which it uses from 172.17 on, then 192.168.
POOL = tuple(
    [Subnet(172 << 24 | second << 16, 16) for second in range(30, 17, -1)]
    + [Subnet(192 << 24 | 168 << 16 | third << 8, 20) for third in range(224, 80, -16)]
    + [Subnet(10 << 24 | second << 16, 16) for second in range(240, 200, -1)]
)


# Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
# eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
def parse_routes(data: bytes) -> list[tuple[str, Subnet]]:
    """Parse /proc/net/route: interface and destination of each route but the default (numbers in the host's order)."""
    routes = []
    for line in data.decode(errors="surrogateescape").splitlines()[1:]:
        words = line.split("\t")
        destination, mask = (int.from_bytes(int(words[column], 16).to_bytes(4, "little"), "big") for column in (1, 7))
        if mask:
            routes.append((words[0].strip(), Subnet(destination & mask, mask.bit_count())))
    return routes


def choose_subnet(taken: Iterable[Subnet]) -> Subnet:
    """Return the first of the pool that shares no address with one that is taken."""
    taken = list(taken)
    for subnet in POOL:
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise SandboxError("all predefined address pools have been fully subnetted: give the network a --subnet")


def free_address(subnet: Subnet, taken: Collection[int], wanted: str = "") -> int:
    """Return the lowest free address of a subnet, or the wanted one."""
    if wanted:
        address = to_number(wanted)
        if address not in subnet or address in (subnet.first, subnet.last):
            raise SandboxError(f"invalid address {wanted}: it does not belong to the subnet {subnet}")
        if address in taken:
            raise SandboxError(f"Address already in use: {wanted}")
        return address
    for address in range(subnet.first + 1, subnet.last):
        if address not in taken:
            return address
    raise SandboxError(f"no available IPv4 addresses on this network's address pool: {subnet}")


def mac_of(address: int) -> str:
    """Return a locally administered hardware address made of an IPv4 address, as Docker's was."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + address.to_bytes(4, "big"))
