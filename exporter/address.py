"""--web.listen-address and --web.systemd-socket: where to listen, as the Prometheus exporters have it."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Mapping

__all__ = ["bind", "from_systemd", "is_loopback", "parse_address", "url"]

# 127.0.0.1:10071   [::1]:10071   :10071 (every address)   localhost:10071
ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})", re.ASCII)
MAX_PORT = 65535
STUCK_MS = 30_000
FIRST_PASSED = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def parse_address(text: str) -> tuple[str, int]:
    """Return (host, port); an empty host is every address. ValueError says what is wrong."""
    match = ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:10071 or [::1]:10071")
    port = int(match["port"])
    if port > MAX_PORT:
        raise ValueError(f"{port} is not a port: the highest is {MAX_PORT}")
    return match["v6"] or match["host"] or "", port


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. OSError when it cannot be had."""
    if not host and socket.has_dualstack_ipv6():
        sock = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        try:
            found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104
        except UnicodeError as error:  # the IDNA encoder's, for "a..b" or a label of more than 63 characters
            raise OSError(errno.EINVAL, "not a host name") from error
        sock = socket.create_server(found[0][4][:2], family=found[0][0])
    # Inherited by every connection: a client who does not read what it asked for is let go (tcp(7)), and the end of an
    # answer does not wait for the client to acknowledge what came before it, which it may put off for 40 ms. asyncio
    # sets that by itself, but not where accept(2) was called on a socket that does not tell its protocol.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
    return sock


def from_systemd(environment: Mapping[str, str]) -> list[socket.socket]:
    """Return the listening sockets that systemd has passed to this process (sd_listen_fds(3))."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "")
    return [socket.socket(fileno=FIRST_PASSED + number) for number in range(int(count) if count.isdigit() else 0)]


def is_loopback(sock: socket.socket) -> bool:
    """Tell whether only this machine can reach the socket."""
    if sock.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def url(sock: socket.socket, scheme: str = "http") -> str:
    """Return where the socket is reached: http://HOST:PORT, or unix:PATH."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
