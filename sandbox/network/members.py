"""Who is on which network: places leased and given back, and told to the others in their /etc/hosts.

Everything here is done with the networks' lock held.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from sandbox.errors import SandboxError
from sandbox.network import names, plumber
from sandbox.network.addresses import free_address, mac_of
from sandbox.network.plan import Links
from sandbox.network.registry import Lease, Member, Networks, Record
from sandbox.network.settings import DEFAULT, Endpoint
from sandbox.state import SHORT_ID
from sandbox.value import Value, replace

__all__ = ["Guest", "join", "known_to", "leave", "members_of", "place", "rename", "tell"]


class Guest(Value):
    """A container that comes onto a network: what it is called, and by itself."""

    container: str
    name: str
    hostname: str


def _record_of(networks: Networks, name: str) -> Record:
    """Return the network that a container shall be on; `bridge` is there when it is first needed."""
    record = networks.load(name)
    if record is None and name != DEFAULT:
        raise SandboxError(f"network {name} not found")
    return record or networks.new(name)


def join(networks: Networks, guest: Guest, endpoint: Endpoint, links: Links) -> Member:
    """Lease a place."""
    member = place(networks, guest, endpoint, links)
    networks.save(member.record)
    return member


def place(networks: Networks, guest: Guest, endpoint: Endpoint, links: Links) -> Member:
    """Return the place that join() would lease; a subnet that we chose and somebody took since is chosen anew."""
    record = _record_of(networks, endpoint.network)
    if not record.leases:
        record = _without_collision(networks, record)
    others = {key: lease for key, lease in record.leases.items() if key != guest.container}
    address, address6 = _addresses(record, others.values(), endpoint)
    known = dict.fromkeys((guest.name, guest.container[:SHORT_ID], guest.hostname, *endpoint.aliases))
    lease = Lease(
        address,
        endpoint.mac or mac_of(address),
        links.veth,
        links.ifb,
        links.inside,
        address6,
        guest.hostname,
        tuple(filter(None, known)),
        os.urandom(32).hex(),
    )
    return Member(replace(record, leases={**others, guest.container: lease}), lease)


def _without_collision(networks: Networks, record: Record) -> Record:
    occupied = networks.taken(record.name)
    for subnet, _ in record.ranges:
        if any(subnet.overlaps(other) for other in occupied):
            if not record.chosen:
                networks.refuse_overlap(subnet, record.name)
            return record.with_subnet(networks.new(record.name).range)
    return record


def _addresses(record: Record, leases: Iterable[Lease], endpoint: Endpoint) -> tuple[str, str]:
    if endpoint.address6 and not record.subnet6:
        raise SandboxError(f"network {record.name} has no IPv6: --ip6 {endpoint.address6} cannot be given")
    taken = [each for lease in leases for each in lease.addresses]
    wanted = (endpoint.address, endpoint.address6)
    found = [
        free_address(subnet, [gateway, *record.reserved, *taken], asked, record.part_of(subnet))
        for (subnet, gateway), asked in zip(record.ranges, wanted, strict=False)
    ]
    return found[0], found[1] if found[1:] else ""


def members_of(networks: Networks, container: str) -> list[Member]:
    """Return a container's places, in the order of its links."""
    found = [Member(record, record.leases[container]) for record in networks.all() if container in record.leases]
    return sorted(found, key=lambda member: member.lease.veth)


def leave(networks: Networks, gone: Callable[[str], bool], name: str = "") -> None:
    """Take containers off all networks, or one; the last one of a network takes the bridge and its rules along."""
    for record in networks.all():
        leaving = [lease for key, lease in record.leases.items() if gone(key)]
        if not leaving or name not in ("", record.name):
            continue
        left = replace(record, leases={key: each for key, each in record.leases.items() if not gone(key)})
        if left.leases:
            plumber.remove_links(*(link for lease in leaving for link in (lease.veth, lease.ifb)))
        else:
            plumber.remove_bridge(record.link, record.group)
        networks.save(left)
        tell(networks, left)


def rename(networks: Networks, container: str, old: str, new: str) -> None:
    """Let a container be known by another name."""
    for member in members_of(networks, container):
        known = tuple(dict.fromkeys(new if each == old else each for each in member.lease.names))
        leases = {**member.record.leases, container: replace(member.lease, names=known)}
        renamed = replace(member.record, leases=leases)
        networks.save(renamed)
        tell(networks, renamed)


def tell(networks: Networks, *changed: Record, also: Collection[str] = ()) -> None:
    """Write into the /etc/hosts of all who are on a network who else is; on `bridge` nobody is told, as with Docker.

    `also` are containers that are told in any case.
    """
    told = {container for record in changed if record.name != DEFAULT for container in record.leases} | set(also)
    if not told:
        return
    records = networks.all()
    root = networks.directory.rpartition("/")[0]
    for container in told:
        with contextlib.suppress(OSError):  # its files are being removed
            names.update_members(f"{root}/containers/{container}/hosts", list(known_to(container, records)))


def known_to(container: str, records: Sequence[Record]) -> Iterator[names.Line]:
    """Yield what a container's /etc/hosts says: itself first, then who is on a network with it."""
    shared = [record for record in records if container in record.leases]
    for record in shared:
        lease = record.leases[container]
        yield from ((address, names.called(lease.hostname)) for address in lease.addresses)
    for record in shared:
        for key, lease in record.leases.items():
            if key != container and record.name != DEFAULT:
                yield from ((address, lease.names) for address in lease.addresses)
