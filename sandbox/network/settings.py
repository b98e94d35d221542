"""What network a container shall have: frozen values, checked when they are made; pure.

Rules and messages are Docker's (moby runconfig/errors.go, daemon/container_operations.go).
"""

from __future__ import annotations

from sandbox.errors import BadValue, SandboxError
from sandbox.network.ports import Port, is_address
from sandbox.quick import fullmatch, socket
from sandbox.value import Value

__all__ = ["BUILT_IN", "DEFAULT", "Endpoint", "Network", "check_network_name", "parse_host", "parse_rate"]

DEFAULT = "bridge"
BUILT_IN = (DEFAULT, "host", "none")
CONTAINER = "container:"
# Not compiled before they are used: each would cost every start up to a millisecond.
NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
MAC = r"(?!00:00:00:00:00:00)[0-9a-f]{2}(:[0-9a-f]{2}){5}"
HOST = r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,252}[a-zA-Z0-9_])?\.?"
RATE = r"(\d+(?:\.\d{1,6})?) ?([kmgtKMGT]?)(?i:bit|bps)?"
LOWEST_RATE, HIGHEST_RATE = 8_000, 32_000_000_000  # bits a second: tbf counts bytes in 32 bits
GROUP_ADDRESS = 0x01


class Endpoint(Value):
    """What a container shall have on one network."""

    network: str
    address: str = ""
    address6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in self.aliases:
            if not fullmatch(HOST, name):
                raise SandboxError(f"{name!r} is not a valid host name")
        if self.mac and (not fullmatch(MAC, self.mac) or int(self.mac[:2], 16) & GROUP_ADDRESS):
            raise BadValue(f"{self.mac} is not a valid mac address")
        if self.address and not is_address(self.address, (socket.AF_INET,)):
            raise SandboxError(f"invalid IPv4 address: {self.address}")
        if self.address6 and not is_address(self.address6, (socket.AF_INET6,)):
            raise SandboxError(f"invalid IPv6 address: {self.address6}")
        if self.network == DEFAULT and (self.address or self.address6):
            raise SandboxError("user specified IP address is supported on user defined networks only")
        if self.network == DEFAULT and self.aliases:
            raise SandboxError("network-scoped alias is supported only for containers in user defined networks")


class Network(Value):
    """One container's network.

    `mode` is none, host, container:ID, or the name of the network that it was made for; `endpoints` are those it is
    on, one link each; `rate_bits` is bits a second of each link, 0 for no limit.
    """

    mode: str = "none"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    exposed: tuple[str, ...] = ()
    publish_all: bool = False
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    rate_bits: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be, or cannot be together."""
        if self.mode == CONTAINER:
            raise SandboxError("invalid container format container:<name|id>")
        if self.mode not in BUILT_IN and not self.container and not fullmatch(NAME, self.mode):
            raise SandboxError(f"invalid network {self.mode!r}: none, host, container:NAME or the name of a network")
        self._check_several()
        for address in self.dns:
            if not is_address(address):
                raise BadValue(f"--dns: {address!r} is not an IP address")
        for name in self.dns_search:
            if name != "." and not fullmatch(HOST, name):
                raise SandboxError(f"{name!r} is not a valid domain")
        if self.container:
            self._check_shared()
        if not self.has_link:
            self._check_without_link()

    @property
    def container(self) -> str:
        """Return the name of the container whose network this is, or ""."""
        return self.mode[len(CONTAINER) :] if self.mode.startswith(CONTAINER) else ""

    @property
    def has_link(self) -> bool:
        """Tell whether the container may have interfaces of its own on bridges."""
        return self.mode not in ("none", "host") and not self.mode.startswith(CONTAINER)

    @property
    def is_served(self) -> bool:
        """Tell whether a monitor serves it: ports of this machine that lead to the container, or its resolver."""
        return self.has_link and bool(self.ports or self.publish_all or self.has_resolver)

    @property
    def has_resolver(self) -> bool:
        """Tell whether the container gets a resolver of its own, which knows who is on its networks.

        As with Docker on those that were made; and unless the container asks itself, by --dns 127.0.0.1 and the like.
        """
        created = any(each.network != DEFAULT for each in self.endpoints)
        return self.has_link and created and not any(each.startswith("127.") or each == "::1" for each in self.dns)

    @property
    def has_servers(self) -> bool:
        """Tell whether it gets a resolv.conf of ours: there is somebody to ask, or it was asked for."""
        return self.mode != "none" or bool(self.dns or self.dns_search or self.dns_options)

    def _check_several(self) -> None:
        names = [each.network for each in self.endpoints]
        for name in names:
            if names.count(name) > 1:
                raise SandboxError(f"network {name!r} is specified multiple times")
            if len(names) > 1 and not Network(name).has_link:
                text = "cannot attach both user-defined and non-user-defined network-modes"
                raise SandboxError(f"conflicting options: {text}")

    def _check_shared(self) -> None:
        conflicts = (
            (self.ports or self.publish_all, "port publishing and the container type network mode"),
            (self.exposed, "port exposing and the container type network mode"),
            (self.dns or self.dns_search or self.dns_options, "dns and the network mode"),
            (self.hosts, "custom host-to-IP mapping and the network mode"),
            (any(each.mac for each in self.endpoints), "mac-address and the network mode"),
        )
        for given, text in conflicts:
            if given:
                raise SandboxError(f"conflicting options: {text}")

    def _check_without_link(self) -> None:
        given: list[tuple[str, object]] = [("--net-rate", self.rate_bits)]
        for each in self.endpoints:
            given += [("--ip", each.address), ("--ip6", each.address6), ("--mac-address", each.mac)]
            given += [("--network-alias", each.aliases)]
        for option, value in given:
            if value:
                raise SandboxError(f"conflicting options: {option} and --net {self.mode}: it has no interface")


def check_network_name(name: str) -> None:
    """Refuse a name that no network can be given."""
    if not fullmatch(NAME, name):
        raise SandboxError(f"invalid network name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, 128 at most", 1)


def parse_host(text: str) -> str:
    """Check an `--add-host` NAME:IP (or NAME=IP) and return it with a colon; `host-gateway` is the bridge's address."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    address = address.removeprefix("[").removesuffix("]")
    if not separator or not fullmatch(HOST, name):
        raise BadValue(f"bad format for add-host: {text!r}")
    if address != "host-gateway" and not is_address(address):
        raise BadValue(f"invalid IP address in add-host: {address!r}")
    return f"{name}:{address}"


def parse_rate(text: str) -> int:
    """Return the bits a second of `10mbit`, `1.5gbit`, `64000`; units are powers of 1000, as tc's."""
    match = fullmatch(RATE, text) if text.isascii() else None
    if match is None:
        raise SandboxError(f"invalid rate: {text!r}: such as 500kbit, 10mbit, 1gbit")
    from decimal import Decimal  # noqa: PLC0415

    rate = int(Decimal(match[1]) * 1000 ** " kmgt".index(match[2].lower() or " "))
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise SandboxError(f"invalid rate: {text!r}: from 8kbit to 32gbit")
    return rate
