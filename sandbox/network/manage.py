"""`sandbox network`: networks made, listed, shown and removed."""

from __future__ import annotations

from typing import Any

from sandbox.document import table, timestamp
from sandbox.errors import SandboxError
from sandbox.network.addresses import parse_subnet, to_number
from sandbox.network.registry import Networks, Record
from sandbox.network.settings import BUILT_IN, DEFAULT, check_network_name
from sandbox.state import Store

__all__ = ["create", "inspect", "listing", "prune", "remove"]

SHORT_ID = 12


def create(store: Store, name: str, *, subnet: str = "", gateway: str = "", internal: bool = False) -> str:
    """Record a network and return its id; its bridge is made with its first container."""
    check_network_name(name)
    if name in BUILT_IN or name == "default":
        raise SandboxError(f"operation is not permitted on predefined {name} network", 1)
    wanted = parse_subnet(subnet) if subnet else None
    if gateway:
        if wanted is None:
            raise SandboxError("--gateway needs the --subnet that it is in", 1)
        if to_number(gateway) not in range(wanted.first + 1, wanted.last):
            raise SandboxError(f"no matching subnet for gateway {gateway}", 1)
    networks = Networks(store.root)
    with networks.lock():
        if networks.load(name) is not None:
            raise SandboxError(f"network with name {name} already exists", 1)
        record = networks.new(name, wanted, gateway, internal=internal)
        networks.save(record)
    return record.id


def listing(store: Store, *, quiet: bool, whole: bool) -> str:
    """Return the table of `network ls`, or the ids alone."""
    rows = [["NETWORK ID", "NAME", "DRIVER", "SCOPE"]]
    for each in _all(store):
        identity = each["Id"] if whole else each["Id"][:SHORT_ID]
        rows.append([identity, each["Name"], each["Driver"], each["Scope"]])
    return "\n".join(row[0] for row in rows[1:]) if quiet else table(rows)


def _all(store: Store) -> list[dict[str, Any]]:
    records = Networks(store.root).all()
    found = [_document(record, store) for record in records]
    present = {record.name for record in records}
    found += [_built_in(name) for name in BUILT_IN if name not in present]
    return sorted(found, key=lambda each: str(each["Name"]))


def _built_in(name: str) -> dict[str, Any]:
    """Return what there is to say of none, host, and a bridge that no container was on yet."""
    from hashlib import sha256  # noqa: PLC0415

    driver = "null" if name == "none" else name
    return {
        "Name": name,
        "Id": sha256(name.encode()).hexdigest(),
        "Scope": "local",
        "Driver": driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Containers": {},
        "Options": {},
    }


def inspect(store: Store, name: str) -> dict[str, Any]:
    """Return the document of `network inspect`, with Docker's keys."""
    networks = Networks(store.root)
    if name in BUILT_IN and networks.load(name) is None:
        return _built_in(name)
    return _document(networks.find(name), store)


def _document(record: Record, store: Store) -> dict[str, Any]:
    known = set(store.ids())
    prefix = record.range.prefix
    return {
        **_built_in(DEFAULT),
        "Name": record.name,
        "Id": record.id,
        "Created": timestamp(record.created),
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": record.subnet, "Gateway": record.gateway}],
        },
        "Internal": record.internal,
        "Containers": {
            container: {
                "Name": lease.names[0] if lease.names else "",
                "MacAddress": lease.mac,
                "IPv4Address": f"{lease.address}/{prefix}",
                "IPv6Address": "",
            }
            for container, lease in record.leases.items()
            if container in known
        },
        "Options": {"com.docker.network.bridge.name": record.link},
    }


def remove(store: Store, name: str) -> None:
    """Remove a network that no container is on."""
    networks = Networks(store.root)
    with networks.lock():
        if name in BUILT_IN:
            raise SandboxError(f"{name} is a pre-defined network and cannot be removed", 1)
        record = networks.find(name)
        if record.leases:
            raise SandboxError(f"error while removing network: network {name} has active endpoints", 1)
        networks.remove(record)


def prune(store: Store) -> list[str]:
    """Remove every network that was created and that no container is on; returns their names."""
    networks = Networks(store.root)
    if not networks.exist():
        return []
    with networks.lock():
        doomed = [record for record in networks.all() if not record.leases and record.name != DEFAULT]
        for record in doomed:
            networks.remove(record)
    return [record.name for record in doomed]
