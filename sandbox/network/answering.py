"""Where a container asks its resolver: sockets in its own network namespace, behind port 53 of 127.0.0.11.

As Docker does it: the sockets have ports by chance and two rules lead there, so that a program in the container can
serve port 53 of all addresses itself.
"""

from __future__ import annotations

import socket

from sandbox.network import nft
from sandbox.network.names import RESOLVER

__all__ = ["listen"]

IP_FREEBIND = 15  # linux/in.h; not in Python's socket
BACKLOG = 32


def listen() -> tuple[socket.socket, socket.socket]:
    """Return the sockets for datagrams and for connections, in the namespace that we are in, whose `lo` may be down."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for each in made:
        each.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        each.settimeout(0)
        each.bind((RESOLVER, 0))
    made[1].listen(BACKLOG)
    nft.apply(_rules(*(each.getsockname()[1] for each in made)), "the rules of a container's resolver")
    return made


def _rules(udp: int, tcp: int) -> str:
    """Return the table that leads to these ports who asks at port 53."""
    ways = (
        f"ip daddr {RESOLVER} {kind} dport 53 dnat to {RESOLVER}:{port}" for kind, port in (("udp", udp), ("tcp", tcp))
    )
    chain = "type nat hook output priority -100; policy accept;"
    return f"table ip {nft.PREFIX}-resolver {{ chain output {{ {chain} {'; '.join(ways)}; }}; }}\n"
