"""What a container shall be: frozen values, checked when they are made; nothing here touches the kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.attributes import Attributes
from sandbox.errors import SandboxError
from sandbox.images.origin import Origin
from sandbox.lifecycle import Lifecycle
from sandbox.limits import Limits
from sandbox.network.settings import Network
from sandbox.security import Security
from sandbox.sharing import Sharing

__all__ = [
    "Spec",
    "Tmpfs",
    "Volume",
    "check_name",
    "environment",
    "parse_tmpfs",
    "parse_volume",
]

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
HOSTNAME = re.compile(r"[a-zA-Z0-9._-]{1,64}")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TMPFS_FLAGS = frozenset({"ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"})
TMPFS_DATA = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"})


@dataclass(frozen=True, slots=True)
class Volume:
    """A file or directory of the host, bound into the container (`-v source:target[:ro]`)."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """A filesystem in memory (`--tmpfs target[:options]`): mount flags by name, and options tmpfs itself reads."""

    target: str
    flags: tuple[str, ...] = ("nosuid", "nodev", "noexec")
    data: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """One container: everything `sandbox run` was told, with defaults filled in."""

    rootfs: str
    argv: tuple[str, ...]
    image: Origin = field(default_factory=Origin)
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
    security: Security = field(default_factory=Security)
    sharing: Sharing = field(default_factory=Sharing)
    network: Network = field(default_factory=Network)
    attributes: Attributes = field(default_factory=Attributes)
    limits: Limits = field(default_factory=Limits)
    best_effort_limits: bool = False
    cgroup_parent: str = "/cgscope"
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    init: bool = False
    read_only: bool = False
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
        if self.hostname and not HOSTNAME.fullmatch(self.hostname):
            raise SandboxError(f"invalid hostname: {self.hostname!r}")
        if not self.argv or not self.argv[0]:
            raise SandboxError("no command: give the program to start after the options")
        if not self.workdir.startswith("/"):
            raise SandboxError(f"the working directory {self.workdir!r} is not an absolute path")
        if not self.cgroup_parent.startswith("/") or ".." in self.cgroup_parent.split("/"):
            raise SandboxError(f"--cgroup-parent {self.cgroup_parent!r} is not an absolute cgroup path")
        targets = [volume.target for volume in self.volumes] + [tmpfs.target for tmpfs in self.tmpfs]
        for target in targets:
            if targets.count(target) > 1:
                raise SandboxError(f"duplicate mount point: {target}")
        if any("\0" in text for text in (*self.argv, *self.env, self.rootfs, self.workdir, *targets)):
            raise SandboxError("a NUL byte cannot be passed to a program")


def check_name(name: str) -> None:
    """Refuse a container name that Docker refuses."""
    if not NAME.fullmatch(name):
        raise SandboxError(f"invalid container name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two at least")


def _target(path: str, option: str) -> str:
    if not path.startswith("/"):
        raise SandboxError(f"invalid mount path {path!r} of {option}: it must be absolute")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SandboxError(f"invalid mount path {path!r} of {option}: it holds '..'")
    if not parts or parts[0] in ("proc", "sys"):
        raise SandboxError(f"invalid mount path {path!r} of {option}: /, /proc and /sys are the container's own")
    return "/" + "/".join(parts)


def parse_volume(text: str, absolute: Callable[[str], str]) -> Volume:
    """Parse `source:target[:ro|rw]`; `absolute` completes a source that starts with a dot."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0]:
        raise SandboxError(f"invalid volume {text!r}: the form is /host/path:/container/path[:ro]")
    source = parts[0]
    if not source.startswith(("/", ".")):
        raise SandboxError(f"invalid volume {text!r}: named volumes do not exist here, give an absolute path")
    options = set(parts[2].split(",")) if len(parts) > 2 else set()  # noqa: PLR2004
    if options - {"ro", "rw"} or options == {"ro", "rw"}:
        raise SandboxError(f"invalid volume {text!r}: the mode is ro or rw")
    return Volume(absolute(source), _target(parts[1], "-v"), "ro" in options)


def parse_tmpfs(text: str) -> Tmpfs:
    """Parse `target[:size=64m,mode=1777,exec,...]`; Docker's default is nosuid,nodev,noexec."""
    target, _, options = text.partition(":")
    flags = {"nosuid", "nodev", "noexec"}
    data = []
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if option in TMPFS_FLAGS:
            flags.discard("no" + option)
            flags.discard(option.removeprefix("no"))
            flags.add(option)
        elif equals and key in TMPFS_DATA and re.fullmatch(r"[0-9]+[kmgKMG%]?", value):
            data.append(option)
        else:
            raise SandboxError(f"invalid tmpfs option {option!r} in {text!r}")
    return Tmpfs(_target(target, "--tmpfs"), tuple(sorted(flags & {"ro", "nosuid", "nodev", "noexec"})), ",".join(data))


def environment(
    given: Iterable[str], host: Mapping[str, str], *, hostname: str = "", tty: bool = False
) -> tuple[str, ...]:
    """Return the program's environment: the defaults, then `-e` (`K` alone takes the host's value; the last wins)."""
    result = {"PATH": PATH}
    if hostname:
        result["HOSTNAME"] = hostname
    if tty:
        result["TERM"] = "xterm"
    for item in given:
        key, equals, value = item.partition("=")
        if not key:
            raise SandboxError(f"invalid environment variable: {item!r}")
        if equals:
            result[key] = value
        elif key in host:
            result[key] = host[key]
    return tuple(f"{key}={value}" for key, value in result.items())
