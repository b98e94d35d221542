"""The process that connects a container: it loads pyroute2 while the container is being made, and does not outlive it.

    monitor                             plumber
    fork -----------------------------> loads pyroute2's messages
    (cgroups, namespaces, first process)
    Born(pid) + /proc/<pid>/ns/net ---> bridge, veth, rate; enters the namespace: address, route
         <----------------------------- Ready, or Failed
                                        exit

A process of its own, as its memory would stay with the monitor as long as the container lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NoReturn

from sandbox import channel, syscalls
from sandbox.errors import SandboxError
from sandbox.network import nft
from sandbox.network.netlink import Netlink, link_index, load_messages
from sandbox.network.plan import INSIDE, Bridge, Plan, Rate, Veth
from sandbox.network.registry import Networks

__all__ = ["Plumber", "remove_bridge", "remove_links"]

FORWARD = "/proc/sys/net/ipv4/ip_forward"


class Plumber:
    """Our end: begin early, connect() when the container's first process is there, close() in any case."""

    def __init__(self, plan: Plan, networks: Networks) -> None:
        self._channel, theirs = channel.pair()
        me = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._channel.close()
            _be_plumber(plan, networks, theirs, me)
        theirs.close()

    def connect(self, pid: int) -> None:
        """Connect the network namespace of a process; raises what the kernel refused."""
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._channel.send(channel.Born(pid), namespace)
        finally:
            os.close(namespace)
        try:
            self._channel.expect(channel.Ready)
        except channel.Closed:
            raise SandboxError("the process that connects the container to its network was killed") from None

    def close(self) -> None:
        """End it."""
        self._channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _be_plumber(plan: Plan, networks: Networks, end: channel.Channel, parent: int) -> NoReturn:
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        load_messages()
        namespace = end.expect_descriptor(channel.Born)
        with networks.lock():
            _connect_host(plan, namespace)
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        _connect_inside(plan)
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
    index = link_index(bridge.link)
    address, _, prefix = bridge.address.partition("/")
    netlink.add_address(f"address of {bridge.link}", index, address, int(prefix))
    if not bridge.internal and not forwards():
        with contextlib.suppress(OSError), open(FORWARD, "wb") as file:
            file.write(b"1")
    nft.apply(nft.ruleset(bridge.link, bridge.subnet, internal=bridge.internal))
    netlink.change_link(f"bring up {bridge.link}", index)


def forwards() -> bool:
    """Tell whether this machine passes packets on between its interfaces."""
    try:
        with open(FORWARD, "rb") as file:
            return file.read().strip() == b"1"
    except OSError:
        return False


def _make_veth(netlink: Netlink, veth: Veth, group: int, namespace: int) -> None:
    peer = [("IFLA_IFNAME", INSIDE), ("IFLA_ADDRESS", veth.mac), ("IFLA_MTU", veth.mtu)]
    data = {"attrs": [("VETH_INFO_PEER", {"attrs": [*peer, ("IFLA_NET_NS_FD", namespace)]})]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
    attributes = [("IFLA_IFNAME", veth.host), ("IFLA_MASTER", link_index(veth.bridge)), ("IFLA_MTU", veth.mtu)]
    attributes += [("IFLA_GROUP", group), ("IFLA_LINKINFO", info)]
    netlink.add_link(f"make the interface {veth.host}", attributes)


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


def _connect_inside(plan: Plan) -> None:
    with Netlink() as netlink:
        index = link_index(INSIDE)
        netlink.change_link(f"{INSIDE} of the container", index)
        netlink.add_address(f"address of {INSIDE}", index, plan.inside.address, plan.inside.prefix)
        if plan.inside.gateway:
            netlink.add_default_route("default route of the container", plan.inside.gateway)


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
