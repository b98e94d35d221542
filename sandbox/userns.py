"""`--userns`: whether a container's root is root outside too, and what it cannot have where it is not.

Words and messages are Docker's and Podman's (moby daemon/daemon_unix.go, podman-run(1)). Files keep their owners: what
a container makes of its image is stored by its own ids, and shown by those outside (opening.py).
"""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from sandbox import idmap
from sandbox.errors import SandboxError
from sandbox.idmap import IdMap
from sandbox.namespaces import open_user_namespace
from sandbox.network.sharing import find_owner
from sandbox.sharing import AUTO, CONTAINER, WITH_CONTAINERS, hold
from sandbox.spec import Spec
from sandbox.state import Document, Store

__all__ = ["Users", "check", "joined", "recorded"]

HOSTS = {"pid": "PID", "ipc": "IPC", "cgroup": "cgroup"}


class Users(NamedTuple):
    """The user namespace that a container is in: a new one with these ids, or the existing one of a descriptor."""

    ids: IdMap
    fd: int = -1


def check(spec: Spec) -> None:
    """Refuse what a container cannot have whose root is nobody outside; SandboxError."""
    sharing = spec.sharing
    if not sharing.has_users:
        if any(volume.idmap for volume in spec.volumes):
            raise SandboxError("invalid volume: idmap is for a container with --userns auto or container:ID")
        return
    if os.geteuid() != 0:
        raise SandboxError(f"--userns {sharing.user} needs root: without it a container has one of its own, of one id")
    if spec.privileged:
        raise SandboxError("privileged mode is incompatible with user namespaces: --userns host goes with it")
    hosts = [word for kind, word in HOSTS.items() if sharing.mode(kind) == "host"]
    hosts += ["network"] if spec.host_network else []
    if hosts:
        raise SandboxError(f"cannot share the host's {hosts[0]} namespace when user namespaces are enabled")
    others = _others(spec)
    if others and sharing.user == AUTO:
        raise SandboxError(_foreign(*others[0]))


def joined(spec: Spec, store: Store, own_id: str) -> Users | None:
    """Return the other container's users that `--userns container:ID` asks for; SandboxError when it does not run."""
    if not spec.sharing.user.startswith(CONTAINER):
        return None
    name = spec.sharing.user.removeprefix(CONTAINER)
    pidfd = hold(store, name, own_id)
    try:
        pid = store.find(name)["State"]["Pid"]
        found = Users(idmap.of_process(pid), open_user_namespace(pid))
        signal.pidfd_send_signal(pidfd, 0)  # it lives, so what was opened is its own
        for kind, mode in _others(spec):
            named = mode.removeprefix(CONTAINER)
            other = find_owner(store, named) if kind == "net" else store.find(named)
            if not os.path.samestat(os.fstat(found.fd), os.stat(f"/proc/{other['State']['Pid']}/ns/user")):
                raise SandboxError(_foreign(kind, mode))
    finally:
        os.close(pidfd)
    if os.path.samestat(os.fstat(found.fd), os.stat("/proc/self/ns/user")):
        raise SandboxError(f"--userns {spec.sharing.user}: that container has no user namespace of its own")
    return found


def recorded(text: Document) -> Users | None:
    """Return the users of a container that has a range of ids of its own."""
    ids = idmap.of_document(text)
    return None if ids is None else Users(ids)


def _others(spec: Spec) -> list[tuple[str, str]]:
    """Return the kinds of namespaces that it has from another container, and whose."""
    modes = [(kind, spec.sharing.mode(kind)) for kind in WITH_CONTAINERS] + [("net", spec.network.mode)]
    return [(kind, mode) for kind, mode in modes if mode.startswith(CONTAINER)]


def _foreign(kind: str, mode: str) -> str:
    return f"--{kind} {mode}: who shares that with a container has its users too: --userns {mode}"
