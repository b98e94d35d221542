"""What can be known of a container's network before anything is made: who shares it, what is missing here, the plan."""

from __future__ import annotations

import os

from sandbox.errors import SandboxError
from sandbox.network.settings import DEFAULT, Network
from sandbox.state import Store
from sandbox.value import replace

__all__ = ["own_files", "plan", "resolve", "warnings"]


def resolve(network: Network, hostname: str, store: Store) -> tuple[Network, str]:
    """Return the network with names resolved to what they stand for, and the host name, of a shared one its owner's."""
    if network.container:
        if hostname:
            raise SandboxError("conflicting options: hostname and the network mode")
        from sandbox.network.sharing import find_owner  # noqa: PLC0415

        owner = find_owner(store, network.container)
        return replace(network, mode=f"container:{owner['Id']}"), str(owner["Config"]["Hostname"])
    if network.has_link:
        if os.geteuid() != 0:
            raise SandboxError(
                f"--net {network.mode} needs root: without it a container has --net none, host or container:NAME"
            )
        endpoints = tuple(replace(each, network=_name(each.network, store)) for each in network.endpoints)
        network = replace(network, mode=endpoints[0].network, endpoints=endpoints)
    return network, hostname


def _name(network: str, store: Store) -> str:
    """Return the name of a network that is called by it, or by its id."""
    if network == DEFAULT:
        return network
    from sandbox.network.registry import Networks  # noqa: PLC0415

    return Networks(store.root).find(network, exit_code=125).name


def own_files(network: Network, store: Store, container: str) -> tuple[str, str, str]:
    """Return where hostname, hosts and resolv.conf are kept: with a shared network they are the other container's."""
    if network.container:
        from sandbox.network.sharing import find_owner  # noqa: PLC0415

        owner = find_owner(store, network.container)
        return owner["HostnamePath"], owner["HostsPath"], owner["ResolvConfPath"]
    directory = store.directory(container)
    return f"{directory}/hostname", f"{directory}/hosts", f"{directory}/resolv.conf" if network.has_servers else ""


def plan(network: Network, store: Store, container: str) -> list[str]:
    """Return the steps that connect the container, as text (`--dry-run`)."""
    if not network.has_link:
        return []
    from sandbox.network.attach import plan_for  # noqa: PLC0415
    from sandbox.network.members import Guest  # noqa: PLC0415

    published = [f"listen {port.host_ip or '*'}:{port.host_port or 'any'} for {port.name}" for port in network.ports]
    plans = plan_for(store.root, Guest(container, "", ""), network)
    resolver = ["dns    127.0.0.11 in the container, served by its monitor"] if network.has_resolver else []
    return [*published, *(line for each in plans for line in str(each).splitlines()), *resolver]


def warnings(network: Network, store: Store) -> list[str]:
    """Return what will not work here as it was asked for, a line each."""
    if network.mode == "host" and (network.ports or network.publish_all):
        return ["Published ports are discarded when using host network mode"]
    if network.mode == "none" and (network.ports or network.publish_all):
        return ["Published ports are discarded with --net none: there is nothing that they could be passed on to"]
    if not network.has_link:
        return []
    from sandbox.network import nft, plumber, ports  # noqa: PLC0415
    from sandbox.network.registry import Networks  # noqa: PLC0415

    created = [each.network for each in network.endpoints if each.network != DEFAULT]
    records = map(Networks(store.root).load, created)
    ipv6 = any(record is not None and record.subnet6 for record in records)
    settings = plumber.not_forwarding(ipv6=ipv6)
    found = [f"net.{each.replace('/', '.')} is 0: it is set to 1, and stays so" for each in settings]
    lost = [name for name in network.exposed if network.publish_all and not ports.can_be_published(name)]
    found += [f"not published: {', '.join(lost)}: ports of tcp and udp are"] if lost else []
    if chains := nft.forbids_forwarding(ipv6=ipv6):
        reaches = "neither another container nor anything" if nft.filters_bridges() else "nothing"
        found.append(
            f"others' rules drop what is forwarded ({', '.join(chains)}): unless a rule there allows it, the container "
            f"reaches {reaches} beyond this machine; its published ports work all the same"
        )
    return found
