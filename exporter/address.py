"""--web.listen-address: HOST:PORT as the Prometheus exporters write it, and the socket that listens there."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket

__all__ = ["bind", "is_loopback", "parse_address", "url"]

# 127.0.0.1:10071   [::1]:10071   :10071 (every address)   localhost:10071
ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})", re.ASCII)
MAX_PORT = 65535
STUCK_MS = 30_000


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
    # Inherited by every connection: a client who does not read what it asked for is let go (tcp(7)).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
    return sock


def is_loopback(sock: socket.socket) -> bool:
    """Tell whether only this machine can reach the socket."""
    return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]).is_loopback


def url(sock: socket.socket) -> str:
    """Return where the socket is reached: http://HOST:PORT."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
