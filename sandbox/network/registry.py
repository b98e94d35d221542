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

from sandbox.codec import decode, encode
from sandbox.errors import SandboxError
from sandbox.network.addresses import Subnet, choose_subnet, parse_routes, parse_subnet, to_text
from sandbox.network.netlink import link_index
from sandbox.state import replace_document
from sandbox.value import Value, replace

__all__ = ["ROUTES", "Lease", "Networks", "Record"]

LINK = "cgscope-"  # with 7 more letters this is as long as a name may be
ROUTES = "/proc/net/route"


class Lease(Value):
    """A container's place on a network. `veth` is the host's end of its pair; `ifb` of its rate limit, or ""."""

    address: str
    mac: str
    veth: str
    ifb: str = ""
    names: tuple[str, ...] = ()


class Record(Value):
    """One network. `chosen`: its subnet was not asked for by name, so it may be another the next time."""

    name: str
    id: str
    created: float
    link: str
    subnet: str
    gateway: str
    leases: dict[str, Lease]
    chosen: bool = True
    internal: bool = False

    @property
    def group(self) -> int:
        """Return the number that the kernel's interfaces of this network have in common."""
        return int(self.link.removeprefix(LINK), 16) or 1

    @property
    def range(self) -> Subnet:
        """Return the subnet as numbers."""
        return parse_subnet(self.subnet)

    def with_subnet(self, subnet: Subnet) -> Record:
        """Return the network with another subnet, whose first address is the gateway."""
        return replace(self, subnet=str(subnet), gateway=to_text(subnet.first + 1))


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
            raise SandboxError(f"network {name} not found", exit_code)
        return found[0]

    def save(self, record: Record) -> None:
        """Write a network, whole or not at all; with the lock held."""
        replace_document(f"{self.directory}/{record.name}.json", encode(record))

    def remove(self, record: Record) -> None:
        """Forget a network; with the lock held."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.directory}/{record.name}.json")

    def new(self, name: str, subnet: Subnet | None = None, gateway: str = "", *, internal: bool = False) -> Record:
        """Return a new network, not yet saved; without a subnet one that collides with nothing is chosen."""
        if subnet is not None:
            self.refuse_overlap(subnet, name)
        chosen = subnet or choose_subnet(self.taken())
        identity, now = os.urandom(32).hex(), time.time()
        blank = Record(name, identity, now, new_link(), "", "", {}, chosen=subnet is None, internal=internal)
        made = blank.with_subnet(chosen)
        return replace(made, gateway=gateway) if gateway else made

    def taken(self, but: str = "") -> list[Subnet]:
        """Return the subnets that a new one must keep clear of: of routes, and of networks but the one named."""
        return [subnet for _, subnet in self.occupied(but)]

    def occupied(self, but: str) -> list[tuple[str, Subnet]]:
        """Return the subnets in use with what uses them."""
        records = [(f"network {each.name}", each.range) for each in self.all() if each.name != but]
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
    try:
        with open(ROUTES, "rb") as file:
            return parse_routes(file.read())
    except FileNotFoundError:  # a kernel without it, or no /proc
        return []
