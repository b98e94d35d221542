"""The steps that connect a container to a bridge, as data; plumber.py carries them out.

    host                                        container
    bridge cgscope-12ab34c, 172.30.0.1/16
      veth cgv<id>00 -------------------------- eth0, 172.30.0.2/16, default via 172.30.0.1
      tbf: what the container receives
      ingress -> ifb cgi<id>00, tbf: what it sends
The last two only with a rate. With IPv6 bridge and container have an address of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.network.addresses import mac_of
from sandbox.network.registry import Member, Record
from sandbox.value import Value

__all__ = ["Bridge", "Inside", "Links", "Plan", "Rate", "Veth", "links_of", "plans"]

# What tc calls burst and latency: ten milliseconds' worth, at least two large packets, and a queue of 50 ms.
BURST_SECONDS, SMALLEST_BURST, QUEUE_SECONDS = 0.01, 16 * 1024, 0.05
SHORT_ID = 10


class Bridge(Value):
    """A bridge of the host with its addresses, and its nft table; all interfaces of the host are of one group."""

    link: str
    mac: str
    addresses: tuple[str, ...]
    subnets: tuple[str, ...]
    internal: bool
    mtu: int
    group: int

    def __str__(self) -> str:
        internal = " internal" if self.internal else ""
        return f"bridge {self.link} {', '.join(self.addresses)} of {', '.join(self.subnets)}{internal}"


class Veth(Value):
    """A pair: `host` on the bridge, `inside` born in the container's network namespace."""

    host: str
    bridge: str
    inside: str
    mac: str
    mtu: int

    def __str__(self) -> str:
        return f"veth   {self.host} on {self.bridge}, {self.inside} {self.mac} in the container"


class Rate(Value):
    """How fast a container may send and receive, bytes a second; what it sends passes `ifb`."""

    host: str
    ifb: str
    bytes_per_second: int
    burst: int
    queue: int

    def __str__(self) -> str:
        return f"rate   {self.bytes_per_second * 8} bit/s on {self.host} and on {self.ifb}"


class Inside(Value):
    """What is done in the container's network namespace; `gateways` are those that its default routes lead to."""

    link: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]

    def __str__(self) -> str:
        routes = "".join(f", default via {gateway}" for gateway in self.gateways)
        return f"addr   {', '.join(self.addresses)} on {self.link}{routes}"


class Plan(Value):
    """All of it for one network, in order."""

    bridge: Bridge
    veth: Veth
    rate: Rate | None
    inside: Inside

    def __str__(self) -> str:
        steps = (self.bridge, self.veth, self.rate, self.inside)
        return "\n".join(str(step) for step in steps if step is not None)


class Links(Value):
    """The names of a container's link in it, of that one's other end, and of the ifb that a rate needs."""

    inside: str
    veth: str
    ifb: str


def links_of(container: str, number: int, *, rate: bool) -> Links:
    """Return the names of a container's link, counted from 0."""
    short = f"{container[:SHORT_ID]}{number:02}"  # as long as the name of a link may be
    return Links(f"eth{number}", f"cgv{short}", f"cgi{short}" if rate else "")


def plans(members: Sequence[Member], rate_bits: int, mtu: int) -> list[Plan]:
    """Return the steps for each network of a container; `mtu` where a network does not say its own.

    The way out, by IPv4 and by IPv6, is over the first network that has one.
    """
    outward = [member.record for member in members if not member.record.internal]
    ways = {record.gateway for record in outward[:1]}
    ways |= {record.gateway6 for record in [each for each in outward if each.gateway6][:1]}
    return [_plan(member, rate_bits, member.record.mtu or mtu, ways) for member in members]


def _plan(member: Member, rate_bits: int, mtu: int, ways: set[str]) -> Plan:
    record, lease = member.record, member.lease
    addresses = tuple(
        f"{address}/{subnet.prefix}" for address, (subnet, _) in zip(lease.addresses, record.ranges, strict=True)
    )
    gateways = tuple(gateway for _, gateway in record.ranges if gateway in ways)
    rate = None
    if rate_bits:
        speed = rate_bits // 8
        burst = max(SMALLEST_BURST, int(speed * BURST_SECONDS))
        rate = Rate(lease.veth, lease.ifb, speed, burst, burst + int(speed * QUEUE_SECONDS))
    veth = Veth(lease.veth, record.link, lease.link, lease.mac, mtu)
    return Plan(_bridge(record, mtu), veth, rate, Inside(lease.link, addresses, gateways))


def _bridge(record: Record, mtu: int) -> Bridge:
    subnets = tuple(str(subnet) for subnet, _ in record.ranges)
    addresses = tuple(f"{gateway}/{subnet.prefix}" for subnet, gateway in record.ranges)
    return Bridge(record.link, mac_of(record.gateway), addresses, subnets, record.internal, mtu, record.group)
