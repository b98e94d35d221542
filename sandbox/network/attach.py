"""Containers with a link of their own: they come onto a bridge, and leave it; ports, address, names, links in order."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sandbox.errors import SandboxError
from sandbox.network import listening, names, plumber, ports
from sandbox.network.addresses import free_address, mac_of, to_number, to_text
from sandbox.network.connection import Connection
from sandbox.network.document import connected
from sandbox.network.plan import Plan, links_of, plan
from sandbox.network.registry import ROUTES, Lease, Networks, Record
from sandbox.network.settings import DEFAULT, Network
from sandbox.value import replace

__all__ = ["Linked", "connect", "plan_for", "release", "sweep"]

DEFAULT_MTU = 1500
LARGEST_MTU = 65535
SIOCGIFMTU = 0x8921
IFREQ = "16si20x"
SHORT_ID = 12


class Linked(Connection):
    """The network of a container that has an interface on a bridge."""

    def __init__(
        self,
        network: Network,
        listeners: list[listening.Listener],
        record: Record,
        lease: Lease,
        begun: plumber.Plumber,
    ) -> None:
        super().__init__(network)
        self._listeners, self._record, self._lease, self._plumber = listeners, record, lease, begun

    def join(self, pid: int) -> None:
        """Connect the network namespace of the container's first process."""
        self._plumber.connect(pid)

    def settings(self, pid: int) -> dict[str, Any]:
        """Return Docker's NetworkSettings of the container while it runs."""
        return connected(self.network, self._record, self._lease, self._listeners, pid)

    def handed(self) -> dict[str, Any] | None:
        """Return what the proxy of the published ports needs, as JSON, if there are any: descriptors stay open."""
        if not self._listeners:
            return None
        listeners = [(each.socket.detach(), each.port.protocol, each.port.port) for each in self._listeners]
        return {"address": self._lease.address, "listeners": listeners}

    def started(self) -> None:
        """Give back what only the start needed."""
        self._plumber.close()

    def close(self) -> None:
        """Give up: nobody listens to the ports any more."""
        self.started()
        listening.close(self._listeners)


def connect(root: str, container: str, network: Network, hostname: str, name: str, hosts_file: str) -> Linked:
    """Bind the ports, lease an address, write names into /etc/hosts, and begin to connect a container of that id."""
    published = list(network.ports)
    if network.publish_all:
        given = {port.name for port in published}
        published += [_exposed(each) for each in network.exposed if each not in given]
    listeners = listening.bind(published)
    try:
        networks = Networks(root)
        with networks.lock():
            record, lease = _lease(networks, container, network, hostname, name)
            names.write(hosts_file, names.hosts(hostname, lease.address, network.hosts, record.gateway))
            _tell_members(root, record)
        begun = plumber.Plumber(plan(record, lease, network.rate_bits, mtu()), networks)
    except BaseException:
        listening.close(listeners)
        raise
    return Linked(network, listeners, record, lease, begun)


def _exposed(name: str) -> ports.Port:
    port, _, protocol = name.partition("/")
    return ports.Port(int(port), protocol)


def _lease(
    networks: Networks, container: str, network: Network, hostname: str, name: str
) -> tuple[Record, Lease]:
    """Write down that a container has an address; a subnet that we chose and somebody took since is chosen anew."""
    record = networks.load(network.mode)
    if record is None:
        if network.mode != DEFAULT:
            raise SandboxError(f"network {network.mode} not found")
        record = networks.new(DEFAULT)
    elif not record.leases:
        record = _without_collision(networks, record)
    others = {key: each for key, each in record.leases.items() if key != container}
    address = _address(record, others.values(), network.address)
    veth, ifb = links_of(container, rate=bool(network.rate_bits))
    known = dict.fromkeys((name, container[:SHORT_ID], hostname, *network.aliases))
    lease = Lease(to_text(address), network.mac or mac_of(address), veth, ifb, tuple(each for each in known if each))
    record = replace(record, leases={**others, container: lease})
    networks.save(record)
    return record, lease


def _without_collision(networks: Networks, record: Record) -> Record:
    taken = networks.taken(record.name)
    if not any(record.range.overlaps(other) for other in taken):
        return record
    if not record.chosen:
        networks.refuse_overlap(record.range, record.name)
    fresh = networks.new(record.name)
    return record.with_subnet(fresh.range)


def _address(record: Record, leases: Iterable[Lease], wanted: str) -> int:
    taken = {to_number(lease.address) for lease in leases} | {to_number(record.gateway)}
    return free_address(record.range, taken, wanted)


def _tell_members(root: str, record: Record) -> None:
    """Write the names of all into the /etc/hosts of each; on `bridge` nobody is told, as with Docker."""
    if record.name == DEFAULT:
        return
    for container in record.leases:
        others = [(each.address, each.names) for key, each in record.leases.items() if key != container]
        with contextlib.suppress(OSError):  # its files are being removed
            names.update_members(f"{root}/containers/{container}/hosts", others)


def plan_for(root: str, container: str, network: Network) -> Plan:
    """Return the plan that connect() would carry out now; nothing is written (`--dry-run`)."""
    networks = Networks(root)
    record = networks.load(network.mode)
    if record is None:
        if network.mode != DEFAULT:
            raise SandboxError(f"network {network.mode} not found")
        record = networks.new(DEFAULT)
    address = _address(record, record.leases.values(), network.address)
    veth, ifb = links_of(container, rate=bool(network.rate_bits))
    lease = Lease(to_text(address), network.mac or mac_of(address), veth, ifb)
    return plan(record, lease, network.rate_bits, mtu())


def release(root: str, container: str) -> None:
    """Take a container off its network; the last one takes the bridge and its rules along."""
    _release(Networks(root), root, lambda key: key == container)


def sweep(root: str, known: Collection[str]) -> None:
    """Take those off their networks that are no containers any more."""
    _release(Networks(root), root, lambda key: key not in known)


def _release(networks: Networks, root: str, gone: Callable[[str], bool]) -> None:
    if not networks.exist() or not any(any(map(gone, record.leases)) for record in networks.all()):
        return
    with networks.lock():
        for record in networks.all():
            leaving = [lease for key, lease in record.leases.items() if gone(key)]
            if not leaving:
                continue
            left = replace(record, leases={key: each for key, each in record.leases.items() if not gone(key)})
            if left.leases:
                plumber.remove_links(*(link for lease in leaving for link in (lease.veth, lease.ifb)))
            else:
                plumber.remove_bridge(record.link, record.group)
            networks.save(left)
            _tell_members(root, left)


def mtu() -> int:
    """Return the largest packet of the interface that the default route uses, as what leaves must fit it."""
    with contextlib.suppress(OSError, StopIteration), open(ROUTES, encoding="utf-8", errors="surrogateescape") as file:
        default = next(line.split("\t")[0] for line in file if line.split("\t")[1] == "00000000")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = fcntl.ioctl(control, SIOCGIFMTU, struct.pack(IFREQ, default.encode(), 0))
        return min(int(struct.unpack(IFREQ, answer)[1]), LARGEST_MTU)
    return DEFAULT_MTU
