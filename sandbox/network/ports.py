"""Published ports: `-p [IP:]HOST:CTR[/udp]` parsed, and as Docker's `ps`, `port` and `inspect` show them; pure.

Forms and messages are those of docker/go-connections nat.ParsePortSpec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sandbox.errors import BadValue
from sandbox.quick import fullmatch, socket
from sandbox.value import Value

__all__ = [
    "Bindings",
    "Port",
    "bindings",
    "can_be_published",
    "column",
    "is_address",
    "lines",
    "parse_exposed",
    "parse_ports",
]

# Docker's: {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "4000"}], "53/udp": None}, None for one that is only exposed.
Bindings = Mapping[str, Sequence[Mapping[str, str]] | None]

HIGHEST = 65535
PROTOCOLS = ("tcp", "udp")
EXPOSABLE = (*PROTOCOLS, "sctp")  # an image may say so, and it says no more than that
RANGE = r"(\d{1,5})(?:-(\d{1,5}))?"


class Port(Value):
    """One port of the container on one of the host; 0 is any that is free, up to `last` the first that is free.

    An empty `host_ip` is every address of the host.
    """

    port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    last: int = 0

    @property
    def name(self) -> str:
        """Return what Docker calls it: `80/tcp`."""
        return f"{self.port}/{self.protocol}"


def parse_ports(texts: Iterable[str]) -> tuple[Port, ...]:
    """Parse the values of `-p`: `80`, `4000:80`, `127.0.0.1:4000:80/udp`, `[::1]::80`, `8000-8002:80-82`."""
    return tuple(port for text in texts for port in _parse(text))


def _parse(text: str) -> Iterable[Port]:
    rest, protocol = _protocol(text)
    address, host, container = _split(rest, text)
    if not container:
        raise BadValue(f"no port specified: {text}<empty>")
    first, last = _range(container, f"invalid containerPort: {container}", lowest=1)
    if not host:
        return [Port(port, protocol, address) for port in range(first, last + 1)]
    host_first, host_last = _range(host, f"invalid hostPort: {host}", lowest=0)
    if first == last:
        return [Port(first, protocol, address, host_first, host_last)]
    if host_last - host_first != last - first:
        raise BadValue(f"invalid ranges specified for container and host Ports: {container} and {host}")
    return [
        Port(first + step, protocol, address, host_first + step, host_first + step) for step in range(last - first + 1)
    ]


def can_be_published(name: str) -> bool:
    """Tell whether a port such as `80/tcp` can be reached at one of this machine."""
    return name.endswith(tuple(f"/{protocol}" for protocol in PROTOCOLS))


def _protocol(text: str, known: Sequence[str] = PROTOCOLS) -> tuple[str, str]:
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in known:
        raise BadValue(f"invalid proto: {protocol!r} (in {text!r}): tcp and udp can be published")
    return rest, protocol


def _split(rest: str, text: str) -> tuple[str, str, str]:
    """Return address, host port and container port; an IPv6 address may be in brackets."""
    before, _, container = rest.rpartition(":")
    address, _, host = before.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address and not is_address(address):
        raise BadValue(f"invalid IP address: {address} (in {text!r})")
    return address, host, container


def is_address(text: str, families: tuple[int, ...] = (socket.AF_INET, socket.AF_INET6)) -> bool:
    """Tell whether a text is an IP address of one of these families."""
    for family in families:
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _range(text: str, complaint: str, lowest: int) -> tuple[int, int]:
    match = fullmatch(RANGE, text) if text.isascii() else None
    if match is None:
        raise BadValue(complaint)
    first, last = int(match[1]), int(match[2] or match[1])
    if not lowest <= first <= last <= HIGHEST:
        raise BadValue(complaint)
    return first, last


def parse_exposed(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse the values of `--expose`, or what an image exposes: `80`, `53/udp`, `8000-8002/tcp`."""
    found = []
    for text in texts:
        rest, protocol = _protocol(text, EXPOSABLE)
        first, last = _range(rest, f"invalid range format for --expose: {text}", lowest=1)
        found += [f"{port}/{protocol}" for port in range(first, last + 1)]
    return tuple(dict.fromkeys(found))


def bindings(bound: Iterable[tuple[str, str, int]], exposed: Iterable[str]) -> dict[str, list[dict[str, str]] | None]:
    """Return Docker's Ports: for each (`80/tcp`, host address, host port) that is bound, and each that is exposed."""
    result: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed)
    for name, address, port in bound:
        result[name] = [*(result.get(name) or []), {"HostIp": address, "HostPort": str(port)}]
    return dict(sorted(result.items(), key=lambda item: _key(item[0])))


def _key(name: str) -> tuple[int, str]:
    port, _, protocol = name.partition("/")
    return int(port), protocol


def lines(ports: Bindings) -> list[str]:
    """Return what `sandbox port` prints: `80/tcp -> 0.0.0.0:4000`."""
    return [f"{name} -> {_address(each)}" for name, found in ports.items() for each in found or ()]


def _address(binding: Mapping[str, str]) -> str:
    address = binding["HostIp"]
    return f"{f'[{address}]' if ':' in address else address}:{binding['HostPort']}"


def column(ports: Bindings) -> str:
    """Return the PORTS column of `ps`: neighbours with the same number on both sides are one range."""
    mapped: list[str] = []
    runs: dict[tuple[str, str], list[list[int]]] = {}
    for name in sorted(ports, key=_key):
        port, protocol = _key(name)
        for binding in ports[name] or [{}]:
            if binding and binding["HostPort"] != str(port):
                mapped.append(f"{_address(binding)}->{name}")
                continue
            found = runs.setdefault((_address(binding).rpartition(":")[0] if binding else "", protocol), [])
            if found and found[-1][1] == port - 1:
                found[-1][1] = port
            else:
                found.append([port, port])
    grouped = [_group(address, protocol, *run) for (address, protocol), found in runs.items() for run in found]
    return ", ".join([*grouped, *mapped])


def _group(address: str, protocol: str, first: int, last: int) -> str:
    text = str(first) if first == last else f"{first}-{last}"
    return f"{address}:{text}->{text}/{protocol}" if address else f"{text}/{protocol}"
