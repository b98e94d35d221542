"""The host's side of published ports: sockets that are bound before anything of a container is started."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator

from sandbox.errors import SandboxError
from sandbox.network.ports import Port
from sandbox.network.proxy import IP_PKTINFO
from sandbox.value import Value

__all__ = ["Listener", "bind", "close"]

BACKLOG = 4096
TRIES = 64
ANY = ("0.0.0.0", "::")  # noqa: S104  what Docker publishes on when no address is given
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


class Listener(Value):
    """One bound socket, and the container's port that it stands for."""

    socket: socket.socket
    port: Port
    address: str
    number: int


def bind(ports: Iterable[Port]) -> list[Listener]:
    """Bind every port, or none: SandboxError with Docker's line when one is in use."""
    bound: list[Listener] = []
    try:
        for port in ports:
            bound += _bind_port(port)
    except BaseException:
        close(bound)
        raise
    return bound


def close(listeners: Iterable[Listener]) -> None:
    """Give the ports back."""
    for listener in listeners:
        listener.socket.close()


def _bind_port(port: Port) -> list[Listener]:
    last: SandboxError | None = None
    for number in _candidates(port):
        try:
            return _bind_number(port, number)
        except SandboxError as error:
            last = error
    assert last is not None  # noqa: S101
    raise last


def _candidates(port: Port) -> Iterator[int]:
    if port.host_port:
        yield from range(port.host_port, max(port.host_port, port.last) + 1)
    else:
        # The kernel chooses one that is free on the first address, and perhaps not on the second.
        yield from [0] * TRIES


def _bind_number(port: Port, number: int) -> list[Listener]:
    bound: list[Listener] = []
    try:
        for address in (port.host_ip,) if port.host_ip else ANY:
            try:
                made = _socket(port.protocol, address, number)
            except OSError as error:
                if bound and error.errno in NO_IPV6:
                    continue
                raise _refused(error, port.protocol, address, number) from None
            number = made.getsockname()[1]
            bound.append(Listener(made, port, address, number))
    except BaseException:
        close(bound)
        raise
    return bound


def _socket(protocol: str, address: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        made.bind((address, number))
        if protocol == "tcp":
            made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _refused(error: OSError, protocol: str, address: str, number: int) -> SandboxError:
    where = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    if error.errno == errno.EADDRINUSE:
        return SandboxError(f"Bind for {where} failed: port is already allocated")
    reason = error.strerror or str(error)
    with contextlib.suppress(TypeError):
        reason = reason[0].lower() + reason[1:]
    return SandboxError(f"listen {protocol} {where}: bind: {reason}")
