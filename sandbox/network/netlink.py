"""rtnetlink, one request after another: pyroute2 encodes them, a plain socket carries them (rtnetlink(7)).

`import pyroute2` takes 150 ms, most of it asyncio and thirty modules for other
ends. The message classes of links, addresses and routes alone take 30, so the
package is entered beside its own __init__. What deletes a link needs no attributes, and no pyroute2.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, Self

__all__ = ["Netlink", "link_index"]

Attributes = Iterable[tuple[str, Any]]

NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_EXCL, NLM_F_CREATE, NLM_F_REPLACE = 0x200, 0x400, 0x100
NEW = NLM_F_CREATE | NLM_F_EXCL
NLM_F_DUMP = 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE = 24
RTM_NEWQDISC, RTM_NEWTFILTER = 36, 44
NLMSGHDR = "=IHHII"
IFINFOMSG = "=BxHiII"
ATTRIBUTE = "=HHI"  # length, type, a number
IFADDRMSG = "=BBBBI"
ATTRIBUTE_HEAD = "=HH"
IFLA_IFNAME, IFLA_GROUP, IFLA_NET_NS_FD = 3, 27, 28
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFF_UP = 0x1
IFA_F_NODAD, IFA_F_PERMANENT = 0x02, 0x80
ANSWER_BYTES = 65536
TC_H_ROOT, TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
INGRESS_HANDLE = 0xFFFF0000
ETH_P_ALL = 0x0003
FILTER_PRIORITY = 1


def link_index(name: str) -> int:
    """Return the index of an interface of this network namespace, 0 when there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def load_messages() -> None:
    """Make `pyroute2` importable by its parts: without running its __init__, which imports all of them."""
    import sys  # noqa: PLC0415
    from importlib.util import find_spec  # noqa: PLC0415
    from types import ModuleType  # noqa: PLC0415

    if "pyroute2" not in sys.modules:
        found = find_spec("pyroute2")
        if found is None or found.submodule_search_locations is None:
            raise ModuleNotFoundError("pyroute2 is not installed: it is needed for every network but none and host")
        package = ModuleType("pyroute2")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["pyroute2"] = package
    from pyroute2.netlink.rtnl import ifaddrmsg, ifinfmsg, rtmsg  # noqa: F401, PLC0415


