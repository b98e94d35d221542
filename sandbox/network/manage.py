"""`sandbox network`: networks made, listed, shown and removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sandbox import events
from sandbox.document import NEVER, timestamp
from sandbox.errors import SandboxError, printable
from sandbox.filters import has_label, split_filter
from sandbox.lifecycle import Pairs
from sandbox.network.addresses import IPV4, Subnet, local_subnet, parse_subnet
from sandbox.network.registry import Networks, Record
from sandbox.network.settings import BUILT_IN, DEFAULT, check_network_name
from sandbox.state import SHORT_ID, Store
from sandbox.template import listing as template_listing
from sandbox.value import replace

__all__ = ["create", "inspect", "listing", "parse_options", "prune", "remove"]

USUAL_FORMAT = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
TITLES = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
}
MTU_OPTIONS = ("com.docker.network.driver.mtu", "mtu")
SMALLEST_MTU, SMALLEST_IPV6_MTU, LARGEST_MTU = 68, 1280, 65535  # RFC 791, RFC 8200


def create(  # noqa: PLR0913  one for each option of `network create`
    store: Store,
    name: str,
    *,
    subnets: Sequence[str] = (),
    gateways: Sequence[str] = (),
    ip_range: str = "",
    reserved: Sequence[str] = (),
    ipv6: bool = False,
    internal: bool = False,
    mtu: int = 0,
    labels: Pairs = (),
) -> str:
    """Record a network and return its id; its bridge is made with its first container. `mtu` 0: that of the way out."""
    check_network_name(name)
    if name in BUILT_IN or name == "default":
        raise SandboxError(f"operation is not permitted on predefined {name} network", 1)
    if ipv6 and not os.path.isdir("/proc/sys/net/ipv6"):
        raise SandboxError("--ipv6: this machine has no IPv6", 1)
    if ipv6 and mtu and mtu < SMALLEST_IPV6_MTU:
        raise SandboxError(f"invalid MTU {mtu}: with IPv6 it is {SMALLEST_IPV6_MTU} at least", 1)
    subnet, subnet6 = _sorted(subnets, ipv6=ipv6)
    ways = _gateways(gateways, [each for each in (subnet, subnet6) if each])
    networks = Networks(store.root)
    with networks.lock():
        if networks.load(name) is not None:
            raise SandboxError(f"network with name {name} already exists", 1)
        record = networks.new(name, subnet, ways.get(subnet, ""))
        if subnet6:
            networks.refuse_overlap(subnet6, name)
            gateway6 = ways.get(subnet6) or subnet6.text(subnet6.first + 1)
            record = replace(record, subnet6=str(subnet6), gateway6=gateway6)
        record = replace(record, ip_range=ip_range, reserved=tuple(map(_address_of, reserved)))
        _check_parts(record, [each for each in (subnet, subnet6) if each])
        networks.save(replace(record, internal=internal, mtu=mtu, labels=labels))
    events.append(store.root, "network", "create", record.id, {"name": name, "type": "bridge"})
    return record.id


def _sorted(texts: Sequence[str], *, ipv6: bool) -> tuple[Subnet | None, Subnet | None]:
    """Return the IPv4 subnet, None to choose one, and the IPv6 subnet, None without IPv6."""
    found: dict[bool, Subnet] = {}
    for text in texts:
        if (":" in text) in found:
            raise SandboxError(f"--subnet {text}: a network has one of each kind, IPv4 and IPv6", 1)
        found[":" in text] = parse_subnet(text)
    if True in found and not ipv6:
        raise SandboxError(f"--subnet {found[True]} needs --ipv6", 1)
    return found.get(False), found.get(True) or (local_subnet() if ipv6 else None)


def _gateways(texts: Sequence[str], subnets: Sequence[Subnet]) -> dict[Subnet | None, str]:
    """Return the gateway of each subnet that is given one."""
    found: dict[Subnet | None, str] = {}
    for text in texts:
        subnet = next((each for each in subnets if each.holds(text)), None)
        if subnet is None or subnet in found:
            raise SandboxError(f"no matching subnet for gateway {text}: it is in a --subnet, one in each", 1)
        found[subnet] = text
    return found


def _address_of(text: str) -> str:
    """Return the address of an `--aux-address NAME=IP`; the name is for people."""
    _, equals, address = text.partition("=")
    if not equals:
        raise SandboxError(f"--aux-address {text!r}: the form is NAME=IP", 1)
    return address


def _check_parts(record: Record, given: Sequence[Subnet]) -> None:
    """Refuse a range, or addresses that are kept, outside of the subnets that were asked for."""
    for address in record.reserved:
        if not any(subnet.holds(address) for subnet in given):
            raise SandboxError(f"no matching subnet for aux-address {address}: it is in a --subnet", 1)
    if record.ip_range:
        part = parse_subnet(record.ip_range)
        if part.bits != IPV4 or not any(each.overlaps(part) and each.prefix <= part.prefix for each in given):
            raise SandboxError(f"no matching subnet for range {record.ip_range}: it is in the IPv4 --subnet", 1)


def parse_options(texts: Iterable[str]) -> int:
    """Return the MTU that `--opt com.docker.network.driver.mtu=N` asks for, the option that there is; 0 when none."""
    mtu = 0
    for text in texts:
        key, _, value = text.partition("=")
        if key not in MTU_OPTIONS:
            raise SandboxError(f"unknown option {key!r}: {MTU_OPTIONS[0]}=N is the one that there is", 1)
        known = value.isascii() and value.isdigit() and len(value) <= len(str(LARGEST_MTU))
        if not (known and SMALLEST_MTU <= int(value) <= LARGEST_MTU):
            raise SandboxError(f"invalid MTU {value!r}: from {SMALLEST_MTU} to {LARGEST_MTU}", 1)
        mtu = int(value)
    return mtu


def listing(store: Store, filters: Sequence[str] = (), template: str = "", *, quiet: bool, whole: bool) -> str:
    """Return the table of `network ls`, or the ids alone, or a line a network by a template."""
    chosen = _all(store)
    for item in filters:
        key, value = split_filter(item, FILTERS)
        chosen = [each for each in chosen if FILTERS[key](each, value)]
    rows = [_row(each, whole=whole) for each in chosen]
    if quiet and not template:
        return "\n".join(row["ID"] for row in rows)
    return template_listing(rows, template, TITLES, USUAL_FORMAT)


def _row(network: dict[str, Any], *, whole: bool) -> dict[str, str]:
    return {
        "ID": network["Id"] if whole else network["Id"][:SHORT_ID],
        "Name": network["Name"],
        "Driver": network["Driver"],
        "Scope": network["Scope"],
        "IPv6": str(network["EnableIPv6"]).lower(),
        "Internal": str(network["Internal"]).lower(),
        "Labels": ",".join(printable(f"{key}={value}") for key, value in network["Labels"].items()),
    }


FILTERS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "name": lambda network, value: value in network["Name"],
    "id": lambda network, value: network["Id"].startswith(value),
    "driver": lambda network, value: network["Driver"] == value,
    "type": lambda network, value: value == ("builtin" if network["Name"] in BUILT_IN else "custom"),
    "label": lambda network, value: has_label(network["Labels"], value),
}


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
        "Created": NEVER,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def inspect(store: Store, name: str) -> dict[str, Any]:
    """Return the document of `network inspect`, with Docker's keys."""
    networks = Networks(store.root)
    if name in BUILT_IN and networks.load(name) is None:
        return _built_in(name)
    return _document(networks.find(name), store)


