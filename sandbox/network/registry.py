"""The networks of a state root, and who has which address on them; changed under one lock.

    <root>/networks/.lock         flock
    <root>/networks/<name>.json   one network, with its leases

`bridge` is there without being made, and gets its subnet with its first container. A lease is written before
anything of it is made in the kernel and goes after that is gone, so that what a killed process leaves is known.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator

from sandbox.atomic import replace_document
from sandbox.codec import decode, encode
from sandbox.errors import NotFound, SandboxError
from sandbox.network.addresses import Subnet, choose_subnet, parse_ipv6_routes, parse_routes, parse_subnet
from sandbox.network.netlink import link_index
from sandbox.value import Value, replace

__all__ = ["ROUTES", "Lease", "Member", "Networks", "Record"]

LINK = "cgscope-"  # with 7 more letters this is as long as a name may be
ROUTES, IPV6_ROUTES = "/proc/net/route", "/proc/net/ipv6_route"


class Lease(Value):
    """A container's place on a network.

    `veth` is the host's end of its pair, `link` the container's; `ifb` is of its rate limit, or "". `hostname` is
    what it calls itself, `names` what the others call it. `endpoint`: Docker's id of such a place, by chance.
    """

    address: str
    mac: str
    veth: str
    ifb: str = ""
    link: str = "eth0"
    address6: str = ""
    hostname: str = ""
    names: tuple[str, ...] = ()
    endpoint: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the one or two that it has."""
        return tuple(filter(None, (self.address, self.address6)))


class Record(Value):
    """One network. `chosen`: its subnet was not asked for by name, so it may be another the next time.

    `mtu` 0 is that of the way out; `subnet6` and `gateway6` are "" without IPv6. Addresses are given from `ip_range`,
    a part of `subnet`, or without one from all of it, but never those that are `reserved`.
    """

    name: str
    id: str
    created: float
    link: str
    subnet: str
    gateway: str
    leases: dict[str, Lease]
    chosen: bool = True
    internal: bool = False
    subnet6: str = ""
    gateway6: str = ""
    mtu: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    ip_range: str = ""
    reserved: tuple[str, ...] = ()

    @property
    def group(self) -> int:
        """Return the number that the kernel's interfaces of this network have in common."""
        return int(self.link.removeprefix(LINK), 16) or 1

    @property
    def range(self) -> Subnet:
        """Return the IPv4 subnet as numbers."""
        return parse_subnet(self.subnet)

    @property
    def ranges(self) -> tuple[tuple[Subnet, str], ...]:
        """Return each subnet as numbers, with its gateway."""
        both = ((self.subnet, self.gateway), (self.subnet6, self.gateway6))
        return tuple((parse_subnet(subnet), gateway) for subnet, gateway in both if subnet)

    def part_of(self, subnet: Subnet) -> Subnet:
        """Return the part of one of its subnets that addresses are given from, which may be all of it."""
        return parse_subnet(self.ip_range) if self.ip_range and subnet == self.range else subnet

    def with_subnet(self, subnet: Subnet) -> Record:
        """Return the network with another IPv4 subnet, whose first address is the gateway."""
        return replace(self, subnet=str(subnet), gateway=subnet.text(subnet.first + 1))


class Member(Value):
    """A container's place, and the network that it is on."""

    record: Record
    lease: Lease


class Networks:
    """The networks below one state root."""

    def __init__(self, root: str) -> None:
        self.directory = f"{root}/networks"

    def exist(self) -> bool:
        """Tell whether there ever was any."""
        return os.path.isdir(self.directory)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold all networks alone."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        fd = os.open(f"{self.directory}/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # said, not only closed: a child may have it too
            os.close(fd)

    def all(self) -> list[Record]:
        """Return every network that is recorded, by name."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        found = (self.load(name[: -len(".json")]) for name in sorted(names) if name.endswith(".json"))
        return [record for record in found if record is not None]

    def load(self, name: str) -> Record | None:
        """Return a network, or None when there is none of that name."""
        path = f"{self.directory}/{name}.json"
        try:
            with open(path, encoding="utf-8") as file:
                return decode(Record, json.load(file))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise SandboxError(f"{path}: not a network: {error}") from None

    def find(self, name: str, exit_code: int = 1) -> Record:
        """Return the network of that name, id or beginning of an id."""
        records = self.all()
        for record in records:
            if record.name == name:
                return record
        found = [record for record in records if name and record.id.startswith(name)]
        if len(found) != 1:
            raise NotFound(f"network {name} not found", exit_code)
        return found[0]

    def save(self, record: Record) -> None:
        """Write a network, whole or not at all; with the lock held."""
        replace_document(f"{self.directory}/{record.name}.json", encode(record))

    def remove(self, record: Record) -> None:
        """Forget a network; with the lock held."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.directory}/{record.name}.json")

    def new(self, name: str, subnet: Subnet | None = None, gateway: str = "") -> Record:
        """Return a new network, not yet saved; without a subnet one that collides with nothing is chosen."""
        if subnet is not None:
            self.refuse_overlap(subnet, name)
        chosen = subnet or choose_subnet(self.taken())
        identity, now = os.urandom(32).hex(), time.time()
        made = Record(name, identity, now, new_link(), "", "", {}, chosen=subnet is None).with_subnet(chosen)
        return replace(made, gateway=gateway) if gateway else made

    def taken(self, but: str = "") -> list[Subnet]:
        """Return the subnets that a new one must keep clear of: of routes, and of networks but the one named."""
        return [subnet for _, subnet in self.occupied(but)]

    def occupied(self, but: str) -> list[tuple[str, Subnet]]:
        """Return the subnets in use with what uses them."""
        records = [
            (f"network {each.name}", subnet) for each in self.all() if each.name != but for subnet, _ in each.ranges
        ]
        return records + [(f"the route of {link}", subnet) for link, subnet in _routes()]

    def refuse_overlap(self, subnet: Subnet, name: str) -> None:
        """Refuse a subnet in which another network, or a route of this machine, has an address."""
        for whose, other in self.occupied(name):
            if subnet.overlaps(other):
                text = "Pool overlaps with other one on this address space"
                raise SandboxError(f"{text}: {subnet} and {other} ({whose})")


def new_link() -> str:
    """Return a name for a bridge; by chance, as several state roots share the machine's interfaces."""
    while True:
        name = f"{LINK}{os.urandom(4).hex()[:7]}"
        if not link_index(name):
            return name


def _routes() -> list[tuple[str, Subnet]]:
    found = []
    for path, parse in ((ROUTES, parse_routes), (IPV6_ROUTES, parse_ipv6_routes)):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:  # a kernel without it, or no /proc
            found += parse(file.read())
    return found
