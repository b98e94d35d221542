"""The steps that connect a container to a bridge, as data; plumber.py carries them out.

    host                                        container
    bridge cgscope-12ab34c, 172.30.0.1/16
      veth cgv<id> ---------------------------- eth0, 172.30.0.2/16, default via 172.30.0.1
      tbf: what the container receives
      ingress -> ifb cgi<id>, tbf: what it sends
The last two only with a rate.
"""

from __future__ import annotations

from typing import NamedTuple

from sandbox.network.addresses import mac_of, to_number
from sandbox.network.registry import Lease, Record

__all__ = ["Bridge", "Inside", "Plan", "Rate", "Veth", "links_of", "plan"]

INSIDE = "eth0"
# What tc calls burst and latency: ten milliseconds' worth, at least two large packets, and a queue of 50 ms.
BURST_SECONDS, SMALLEST_BURST, QUEUE_SECONDS = 0.01, 16 * 1024, 0.05
SHORT_ID = 12


class Bridge(NamedTuple):
    """A bridge of the host with its address, and its nft table; all interfaces of the host are of one group."""

    link: str
    mac: str
    address: str
    subnet: str
    internal: bool
    mtu: int
    group: int

    def __str__(self) -> str:
        return f"bridge {self.link} {self.address} of {self.subnet}{' internal' if self.internal else ''}"


class Veth(NamedTuple):
    """A pair: `host` on the bridge, the other born in the container's network namespace."""

    host: str
    bridge: str
    mac: str
    mtu: int

    def __str__(self) -> str:
        return f"veth   {self.host} on {self.bridge}, {INSIDE} {self.mac} in the container"


class Rate(NamedTuple):
    """How fast a container may send and receive, bytes a second; what it sends passes `ifb`."""

    host: str
    ifb: str
    bytes_per_second: int
    burst: int
    queue: int

    def __str__(self) -> str:
        return f"rate   {self.bytes_per_second * 8} bit/s on {self.host} and on {self.ifb}"


class Inside(NamedTuple):
    """What is done in the container's network namespace; no gateway: no default route."""

    address: str
    prefix: int
    gateway: str

    def __str__(self) -> str:
        route = f", default via {self.gateway}" if self.gateway else ""
        return f"addr   {self.address}/{self.prefix} on {INSIDE}{route}"


class Plan(NamedTuple):
    """All of it, in order."""

    bridge: Bridge
    veth: Veth
    rate: Rate | None
    inside: Inside

    def __str__(self) -> str:
        return "\n".join(str(step) for step in self if step is not None)


def links_of(container: str, *, rate: bool) -> tuple[str, str]:
    """Return the names of a container's veth and ifb on the host; the ifb only with a rate."""
    return f"cgv{container[:SHORT_ID]}", f"cgi{container[:SHORT_ID]}" if rate else ""


def plan(record: Record, lease: Lease, rate_bits: int, mtu: int) -> Plan:
    """Return the steps for one container."""
    prefix = record.range.prefix
    mac = mac_of(to_number(record.gateway))
    bridge = Bridge(record.link, mac, f"{record.gateway}/{prefix}", record.subnet, record.internal, mtu, record.group)
    rate = None
    if rate_bits:
        speed = rate_bits // 8
        burst = max(SMALLEST_BURST, int(speed * BURST_SECONDS))
        rate = Rate(lease.veth, lease.ifb, speed, burst, burst + int(speed * QUEUE_SECONDS))
    gateway = "" if record.internal else record.gateway
    return Plan(bridge, Veth(lease.veth, record.link, lease.mac, mtu), rate, Inside(lease.address, prefix, gateway))
