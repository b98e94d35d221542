"""A container's /etc/hosts and /etc/resolv.conf; pure but for the two readers at the end.

Docker's rules (moby libnetwork/internal/resolvconf): a resolver on a loopback
address cannot be reached from a network of its own, so it is dropped, as one
with IPv6 is where there is none, and when none is left two public ones take
their place. What a container with links is called, and the others on a network
of ours, are lines in /etc/hosts, each marked, rewritten as they come and go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

__all__ = [
    "LOCAL",
    "RESOLVER",
    "Line",
    "called",
    "hosts",
    "read_hosts",
    "read_resolvers",
    "resolv_conf",
    "servers",
    "update_members",
    "with_members",
    "write",
]

TYPE_CHECKING = False  # a monitor, which is small, has this module too
if TYPE_CHECKING:
    from sandbox.network.settings import Network

RESOLVER = "127.0.0.11"  # a container's own: resolver.py
PUBLIC = ("8.8.8.8", "8.8.4.4")
TABLE = "/etc/resolv.conf"
STUB = "127.0.0.53"  # systemd-resolved's, which tells the true ones in another file
RESOLVED = "/run/systemd/resolve/resolv.conf"
LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
MARK = "# cgscope network"
LARGEST = 1 << 20
Line = tuple[str, Sequence[str]]  # an address and its names


def hosts(extra: Sequence[str] = (), gateway: str = "", base: str = LOCAL, own: Line | None = None) -> str:
    """Return /etc/hosts: `base`, the `NAME:IP` of --add-host, and the container itself."""
    lines = [base if base.endswith("\n") or not base else base + "\n"]
    for entry in extra:
        name, _, given = entry.partition(":")
        lines.append(f"{gateway or '127.0.0.1' if given == 'host-gateway' else given}\t{name}\n")
    if own:
        lines.append(f"{own[0]}\t{' '.join(own[1])}\n")
    return "".join(lines)


def called(hostname: str) -> tuple[str, ...]:
    """Return what a container calls itself: its host name, and that without a domain."""
    return tuple(dict.fromkeys(filter(None, (hostname, hostname.partition(".")[0]))))


def with_members(text: str, members: Iterable[Line]) -> str:
    """Return /etc/hosts with the marked lines replaced by these. Other lines stay as they are."""
    kept = [line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(MARK)]
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join([*kept, *(f"{address}\t{' '.join(names)}\t{MARK}\n" for address, names in members)])


def update_members(path: str, members: Iterable[Line]) -> None:
    """Rewrite a container's hosts file in place: it is bound into the container, so it must stay the same file.

    What the container made larger than a megabyte is its own from then on.
    """
    with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            return
        old = file.read(LARGEST)
        new = with_members(old, members)
        if new != old:
            file.seek(0)
            file.write(new)
            file.truncate()


def resolv_conf(host: str, network: Network, *, ipv6: bool = True, own: bool = False) -> str:
    """Return /etc/resolv.conf from the host's, and --dns and its like; `own`: with a resolver of its own.

    That one knows names without a dot, which without `ndots:0` would be tried with each search domain first.
    """
    servers, search, rest = _parse(host)
    if network.dns_options:
        rest = [each for each in rest if not each.startswith("options")]
        rest.append(f"options {' '.join(network.dns_options)}")
    if own:
        servers = [RESOLVER]
        rest += ["options ndots:0"] * (" ndots:" not in "".join(rest))
    elif network.dns:
        servers = list(network.dns)
    elif network.has_link:
        servers = [each for each in servers if _reachable(each, ipv6=ipv6)] or list(PUBLIC)
    if network.dns_search:
        search = [each for each in network.dns_search if each != "."]
    lines = [f"nameserver {each}" for each in servers]
    lines += [f"search {' '.join(search)}"] * bool(search)
    return "\n".join([*lines, *rest, ""])


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return the servers of a resolv.conf, its search domains, and the lines of its options."""
    servers: list[str] = []
    search: list[str] = []
    rest: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = words[1:]  # the last of them counts (resolv.conf(5))
        elif words[0] in ("options", "sortlist"):
            rest.append(" ".join(words))
    return servers, search, rest


def _reachable(server: str, *, ipv6: bool) -> bool:
    """Tell whether a resolver of the host may be reached from a network of its own: not over loopback, or one link."""
    return not server.startswith("127.") and (":" not in server or (ipv6 and server != "::1" and "%" not in server))


def read_resolvers() -> str:
    """Return the host's /etc/resolv.conf, or where that only names systemd-resolved, the list that it keeps."""
    text = _read(TABLE)
    return (_read(RESOLVED) or text) if servers(text) == [STUB] else text


def servers(text: str | None = None) -> list[str]:
    """Return the addresses of a resolv.conf, the host's as it is now unless given; the public ones without any."""
    lines = (line.split() for line in (_read(TABLE) if text is None else text).splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"] or list(PUBLIC)


def read_hosts() -> str:
    """Return the host's /etc/hosts."""
    return _read("/etc/hosts") or LOCAL


def write(path: str, text: str) -> None:
    """Write a file that is bound into a container, where every user of it may read it."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(LARGEST)
    except OSError:
        return ""
