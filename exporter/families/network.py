"""Traffic by interface and, on request, sockets by state: once a network namespace, as the kubelet does.

Containers of one network namespace have one set of counters: only the first
of them shows it, or sums would count it twice. The host's own is the
machine's (`id="/"`); a container that shares it shows none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from exporter.families.readings import at, prepared
from exporter.sight import Sight
from exporter.table import Collector, Group, Row, Source
from exporter.text import pairs
from inspector.kernel.host import Host
from inspector.kernel.network import Interface, parse_net_dev
from inspector.kernel.sockets import TCP_STATES, UDP_STATES, read_tcp, read_tcp_counters, read_udp

__all__ = ["ADVTCP", "NETWORK", "TCP", "UDP"]

T = TypeVar("T")
# As in cAdvisor: the host's ends of its containers' links, and bridges, whose traffic the containers show.
LEFT_OUT = ("veth", "docker", "nerdctl")
MOST_INTERFACES = 64  # of one namespace: who may make interfaces may make many
WAYS = (("receive", "received"), ("transmit", "sent"))
COUNTS = (
    ("bytes", "bytes", "Bytes {}."),
    ("packets", "packets", "Packets {}."),
    ("packets_dropped", "dropped", "Packets dropped instead of being {}."),
    ("errors", "errors", "Errors while packets were {}."),
)


def _owners(sight: Sight) -> dict[str, int]:
    """Map the labels of those that show a network namespace to its inode: the oldest in it (a pod's sandbox)."""
    own = sight.observation.own
    hosts = None if own.inside_container else own.namespaces.get("net")
    owners: dict[int, tuple[float, str]] = {}
    for subject in sight.subjects:
        leader = subject.container.leader if subject.container and subject.container.kind == "container" else None
        inode = leader.namespaces.get("net") if leader else None
        if leader is None or inode is None or inode == hosts:
            continue
        age = leader.process.starttime_ticks
        if inode not in owners or age < owners[inode][0]:
            owners[inode] = age, subject.labels
    return {labels: inode for inode, (_, labels) in owners.items()}


def _interfaces(sight: Sight) -> Any:  # noqa: ANN401
    """Find the interfaces of each network namespace, the machine's among them where it can be seen."""
    roll, known = sight.subjects, sight.observation.interfaces
    own = sight.observation.own

    def make() -> list[int]:
        owners = _owners(sight)
        return [owners.get(labels, 0) for labels in roll.labels]

    found = [*map(known.get, roll.once("network", own.namespaces, make))]
    if _shows_machine(sight):
        found[0] = _of_machine(sight, _read_interfaces) or ()
    return found


def _shows_machine(sight: Sight) -> bool:
    """Tell whether the first subject is the machine, whose network can be seen from here."""
    if not sight.subjects or sight.subjects[0].container is not None:
        return False
    return not sight.observation.own.inside_container or not sight.host.is_live


def _of_machine(sight: Sight, read: Callable[[Host, int | str], T]) -> T | None:
    """Read something of the host's network through its first process, which an ordinary user may not be allowed to."""
    for pid in (1, "self"):
        try:
            return read(sight.host, pid)
        except OSError:
            continue
    return None


def _read_interfaces(host: Host, pid: int | str) -> tuple[Interface, ...]:
    return parse_net_dev(host.read(f"/proc/{pid}/net/dev"))


def _source(sight: Sight) -> Sequence[Any]:
    interfaces: Sequence[Any] = sight.of("network")
    return interfaces


def _each(interfaces: tuple[Interface, ...]) -> Iterator[tuple[str, Interface]]:
    shown = (one for one in interfaces if one.name != "lo" and not one.name.startswith(LEFT_OUT))
    for one in islice(shown, MOST_INTERFACES):
        yield "," + pairs({"interface": one.name}), one


NETWORK = Collector(
    "network",
    "traffic by interface, once a network namespace",
    (
        Group(
            tuple(
                Row(f"container_network_{way}_{name}_total", "counter", help_.format(word), at(f"{way}_{field}"))
                for way, word in WAYS
                for name, field, help_ in COUNTS
            ),
            _source,
            _each,
        ),
    ),
    prepare=_interfaces,
)


def _sockets(read: Callable[[Host, int | str, str], Mapping[str, int]], sight: Sight) -> Any:  # noqa: ANN401
    """Read the tables of sockets of each network namespace, of IPv4 and IPv6; no IPv6, no table of it."""

    def both(host: Host, pid: int | str) -> tuple[Mapping[str, int], Mapping[str, int] | None]:
        table = read(host, pid, "")
        try:
            return table, read(host, pid, "6")
        except FileNotFoundError:  # ipv6.disable=1
            return table, None

    return _each_namespace(sight, both)


def _each_namespace(sight: Sight, read: Callable[[Host, int | str], T]) -> dict[str, T]:
    """Read something of each network namespace that is shown, through a process in it, and of the machine's."""
    shown = {subject.labels: subject.container for subject in sight.subjects}
    found = {}
    if _shows_machine(sight) and (told := _of_machine(sight, read)) is not None:
        found[sight.subjects[0].labels] = told
    for labels in _owners(sight):
        container = shown[labels]
        if container is None or container.leader is None:
            continue
        try:
            found[labels] = read(sight.host, container.leader.process.pid)
        except OSError:
            continue
    return found


def _table(name: str, place: int) -> Source:
    return lambda sight: [tables and tables[place] for tables in map(sight.of(name).get, sight.subjects.labels)]


def _by_state(name: str, place: int, states: tuple[str, ...]) -> Group:
    """Return the group of one table of sockets: a gauge in spite of its name, as in cAdvisor."""
    version = "6" if place else ""
    metric = f"container_network_{name}{version}_usage_total"
    help_ = f"{name.upper()}{version and ' (IPv6)'} sockets in each state."
    if name == "udp":
        help_ = f"UDP{version and ' (IPv6)'} sockets that listen, datagrams dropped, bytes queued."
    rows = (Row(metric, "gauge", help_, at_key(state), f',{name}_state="{state}"') for state in states if state)
    return Group(tuple(rows), _table(name, place))


def at_key(key: str) -> Callable[[Mapping[str, int]], float]:
    """Return the getter of a mapping's value."""
    return lambda values: values[key]


TCP = Collector(
    "tcp",
    "TCP sockets by state, once a network namespace (reads /proc/PID/net/tcp)",
    (_by_state("tcp", 0, TCP_STATES), _by_state("tcp", 1, TCP_STATES)),
    default=False,
    prepare=partial(_sockets, read_tcp),
)
UDP = Collector(
    "udp",
    "UDP sockets, once a network namespace (reads /proc/PID/net/udp)",
    (_by_state("udp", 0, UDP_STATES), _by_state("udp", 1, UDP_STATES)),
    default=False,
    prepare=partial(_sockets, read_udp),
)


def _counters(counters: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Name each counter as cAdvisor does; it has those of a kernel of 2019, and we those of this one."""
    for name, value in counters.items():
        yield "," + pairs({"tcp_state": name.lower()}), value


ADVTCP = Collector(
    "advtcp",
    "counters of TCP, some 140 each network namespace (reads /proc/PID/net/snmp and netstat)",
    (
        Group(
            (Row("container_network_advance_tcp_stats_total", "gauge", "Counters and settings of TCP."),),
            prepared("advtcp"),
            _counters,
        ),
    ),
    default=False,
    prepare=lambda sight: _each_namespace(sight, read_tcp_counters),
)
