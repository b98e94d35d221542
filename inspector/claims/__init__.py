"""What the containers of a store own, running or not: read from the runtimes' own files, as data and never trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inspector.absence import Absence
from inspector.claims.containerd import containerd
from inspector.claims.layered import docker, fuse_layers, podman
from inspector.claims.machines import MACHINES, lxc, nspawn
from inspector.claims.sandboxes import sandbox
from inspector.claims.who import Who
from inspector.kernel.host import Host
from inspector.layers import Claim

__all__ = ["ROOTS", "Who", "fuse_layers", "stored"]

# Where stores are unless a person says otherwise. Others are found by a path in them, or by what runs from them.
ROOTS = (
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/lxc",
    MACHINES,
    "/var/lib/cgscope",
    "/run/cgscope",
)
STORES = (docker, containerd, podman, lxc, nspawn, sandbox)


def stored(host: Host, root: str, absence: Absence) -> tuple[Claim, ...]:
    """Return what belongs to the containers of the store at `root`, as if none ran; nothing where it is no store."""
    found = (absence.attempt(root, _claims, store, host, root) for store in STORES)
    return tuple(claim for claims in found for claim in claims or ())


def _claims(store: Callable[[Host, str], Iterable[Claim]], host: Host, root: str) -> tuple[Claim, ...]:
    return tuple(store(host, root))
