"""Who answers for system calls that a bundle's profile marks SCMP_ACT_NOTIFY: hears of each process that has it.

runtime-spec config-linux.md, "The Container Process State"; seccomp_unotify(2) is what he does with the descriptor.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from sandbox.errors import SandboxError
from sandbox.oci.bundle import Bundle
from sandbox.program import Program

__all__ = ["supervision"]


def supervision(
    bundle: Bundle, program: Program, state: Callable[[], dict[str, Any]]
) -> Callable[[int, int], None] | None:
    """Return what is called with a process's PID and its filter's descriptor, or None for a filter that asks nobody.

    `state` is the container's, as the specification has it.
    """
    if program.rights.filter is None or not program.rights.filter.listens:
        return None
    path, metadata = bundle.listener

    def tell(pid: int, fd: int) -> None:
        container = state()
        told = {"ociVersion": container["ociVersion"], "fds": ["seccompFd"], "pid": pid, "metadata": metadata,
                "state": container}  # fmt: skip
        _send(path, json.dumps(told).encode(), fd)

    return tell


def _send(path: str, data: bytes, fd: int) -> None:
    """Send it to a socket; a name that begins with "@" is one without a file (unix(7))."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(f"\0{path[1:]}" if path.startswith("@") else path)
            if rest := data[socket.send_fds(peer, [data], [fd]) :]:
                peer.sendall(rest)
    except OSError as error:
        reason = error.strerror or error
        raise SandboxError(
            f"linux.seccomp.listenerPath {path}: failed to connect with seccomp agent: {reason}", 1
        ) from None
