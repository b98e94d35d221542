"""Containers with links of their own come onto bridges, and leave them: ports, addresses, names, links in order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sandbox import events
from sandbox.network import listening, members, names, plumber, ports
from sandbox.network.connection import Connection
from sandbox.network.document import connected
from sandbox.network.plan import Plan, links_of, plans
from sandbox.network.registry import ROUTES, Member, Networks, Record
from sandbox.network.settings import Network

if TYPE_CHECKING:
    from sandbox.rootfs import Layout

__all__ = ["Linked", "connect", "default_mtu", "plan_for", "release", "sweep", "tell"]

DEFAULT_MTU = 1500
LARGEST_MTU = 65535
SIOCGIFMTU = 0x8921
IFREQ = "16si20x"


class Linked(Connection):
    """The network of a container that has interfaces on bridges."""

    def __init__(
        self,
        network: Network,
        listeners: list[listening.Listener],
        places: Sequence[Member],
        begun: plumber.Plumber,
        tell: Callable[[], None],
    ) -> None:
        super().__init__(network)
        self._listeners, self._places, self._plumber, self._tell = listeners, places, begun, tell
        self._resolver: list[int] = []

    def join(self, pid: int) -> None:
        """Connect the network namespace of the container's first process."""
        with open(f"/proc/{pid}/ns/net", "rb") as namespace:
            self._resolver = self._plumber.connect(pid, namespace.fileno())
        self._tell()

    def settings(self, pid: int) -> dict[str, Any]:
        """Return Docker's NetworkSettings of the container while it runs."""
        bound = [(each.port.name, each.address, each.number) for each in self._listeners]
        return connected(self.network, self._places, ports.bindings(bound, self.network.exposed), pid)

    def handed(self) -> dict[str, Any] | None:
        """Return what the proxy of the published ports needs, as JSON, if there are any: descriptors stay open."""
        if not self._listeners:
            return None
        listeners = [(each.socket.detach(), each.port.protocol, each.port.port) for each in self._listeners]
        return {"address": self._places[0].lease.address if self._places else "", "listeners": listeners}

    def resolver(self) -> dict[str, Any] | None:
        """Return what the container's resolver needs, as JSON, if it has one."""
        if not self._resolver:
            return None
        udp, tcp = self._resolver
        return {"udp": udp, "tcp": tcp, "dns": list(self.network.dns)}

    def started(self) -> None:
        """Give back what only the start needed."""
        self._plumber.close()

    def close(self) -> None:
        """Give up: nobody listens to the ports any more."""
        self.started()
        listening.close(self._listeners)
        for fd in self._resolver:
            os.close(fd)


def connect(root: str, guest: members.Guest, network: Network, layout: Layout) -> Linked:
    """Bind the ports, lease addresses, write /etc/hosts and resolv.conf, and begin to connect a container."""
    published = list(network.ports)
    if network.publish_all:
        given = {port.name for port in published}
        published += [_exposed(each) for each in network.exposed if each not in given and ports.can_be_published(each)]
    listeners = listening.bind(published)
    try:
        networks = Networks(root)
        with networks.lock():
            places = [
                members.join(networks, guest, endpoint, links_of(guest.container, number, rate=bool(network.rate_bits)))
                for number, endpoint in enumerate(network.endpoints)
            ]
            records = [place.record for place in places]
            hosts = names.hosts(network.hosts, records[0].gateway if records else "")
            hosts = names.with_members(hosts, members.known_to(guest.container, records))
            names.write(layout.hosts_file, hosts)
            members.tell(networks, *records)
        resolver = network.has_resolver
        has_ipv6 = any(place.lease.address6 for place in places)
        names.write(layout.resolv_file, names.resolv_conf(names.read_resolvers(), network, ipv6=has_ipv6, own=resolver))
        begun = plumber.Plumber(plans(places, network.rate_bits, default_mtu()), networks, resolver=resolver)
    except BaseException:
        listening.close(listeners)
        raise
    return Linked(network, listeners, places, begun, lambda: tell(root, "connect", guest.container, records))


def _exposed(name: str) -> ports.Port:
    port, _, protocol = name.partition("/")
    return ports.Port(int(port), protocol)


def plan_for(root: str, guest: members.Guest, network: Network) -> list[Plan]:
    """Return the plans that connect() would carry out now; nothing is written (`--dry-run`)."""
    networks = Networks(root)
    places = [
        members.place(networks, guest, endpoint, links_of(guest.container, number, rate=bool(network.rate_bits)))
        for number, endpoint in enumerate(network.endpoints)
    ]
    return plans(places, network.rate_bits, default_mtu())


def release(root: str, container: str) -> None:
    """Take a container off its networks."""
    networks = Networks(root)
    if networks.exist():
        with networks.lock():
            left = [place.record for place in members.members_of(networks, container)]
            members.leave(networks, lambda key: key == container)
        tell(root, "disconnect", container, left)


def tell(root: str, action: str, container: str, records: Iterable[Record]) -> None:
    """Record that a container came onto networks, or left them."""
    for record in records:
        known = {"container": container, "name": record.name, "type": "bridge"}
        events.append(root, "network", action, record.id, known)


def sweep(root: str, known: Collection[str]) -> None:
    """Take those off their networks that are no containers any more."""
    networks = Networks(root)
    if any(key not in known for record in networks.all() for key in record.leases):
        with networks.lock():
            members.leave(networks, lambda key: key not in known)


def default_mtu() -> int:
    """Return the largest packet of the interface that the default route uses, as what leaves must fit it."""
    with contextlib.suppress(OSError, StopIteration), open(ROUTES, encoding="utf-8", errors="surrogateescape") as file:
        default = next(line.split("\t")[0] for line in file if line.split("\t")[1] == "00000000")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, SIOCGIFMTU, struct.pack(IFREQ, default.encode(), 0))
        return min(int(struct.unpack(IFREQ, answer)[1]), LARGEST_MTU)
    return DEFAULT_MTU