def _document(record: Record, store: Store) -> dict[str, Any]:
    known = set(store.ids())
    lengths = [subnet.prefix for subnet, _ in record.ranges]
    config = [{"Subnet": str(subnet), "Gateway": gateway} for subnet, gateway in record.ranges]
    config[0] |= {"IPRange": record.ip_range} if record.ip_range else {}
    options = {"com.docker.network.bridge.name": record.link}
    return {
        **_built_in(DEFAULT),
        "Name": record.name,
        "Id": record.id,
        "Created": timestamp(record.created),
        "EnableIPv6": bool(record.subnet6),
        "IPAM": {"Driver": "default", "Options": None, "Config": config},
        "Internal": record.internal,
        "Containers": {
            container: {
                "Name": lease.names[0] if lease.names else "",
                "EndpointID": lease.endpoint,
                "MacAddress": lease.mac,
                "IPv4Address": f"{lease.address}/{lengths[0]}",
                "IPv6Address": f"{lease.address6}/{lengths[1]}" if lease.address6 else "",
            }
            for container, lease in record.leases.items()
            if container in known
        },
        "Options": options | ({MTU_OPTIONS[0]: str(record.mtu)} if record.mtu else {}),
        "Labels": dict(record.labels),
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
    events.append(store.root, "network", "destroy", record.id, {"name": record.name, "type": "bridge"})


def prune(store: Store, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> list[str]:
    """Remove every network that was created and that no container is on; `chosen` by its labels. Returns names."""
    networks = Networks(store.root)
    if not networks.exist():
        return []
    with networks.lock():
        unused = (record for record in networks.all() if not record.leases and record.name != DEFAULT)
        doomed = [record for record in unused if chosen(dict(record.labels))]
        for record in doomed:
            networks.remove(record)
            events.append(store.root, "network", "destroy", record.id, {"name": record.name, "type": "bridge"})
    return [record.name for record in doomed]
