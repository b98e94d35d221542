"""What a container shall be: frozen values, checked when they are made; nothing here touches the kernel."""

from __future__ import annotations

import os

from sandbox.attributes import Attributes
from sandbox.errors import SandboxError
from sandbox.images.origin import Origin
from sandbox.lifecycle import Lifecycle
from sandbox.limits import Limits
from sandbox.network.settings import Network
from sandbox.quick import fullmatch
from sandbox.security import Security
from sandbox.sharing import Sharing
from sandbox.value import Value
from sandbox.volumes.wanted import Tmpfs, Volume

__all__ = [
    "Spec",
    "check_name",
]

NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
HOSTNAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
LONGEST_HOSTNAME = 64  # bytes, __NEW_UTS_LEN
LONGEST_NAME = 255  # bytes, NAME_MAX
LONGEST_PATH = 2048  # bytes of PATH_MAX, which is 4096: where cgroups are mounted, an id and a file's name come besides


class Spec(Value):
    """One container: everything `sandbox run` was told, with defaults filled in."""

    rootfs: str
    argv: tuple[str, ...]
    image: Origin = Origin()
    name: str = ""
    hostname: str = ""
    env: tuple[str, ...] = ()
    workdir: str = "/"
    user: str = ""
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    capabilities: frozenset[str] = frozenset()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security: Security = Security()
    devices: tuple[str, ...] = ()
    device_rules: tuple[str, ...] = ()
    sharing: Sharing = Sharing()
    network: Network = Network()
    attributes: Attributes = Attributes()
    limits: Limits = Limits()
    best_effort_limits: bool = False
    cgroup_parent: str = "/cgscope"
    lifecycle: Lifecycle = Lifecycle()
    init: bool = False
    read_only: bool = False
    lxcfs: bool = False
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    remove: bool = False

    @property
    def host_network(self) -> bool:
        """Tell whether it has the host's network."""
        return self.network.mode == "host"

    def __post_init__(self) -> None:
        """Refuse what no kernel could make a container of."""
        if self.name:
            check_name(self.name)
        if len(self.hostname) > LONGEST_HOSTNAME or not HOSTNAME.issuperset(self.hostname):
            raise SandboxError(f"invalid hostname: {self.hostname!r}")
        if not self.argv:
            raise SandboxError("no command: give the program to start after the options")
        if not self.workdir.startswith("/"):
            raise SandboxError(f"the working directory {self.workdir!r} is not an absolute path")
        if not _is_cgroup_path(self.cgroup_parent):
            raise SandboxError(f"--cgroup-parent {self.cgroup_parent[:LONGEST_NAME]!r} is not an absolute cgroup path")
        targets = [volume.target for volume in self.volumes] + [tmpfs.target for tmpfs in self.tmpfs]
        for target in targets:
            if targets.count(target) > 1:
                raise SandboxError(f"duplicate mount point: {target}")
        if any("\0" in text for text in (*self.argv, *self.env, self.rootfs, self.workdir, self.user, *targets)):
            raise SandboxError("a NUL byte cannot be passed to a program")


def _is_cgroup_path(path: str) -> bool:
    """Tell whether cgroups can have a path: what is too long could be neither made nor removed."""
    parts = [os.fsencode(part) for part in path.split("/")]
    return path.startswith("/") and len(os.fsencode(path)) <= LONGEST_PATH and all(
        part != b".." and len(part) <= LONGEST_NAME for part in parts
    )


def check_name(name: str) -> None:
    """Refuse a container name that Docker refuses."""
    if not fullmatch(NAME, name):
        raise SandboxError(f"invalid container name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two at least")
