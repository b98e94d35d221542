"""Subnets and addresses that are free; pure. As numbers: importing `ipaddress` would cost each start 2 ms."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable

from sandbox.errors import SandboxError
from sandbox.value import Value

__all__ = [
    "IPV4",
    "POOL",
    "Subnet",
    "choose_subnet",
    "free_address",
    "local_subnet",
    "mac_of",
    "parse_ipv6_routes",
    "parse_routes",
    "parse_subnet",
    "to_number",
]

IPV4, IPV6 = 32, 128  # bits of an address
SHORTEST_PREFIX = 8
SPARE_BITS = 2  # room for the gateway and one container


class Subnet(Value):
    """A range of addresses: its first, the length of its prefix, and the bits of an address."""

    first: int
    prefix: int
    bits: int = IPV4

    @property
    def last(self) -> int:
        """Return its last address, which with IPv4 is for broadcast."""
        return self.first | (1 << self.bits - self.prefix) - 1

    def overlaps(self, other: Subnet) -> bool:
        """Tell whether there is an address in both."""
        return self.bits == other.bits and self.first <= other.last and other.first <= self.last

    def holds(self, address: str) -> bool:
        """Tell whether a container, or the bridge, can have that address: the first is nobody's, nor is IPv4's last."""
        number, bits = to_number(address)
        return bits == self.bits and self.first < number <= self.last - (self.bits == IPV4)

    def text(self, address: int) -> str:
        """Write one of its addresses as inet_ntop(3) does."""
        family = socket.AF_INET if self.bits == IPV4 else socket.AF_INET6
        return socket.inet_ntop(family, address.to_bytes(self.bits // 8, "big"))

    def __str__(self) -> str:
        return f"{self.text(self.first)}/{self.prefix}"


def to_number(text: str) -> tuple[int, int]:
    """Return an address as a number, and how many bits such a one has; SandboxError when it is none."""
    family, bits = (socket.AF_INET6, IPV6) if ":" in text else (socket.AF_INET, IPV4)
    try:
        return int.from_bytes(socket.inet_pton(family, text), "big"), bits
    except (OSError, ValueError):
        raise SandboxError(f"invalid IPv{4 if bits == IPV4 else 6} address: {text!r}") from None


def parse_subnet(text: str) -> Subnet:
    """Parse `172.30.0.0/16` or `fd00:1::/64`, with the host's bits zero, whose addresses can be given to containers."""
    address, slash, prefix = text.partition("/")
    if not slash or not (prefix.isascii() and prefix.isdigit() and len(prefix) <= len(str(IPV6))):
        raise SandboxError(f"invalid subnet {text!r}: the form is 172.30.0.0/16 or fd00:1::/64")
    first, bits = to_number(address)
    longest = bits - SPARE_BITS
    if not SHORTEST_PREFIX <= int(prefix) <= longest:
        raise SandboxError(f"invalid subnet {text!r}: the prefix is from /{SHORTEST_PREFIX} to /{longest}")
    host_bits = (1 << bits - int(prefix)) - 1
    subnet = Subnet(first & ~host_bits, int(prefix), bits)
    if first & host_bits:
        raise SandboxError(f"invalid subnet {text!r}: it should be {subnet}")
    if special := next((each for each in SPECIAL if each.overlaps(subnet)), None):
        raise SandboxError(f"invalid subnet {text!r}: the addresses of {special} are no container's")
    return subnet


# Of no host, of loopback, and of groups or reserved; for IPv6 also of one link (RFC 6890).
SPECIAL = (
    Subnet(0, 8),
    Subnet(127 << 24, 8),
    Subnet(224 << 24, 3),
    Subnet(0, 8, IPV6),
    Subnet(0xFE80 << 112, 10, IPV6),
    Subnet(0xFF << 120, 8, IPV6),
)
# From the end of Docker's pools, which it uses from 172.17 on, then 192.168.
POOL = tuple(
    [Subnet(172 << 24 | second << 16, 16) for second in range(30, 17, -1)]
    + [Subnet(192 << 24 | 168 << 16 | third << 8, 20) for third in range(224, 80, -16)]
    + [Subnet(10 << 24 | second << 16, 16) for second in range(240, 200, -1)]
)
LOCAL_PREFIX, SUBNET_PREFIX = 0xFD, 64


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


# destination and its prefix, source and its prefix, next hop, metric, references, use, flags, interface:
# fd000001000000000000000000000000 40 0000... 00 0000... 00000100 00000001 00000000 00000001 eth0
def parse_ipv6_routes(data: bytes) -> list[tuple[str, Subnet]]:
    """Parse /proc/net/ipv6_route: interface and destination of each route but the default."""
    lines = (line.split() for line in data.decode(errors="surrogateescape").splitlines())
    found = ((words[9], Subnet(int(words[0], 16), int(words[1], 16), IPV6)) for words in lines)
    return [(link, subnet) for link, subnet in found if subnet.prefix]


def choose_subnet(taken: Iterable[Subnet]) -> Subnet:
    """Return the first of the pool that shares no address with one that is taken."""
    taken = list(taken)
    for subnet in POOL:
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise SandboxError("all predefined address pools have been fully subnetted: give the network a --subnet")


def local_subnet() -> Subnet:
    """Return an IPv6 subnet of a site's own, of 40 bits by chance, as RFC 4193 has it: nobody else's."""
    chance = int.from_bytes(os.urandom(5), "big")
    return Subnet((LOCAL_PREFIX << 120) | (chance << 80), SUBNET_PREFIX, IPV6)


def free_address(subnet: Subnet, taken: Collection[str], wanted: str = "", part: Subnet | None = None) -> str:
    """Return the lowest free address of a subnet, or of a part of it, or the wanted one of all."""
    used = {to_number(address)[0] for address in taken}
    if wanted:
        if not subnet.holds(wanted):
            raise SandboxError(f"invalid address {wanted}: it does not belong to the subnet {subnet}")
        if to_number(wanted)[0] in used:
            raise SandboxError(f"Address already in use: {wanted}")
        return subnet.text(to_number(wanted)[0])
    part = part or subnet
    last = min(subnet.last - (subnet.bits == IPV4), part.last)
    free = next((each for each in range(max(subnet.first + 1, part.first), last + 1) if each not in used), None)
    if free is None:
        family = 4 if subnet.bits == IPV4 else 6
        raise SandboxError(f"no available IPv{family} addresses on this network's address pool: {part}")
    return subnet.text(free)


def mac_of(address: str) -> str:
    """Return a locally administered hardware address made of an IPv4 address, as Docker's was."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + to_number(address)[0].to_bytes(4, "big"))