class Netlink:
    """A conversation with the network namespace that the caller is in when it begins.

    Every method waits for the kernel's answer and raises OSError with what it was about.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def add_link(self, what: str, attributes: Attributes, *, up: bool = True) -> None:
        """Make an interface (RTM_NEWLINK)."""
        self._link(what, 0, attributes, NEW, up=up)

    def change_link(self, what: str, index: int, attributes: Attributes = (), *, up: bool = True) -> None:
        """Change an interface, and bring it up."""
        self._link(what, index, attributes, 0, up=up)

    def move_link(self, what: str, index: int, name: str, namespace: int) -> None:
        """Give an interface to the network namespace of a descriptor, under a name that is free there; it is down."""
        text = os.fsencode(name) + b"\0"
        body = struct.pack(IFINFOMSG, 0, 0, index, 0, 0) + struct.pack(ATTRIBUTE, 8, IFLA_NET_NS_FD, namespace)
        body += struct.pack(ATTRIBUTE_HEAD, struct.calcsize(ATTRIBUTE_HEAD) + len(text), IFLA_IFNAME) + text
        self._request(what, RTM_NEWLINK, 0, body)

    def delete_link(self, name: str) -> None:
        """Delete an interface; one that does not exist is none (RTM_DELLINK)."""
        if index := link_index(name):
            self._delete(f"delete {name}", struct.pack(IFINFOMSG, 0, 0, index, 0, 0))

    def delete_group(self, group: int) -> None:
        """Delete all interfaces of a group at once: each by itself would wait for all CPUs again."""
        body = struct.pack(IFINFOMSG, 0, 0, 0, 0, 0) + struct.pack(ATTRIBUTE, 8, IFLA_GROUP, group)
        self._delete(f"delete the interfaces of group {group}", body)

    def _delete(self, what: str, body: bytes) -> None:
        try:
            self._request(what, RTM_DELLINK, 0, body)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, what: str, index: int, address: str, prefix: int) -> None:
        """Give an interface an address; one that it has already is no error.

        An IPv6 address is used at once, and not first looked for at others (IFA_F_NODAD): we know who has it.
        """
        from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: PLC0415

        message = ifaddrmsg()
        family, flags = (socket.AF_INET6, IFA_F_NODAD) if ":" in address else (socket.AF_INET, 0)
        message.update(family=family, prefixlen=prefix, flags=flags, scope=0, index=index)
        message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
        self._send(what, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, message)

    def lasting_addresses(self, index: int) -> list[tuple[str, int]]:
        """Return an interface's addresses that are known everywhere and do not expire, each with its prefix."""
        self._number += 1
        header = struct.pack(NLMSGHDR, 16 + 8, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, self._number, 0)
        self._socket.sendto(header + struct.pack(IFADDRMSG, 0, 0, 0, 0, 0), (0, 0))
        found: list[tuple[str, int]] = []
        while True:
            answer, at = self._socket.recv(ANSWER_BYTES), 0
            while at < len(answer):
                length, kind = struct.unpack_from("=IH", answer, at)
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", answer, at + 16)
                    raise OSError(-code, f"addresses of an interface: {os.strerror(-code)}")
                family, prefix, flags, scope, of = struct.unpack_from(IFADDRMSG, answer, at + 16)
                if of == index and flags & IFA_F_PERMANENT and not scope:
                    found.append((_address(family, answer[at + 24 : at + length]), prefix))
                at += length + 3 & ~3

    def add_default_route(self, what: str, gateway: str) -> None:
        """Send what is for nobody here to `gateway`, in place of where it went before."""
        from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: PLC0415

        message = rtmsg()
        # RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST
        family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
        message.update(family=family, dst_len=0, table=254, proto=3, scope=0, type=1)
        message["attrs"] = [("RTA_GATEWAY", gateway)]
        self._send(what, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, message)

    def limit_rate(self, what: str, index: int, bytes_per_second: int, burst: int, queue: int) -> None:
        """Let an interface send no faster (tc-tbf(8)); `burst` and `queue` in bytes."""
        from pyroute2.netlink.rtnl.tcmsg import sched_tbf  # noqa: PLC0415

        options = {"rate": bytes_per_second, "burst": burst, "limit": queue}
        self._tc(what, RTM_NEWQDISC, index, TC_H_ROOT, 0, 0, "tbf", sched_tbf.get_parameters(options))

    def redirect_received(self, what: str, index: int, to: int) -> None:
        """Let what an interface receives go out by another first (tc-mirred(8)): there a rate can be set for it."""
        from pyroute2.netlink.rtnl.tcmsg import cls_u32  # noqa: PLC0415

        self._tc(what, RTM_NEWQDISC, index, TC_H_INGRESS, INGRESS_HANDLE, 0, "ingress", None)
        action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": to}
        options = cls_u32.get_parameters({"target": 0x10001, "keys": ["0x0/0x0+0"], "action": action})
        info = socket.htons(ETH_P_ALL) | FILTER_PRIORITY << 16
        self._tc(what, RTM_NEWTFILTER, index, INGRESS_HANDLE, 0, info, "u32", options)

    def _link(self, what: str, index: int, attributes: Attributes, flags: int, *, up: bool) -> None:
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: PLC0415

        message = ifinfmsg()
        message.update(family=0, ifi_type=0, index=index, flags=IFF_UP * up, change=IFF_UP * up)
        message["attrs"] = list(attributes)
        self._send(what, RTM_NEWLINK, flags, message)

    def _tc(
        self, what: str, kind: int, index: int, parent: int, handle: int, info: int, name: str, options: object
    ) -> None:
        from pyroute2.netlink.rtnl.tcmsg import tcmsg  # noqa: PLC0415

        message = tcmsg()
        message.update(family=0, index=index, handle=handle, parent=parent, info=info)
        message["attrs"] = [("TCA_KIND", name), *([("TCA_OPTIONS", options)] if options else [])]
        self._send(what, kind, NEW, message)

    def _send(self, what: str, kind: int, flags: int, message: Any) -> None:  # noqa: ANN401  pyroute2 has no types
        message["header"].update(type=kind, flags=0, pid=0, sequence_number=0)
        message.encode()
        header = struct.calcsize(NLMSGHDR)
        length = int(struct.unpack_from("=I", message.data)[0])
        self._request(what, kind, flags, bytes(message.data[header:length]))

    def _request(self, what: str, kind: int, flags: int, body: bytes) -> None:
        self._number += 1
        length = struct.calcsize(NLMSGHDR) + len(body)
        header = struct.pack(NLMSGHDR, length, kind, flags | NLM_F_REQUEST | NLM_F_ACK, self._number, 0)
        self._socket.sendto(header + body, (0, 0))
        while True:
            answer = self._socket.recv(ANSWER_BYTES)
            _, answered, _, number, _ = struct.unpack_from(NLMSGHDR, answer)
            if number == self._number and answered == NLMSG_ERROR:
                break
        (code,) = struct.unpack_from("=i", answer, struct.calcsize(NLMSGHDR))
        if code:
            raise OSError(-code, f"{what}: {os.strerror(-code)}")


def _address(family: int, attributes: bytes) -> str:
    """Return the own address among the attributes of a RTM_NEWADDR."""
    found, at = {}, 0
    while at < len(attributes):
        length, kind = struct.unpack_from(ATTRIBUTE_HEAD, attributes, at)
        found[kind] = attributes[at + 4 : at + length]
        at += length + 3 & ~3
    return socket.inet_ntop(family, found.get(IFA_LOCAL, found[IFA_ADDRESS]))
