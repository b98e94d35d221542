"""The process that connects a container: it loads pyroute2 while the container is being made, and does not outlive it.

    monitor                             plumber
    fork -----------------------------> loads pyroute2's messages
    (cgroups, namespaces, first process)
    Born(pid) + /proc/<pid>/ns/net ---> bridges, veths, rates; enters the namespace: addresses, routes
         <----------------------------- two Sockets with the resolver's (answering.py), if it has one
         <----------------------------- Ready, or Failed
                                        exit

A process of its own, as its memory would stay with the monitor as long as the container lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from sandbox import channel, syscalls
from sandbox.errors import SandboxError
from sandbox.network import answering, nft
from sandbox.network.netlink import Netlink, link_index, load_messages
from sandbox.network.plan import Bridge, Inside, Plan, Rate, Veth
from sandbox.network.registry import Networks

__all__ = ["Plumber", "not_forwarding", "remove_bridge", "remove_links", "reroute"]

IPV4_FORWARD, IPV6_FORWARD = "ipv4/ip_forward", "ipv6/conf/all/forwarding"


class Plumber:
    """Our end: begin early, connect() when the container's first process is there, close() in any case."""

    def __init__(self, plans: Sequence[Plan], networks: Networks, *, resolver: bool = False) -> None:
        self._resolver = resolver
        self._channel, theirs = channel.pair()
        me = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._channel.close()
            _be_plumber(plans, networks, theirs, me, resolver=resolver)
        theirs.close()

    def connect(self, pid: int, namespace: int) -> list[int]:
        """Connect the network namespace of a process, an open file; raises what the kernel refused.

        Returns the sockets of its resolver, for datagrams and for connections, if it shall have one.
        """
        self._channel.send(channel.Born(pid), namespace)
        try:
            sockets = [self._channel.expect_descriptor(channel.Socket) for _ in range(2 * self._resolver)]
            self._channel.expect(channel.Ready)
        except channel.Closed:
            raise SandboxError("the process that connects the container to its network was killed") from None
        return sockets

    def close(self) -> None:
        """End it."""
        self._channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _be_plumber(
    plans: Sequence[Plan], networks: Networks, end: channel.Channel, parent: int, *, resolver: bool
) -> NoReturn:
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        load_messages()
        namespace = end.expect_descriptor(channel.Born)
        with networks.lock():
            for plan in plans:
                _connect_host(plan, namespace)
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        for plan in plans:
            _connect_inside(plan.inside)
        for each in answering.listen() if resolver else ():
            end.send(channel.Socket(), each.fileno())
        end.send(channel.Ready())
    except channel.Closed:  # the start has failed elsewhere
        os._exit(1)
    except BaseException as error:  # noqa: BLE001  the other side tells the user
        end.send_error(error)
        os._exit(1)
    os._exit(0)


def _connect_host(plan: Plan, namespace: int) -> None:
    with Netlink() as netlink:
        _make_bridge(netlink, plan.bridge)
        netlink.delete_link(plan.veth.host)  # of a start that was killed
        _make_veth(netlink, plan.veth, plan.bridge.group, namespace)
        if plan.rate:
            _limit(netlink, plan.rate, plan.bridge.group)


def _make_bridge(netlink: Netlink, bridge: Bridge) -> None:
    """Make a bridge where there is none, and see to it that it has its address and rules, and then is up.

    Each time: who made it may have been killed before it was complete, and a firewall that is loaded anew takes
    our rules along. Its hardware address is given: it would change with its ports otherwise.
    """
    if not link_index(bridge.link):
        info = {"attrs": [("IFLA_INFO_KIND", "bridge")]}
        attributes = [("IFLA_IFNAME", bridge.link), ("IFLA_ADDRESS", bridge.mac), ("IFLA_MTU", bridge.mtu)]
        attributes += [("IFLA_GROUP", bridge.group), ("IFLA_LINKINFO", info)]
        netlink.add_link(f"make the bridge {bridge.link}", attributes, up=False)
    _address(netlink, bridge.link, bridge.addresses)
    if not bridge.internal:
        for setting in not_forwarding(ipv6=_has_ipv6(bridge.addresses)):
            with contextlib.suppress(OSError):
                _write(setting, "1")
    nft.apply(nft.ruleset(bridge.link, bridge.subnets, internal=bridge.internal))
    netlink.change_link(f"bring up {bridge.link}", link_index(bridge.link))


