"""The network of a container: whose it is, its interfaces with rates and losses, what listens in it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inspector.closeup import Address, Closeup, Traffic
from inspector.report import Namespace
from inspector.schema import Container
from inspector.views.cells import sharers
from inspector.views.facts import fact, wrapped
from inspector.views.layout import Line
from inspector.views.text import byte_size, count, fit, rate, safe

__all__ = ["traffic_lines"]

NAME = 16
WIDE = 100
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  as the kernel writes it
MOST_LISTENERS = 500


def traffic_lines(container: Container, closeup: Closeup, width: int) -> list[Line]:
    """Return the page."""
    network, report = container["network"], closeup.report
    lines: list[Line] = list(_whose(container, report["namespaces"].get("net") if report else None, width))
    if closeup.traffic is None and closeup.note is not None:
        received, sent = rate(network["receive_bytes_per_second"]), rate(network["transmit_bytes_per_second"])
        lines.append(fact("", f"received {received}, sent {sent}"))
        return [*lines, [], [(f"interfaces and sockets: {safe(closeup.note)}", "dim")]]
    if closeup.traffic is None:
        return [*lines, [], [("reading its interfaces ..." if not closeup.problems else "not readable", "dim")]]
    lines += [[], *_interfaces(closeup.traffic, width), *_addresses(closeup.addresses, width)]
    return [*lines, [], *_listeners(container, closeup)]


def _whose(container: Container, namespace: Namespace | None, width: int) -> Iterator[Line]:
    network = container["network"]
    hosts = namespace["same_as_host"] if namespace else network["shared_with_host"]
    if hosts:
        yield [("! THE HOST'S NETWORK: ", "bad"),
               ("every interface, port and local service; what passes is the whole machine's", "bad")]  # fmt: skip
        return
    others = [name for name in namespace["containers"] if name != container["name"]] if namespace else []
    shared = ", ".join(others) or sharers(network)
    inode = f" {namespace['inode']}" if namespace else ""
    if shared:
        yield [(f"network namespace{inode}, shared with:", "warn")]
        yield from wrapped("", shared, width)
    elif hosts is None:
        yield [(f"network namespace{inode}: whether it is the host's is not known from here", "warn")]
    else:
        yield [(f"a network namespace of its own{inode}", "good")]


def _interfaces(traffic: Sequence[Traffic], width: int) -> Iterator[Line]:
    wide = width >= WIDE
    totals = f" {'RX TOTAL':>8} {'TX TOTAL':>8} {'RX PKT/s':>9} {'TX PKT/s':>9}" if wide else ""
    losses = f"{'RX ERR':>7} {'TX ERR':>7} {'RX DROP':>8} {'TX DROP':>8}"
    yield [(f"{'INTERFACE':<{NAME}}{'RX/s':>10} {'TX/s':>10} {losses}{totals}", "title")]
    for one in traffic:
        moves = one.receive_bytes_per_second or one.transmit_bytes_per_second
        line: Line = [
            (fit(safe(one.name), NAME - 1) + " ", ""),
            (f"{rate(one.receive_bytes_per_second):>10} ", "" if moves else "dim"),
            (f"{rate(one.transmit_bytes_per_second):>10}", "" if moves else "dim"),
        ]
        errors, drops = (one.receive_errors, one.transmit_errors), (one.receive_dropped, one.transmit_dropped)
        line += [(f" {value:>7}", "warn" if value else "dim") for value in errors]
        line += [(f" {value:>8}", "warn" if value else "dim") for value in drops]
        if wide:
            packets = f" {count(one.receive_packets_per_second):>9} {count(one.transmit_packets_per_second):>9}"
            line.append((f" {byte_size(one.receive_bytes):>8} {byte_size(one.transmit_bytes):>8}{packets}", ""))
        yield line
    if not traffic:
        yield fact("", ("no interface at all", "dim"))


def _addresses(addresses: Sequence[Address] | None, width: int) -> Iterator[Line]:
    by_interface: dict[str, list[str]] = {}
    for one in addresses or ():
        by_interface.setdefault(one.interface or "?", []).append(one.address)
    if by_interface:
        yield []
        yield [("ADDRESSES", "title")]
    for name, ones in by_interface.items():
        yield from wrapped(fit(safe(name), 11), "  ".join(ones), width)


def _listeners(container: Container, closeup: Closeup) -> Iterator[Line]:
    yield [(f"{'LISTENS':<8}{'PORT':>6}  {'USER':<10}{'PROCESS':<25}ADDRESS", "title")]
    if closeup.listeners is None:
        yield fact("", ("not readable", "warn"))
    elif not closeup.listeners:
        yield fact("", ("nothing", "dim"))
    names = {row["pid"]: row["comm"] for row in container["processes"] or ()}
    ordered = sorted(closeup.listeners or (), key=lambda one: (one.port, one.protocol, one.address))
    for one in ordered[:MOST_LISTENERS]:
        anywhere = one.address in ANYWHERE
        holder = closeup.holders.get(one.inode)
        # Where the network is shared it may be a neighbour's.
        process = f"{holder} {safe(names.get(holder, ''))}" if holder is not None else "none of its own"
        user = fit(safe(closeup.users.get(one.uid, str(one.uid))), 9)
        yield [
            (f"{one.protocol:<8}{one.port:>6}  {user} ", ""),
            (fit(process, 24) + " ", "" if holder is not None else "dim"),
            (one.address + ("  (every address)" if anywhere else ""), "" if anywhere else "dim"),
        ]
    if len(ordered) > MOST_LISTENERS:
        yield fact("", (f"and {len(ordered) - MOST_LISTENERS} more", "dim"))
