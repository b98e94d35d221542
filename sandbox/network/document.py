"""The network's part of a container's document: Docker's keys; pure."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.network.ports import bindings
from sandbox.network.settings import DEFAULT, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.network.listening import Listener
    from sandbox.network.registry import Lease, Record

__all__ = ["connected", "disconnected", "host_config", "unconnected"]


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
        "ExtraHosts": list(network.hosts) or None,
    }


def unconnected(network: Network, pid: int = 0) -> dict[str, Any]:
    """Return NetworkSettings of a container without an interface of its own, or of one that does not run (pid 0)."""
    return {
        "Bridge": "",
        "SandboxKey": f"/proc/{pid}/ns/net" if pid and network.mode != "host" else "",
        "Ports": {} if network.mode == "host" else bindings((), network.exposed),
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "MacAddress": "",
        "Networks": {},
    }


def connected(
    network: Network, record: Record, lease: Lease, listeners: Sequence[Listener], pid: int
) -> dict[str, Any]:
    """Return NetworkSettings of a container that runs on a bridge."""
    endpoint = {
        "Gateway": "" if record.internal else record.gateway,
        "IPAddress": lease.address,
        "IPPrefixLen": record.range.prefix,
        "MacAddress": lease.mac,
    }
    member = {
        "IPAMConfig": {"IPv4Address": network.address} if network.address else None,
        "Aliases": None if record.name == DEFAULT else list(lease.names),
        "NetworkID": record.id,
        **endpoint,
    }
    bound = [(each.port.name, each.address, each.number) for each in listeners]
    return {
        **unconnected(network, pid),
        **endpoint,
        "Bridge": record.link,
        "Ports": bindings(bound, network.exposed),
        "Networks": {record.name: member},
    }


def disconnected(settings: dict[str, Any]) -> dict[str, Any]:
    """Return NetworkSettings of a container that has ended: it has no address and no port any more."""
    nothing = {"Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "MacAddress": ""}
    networks = {name: {**member, **nothing} for name, member in settings["Networks"].items()}
    return {**settings, **nothing, "SandboxKey": "", "Ports": {}, "Networks": networks}