def _address(netlink: Netlink, link: str, addresses: Sequence[str]) -> None:
    """Give a link its addresses, and no others: whoever is on a bridge could advertise itself as everybody's router.

    So router advertisements are not heard (CVE-2020-13401), and without an IPv6 address of ours there is no IPv6.
    """
    ipv6 = _has_ipv6(addresses)
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        _write(f"ipv6/conf/{link}/accept_ra", "0")
        _write(f"ipv6/conf/{link}/disable_ipv6", "0" if ipv6 else "1")
    for each in addresses:
        address, _, prefix = each.partition("/")
        netlink.add_address(f"address {each} of {link}", link_index(link), address, int(prefix))


def _has_ipv6(addresses: Sequence[str]) -> bool:
    return any(":" in address for address in addresses)


def not_forwarding(*, ipv6: bool) -> list[str]:
    """Return the settings, below /proc/sys/net, that keep this machine from passing packets on between interfaces."""
    return [setting for setting in (IPV4_FORWARD, IPV6_FORWARD)[: 1 + ipv6] if _read(setting) != "1"]


def _read(setting: str) -> str:
    try:
        with open(f"/proc/sys/net/{setting}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(setting: str, value: str) -> None:
    with open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
        file.write(value)


def _make_veth(netlink: Netlink, veth: Veth, group: int, namespace: int) -> None:
    peer = [("IFLA_IFNAME", veth.inside), ("IFLA_ADDRESS", veth.mac), ("IFLA_MTU", veth.mtu)]
    data = {"attrs": [("VETH_INFO_PEER", {"attrs": [*peer, ("IFLA_NET_NS_FD", namespace)]})]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    attributes = [("IFLA_IFNAME", veth.host), ("IFLA_MASTER", link_index(veth.bridge)), ("IFLA_MTU", veth.mtu)]
    attributes += [("IFLA_GROUP", group), ("IFLA_LINKINFO", info)]
    netlink.add_link(f"make the interface {veth.host}, in the container {veth.inside}", attributes)


def _limit(netlink: Netlink, rate: Rate, group: int) -> None:
    """Limit what the container receives on its veth, and what it sends on an ifb that the veth's input goes through."""
    host = link_index(rate.host)
    speed = (rate.bytes_per_second, rate.burst, rate.queue)
    netlink.limit_rate("--net-rate: tbf (CONFIG_NET_SCH_TBF)", host, *speed)
    netlink.delete_link(rate.ifb)
    info = {"attrs": [("IFLA_INFO_KIND", "ifb")]}
    attributes = [("IFLA_IFNAME", rate.ifb), ("IFLA_GROUP", group), ("IFLA_LINKINFO", info)]
    netlink.add_link("--net-rate: ifb (CONFIG_IFB)", attributes)
    ifb = link_index(rate.ifb)
    netlink.limit_rate("--net-rate: tbf (CONFIG_NET_SCH_TBF)", ifb, *speed)
    needed = "CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED"
    netlink.redirect_received(f"--net-rate: redirect to an ifb ({needed})", host, ifb)


def _connect_inside(inside: Inside) -> None:
    with Netlink() as netlink:
        _address(netlink, inside.link, inside.addresses)
        netlink.change_link(f"{inside.link} of the container", link_index(inside.link))
        _route(netlink, inside.gateways)


def _route(netlink: Netlink, gateways: Sequence[str]) -> None:
    for gateway in gateways:
        netlink.add_default_route(f"default route of the container via {gateway}", gateway)


def reroute(namespace: int, gateways: Sequence[str]) -> None:
    """Let default routes in a network namespace lead there; for a process with one thread alone, which comes back."""
    load_messages()
    with open("/proc/self/ns/net", "rb") as ours:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        try:
            netlink = Netlink()
        finally:
            syscalls.setns(ours.fileno(), syscalls.CLONE_NEWNET)
    with netlink:
        _route(netlink, gateways)


def remove_links(*names: str) -> None:
    """Delete interfaces of the host that are there."""
    present = [name for name in names if name and link_index(name)]
    if present:
        with Netlink() as netlink:
            for name in present:
                netlink.delete_link(name)


def remove_bridge(link: str, group: int) -> None:
    """Delete a bridge with all that is on it, and its rules."""
    with Netlink() as netlink:
        netlink.delete_group(group)
    nft.take_down(link)
