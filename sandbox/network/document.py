"""The network's part of a container's document: Docker's keys; pure."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.network.ports import Bindings, bindings
from sandbox.network.settings import DEFAULT, Endpoint, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.network.registry import Lease, Member, Record

__all__ = ["connected", "disconnected", "host_config", "unconnected"]

NOWHERE = {
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "MacAddress": "",
}


def host_config(network: Network) -> dict[str, Any]:
    """Return what of HostConfig is about the network."""
    asked: dict[str, list[dict[str, str]]] = {}
    for port in network.ports:
        number = "" if not port.host_port else str(port.host_port)
        if port.last > port.host_port:
            number = f"{port.host_port}-{port.last}"
        asked.setdefault(port.name, []).append({"HostIp": port.host_ip, "HostPort": number})
    return {
        "NetworkMode": network.mode,
        "PortBindings": asked,
        "PublishAllPorts": network.publish_all,
        "Dns": list(network.dns),
        "DnsSearch": list(network.dns_search),
        "DnsOptions": list(network.dns_options),
        "ExtraHosts": list(network.hosts) or None,
    }


def unconnected(network: Network, pid: int = 0) -> dict[str, Any]:
    """Return NetworkSettings of a container without an interface of its own, or of one that does not run (pid 0)."""
    return {
        "Bridge": "",
        "SandboxKey": f"/proc/{pid}/ns/net" if pid and network.mode != "host" else "",
        "Ports": {} if network.mode == "host" else bindings((), network.exposed),
        **NOWHERE,
        "Networks": {each.network: {**_asked(each), **NOWHERE} for each in network.endpoints},
    }


def connected(network: Network, members: Sequence[Member], ports: Bindings, pid: int) -> dict[str, Any]:
    """Return NetworkSettings of a container that runs, with its place on each of its networks."""
    places = {each.record.name: _place(each.record, each.lease) for each in members}
    first = members[0].record if members else None
    asked = {each.network: each for each in network.endpoints}
    networks = {
        each.record.name: {
            **_asked(asked[each.record.name]),
            "Aliases": None if each.record.name == DEFAULT else list(each.lease.names),
            "NetworkID": each.record.id,
            **places[each.record.name],
        }
        for each in members
    }
    return {
        **unconnected(network, pid),
        **(places[first.name] if first else {}),
        "Bridge": first.link if first else "",
        "Ports": ports,
        "Networks": networks,
    }


def _asked(endpoint: Endpoint) -> dict[str, Any]:
    given = {"IPv4Address": endpoint.address, "IPv6Address": endpoint.address6}
    asked = {key: value for key, value in given.items() if value}
    return {"IPAMConfig": asked or None, "Aliases": list(endpoint.aliases) or None}


def _place(record: Record, lease: Lease) -> dict[str, Any]:
    ways = {} if record.internal else {"Gateway": record.gateway, "IPv6Gateway": record.gateway6}
    found = {"IPAddress": lease.address, "GlobalIPv6Address": lease.address6, "MacAddress": lease.mac}
    found |= {"EndpointID": lease.endpoint}
    prefixes = zip(("IPPrefixLen", "GlobalIPv6PrefixLen"), (each.prefix for each, _ in record.ranges), strict=False)
    return {**NOWHERE, **ways, **found, **dict(prefixes)}


def disconnected(settings: dict[str, Any]) -> dict[str, Any]:
    """Return NetworkSettings of a container that has ended: it has no address and no port any more."""
    networks = {name: {**member, **NOWHERE} for name, member in settings["Networks"].items()}
    return {**settings, **NOWHERE, "SandboxKey": "", "Ports": {}, "Networks": networks}
