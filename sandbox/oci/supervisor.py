"""Who answers for system calls that a bundle's profile marks SCMP_ACT_NOTIFY: hears of each process that has it.

runtime-spec config-linux.md, "The Container Process State"; seccomp_unotify(2) is what he does with the descriptor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sandbox.oci.bundle import Bundle
from sandbox.oci.handing import send
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
    address = f"\0{path[1:]}" if path.startswith("@") else path  # one without a file (unix(7))
    what = f"linux.seccomp.listenerPath {path}: failed to connect with seccomp agent"

    def tell(pid: int, fd: int) -> None:
        container = state()
        told = {"ociVersion": container["ociVersion"], "fds": ["seccompFd"], "pid": pid, "metadata": metadata,
                "state": container}  # fmt: skip
        send(what, address, json.dumps(told).encode(), fd)

    return tell
