"""What a container shall be: frozen values, checked when they are made; nothing here touches the kernel.

Limits, ranges and their messages are Docker's (moby daemon/daemon_unix.go):
0 means "not given" for a quota, a period, a memory size and a number of CPUs,
-1 means "no limit" for a quota, and 0 or less means it for a number of processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from sandbox.errors import SandboxError

__all__ = [
    "DEFAULT_PERIOD_US",
    "Limits",
    "Spec",
    "Tmpfs",
    "Volume",
    "check_name",
    "environment",
    "limits",
    "parse_size",
    "parse_tmpfs",
    "parse_volume",
]

DEFAULT_PERIOD_US = 100_000
PERIOD_RANGE_US = (1_000, 1_000_000)
MINIMUM_QUOTA_US = 1_000
MINIMUM_MEMORY = 6 * 1024 * 1024
LARGEST = 2**63 - 1
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgtp])?(?:i?b)?", re.IGNORECASE)
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
HOSTNAME = re.compile(r"[a-zA-Z0-9._-]{1,64}")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TMPFS_FLAGS = frozenset({"ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec"})
TMPFS_DATA = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of a container; None is "not limited". Microseconds, bytes, processes."""

    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    memory_bytes: int | None = None
    pids: int | None = None


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
    host_pid: bool = False
    host_network: bool = False
    limits: Limits = field(default_factory=Limits)
    best_effort_limits: bool = False
    cgroup_parent: str = "/cgscope"
    init: bool = False
    read_only: bool = False
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    remove: bool = False

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


def parse_size(text: str) -> int:
    """Return the bytes of `64m`, `1.5g`, `6291456`; units are powers of 1024, in any case, with or without b."""
    match = SIZE.fullmatch(text)
    if not match:
        raise SandboxError(f"invalid size: {text!r}")
    scale = 1024 ** ("bkmgtp".index(match[2].lower()) if match[2] else 0)
    size = int(Decimal(match[1]) * scale)
    if size > LARGEST:
        raise SandboxError(f"invalid size: {text!r} is too large")
    return size


def limits(
    *,
    cpus: str = "",
    quota: int = 0,
    period: int = 0,
    memory: str = "",
    pids: int = 0,
    host_cpus: int,
) -> Limits:
    """Check and join the limit options as Docker does; `host_cpus` bounds `--cpus`."""
    if cpus:
        for other, value in (("Period", period), ("Quota", quota)):
            if value:
                raise SandboxError(f"conflicting options: Nano CPUs and CPU {other} cannot both be set")
        quota, period = _quota_of_cpus(cpus, host_cpus)
    low, high = PERIOD_RANGE_US
    if period and not low <= period <= high:
        raise SandboxError("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if quota < -1 or 0 < quota < MINIMUM_QUOTA_US:
        raise SandboxError("CPU cfs quota can not be less than 1ms (i.e. 1000); -1 is no limit")
    if quota > LARGEST // 1000:  # the kernel counts in nanoseconds
        raise SandboxError(f"CPU cfs quota {quota} is too large")
    size = parse_size(memory) if memory else 0
    if 0 < size < MINIMUM_MEMORY:
        raise SandboxError("Minimum memory limit allowed is 6MB")
    return Limits(
        cpu_quota_us=quota if quota > 0 else None,
        cpu_period_us=period or None,
        memory_bytes=size or None,
        pids=pids if pids > 0 else None,
    )


def _quota_of_cpus(text: str, host_cpus: int) -> tuple[int, int]:
    """Translate `--cpus 0.5` to a quota of a 100 ms period; `--cpus 0` is no limit."""
    try:
        cpus = Decimal(text)
    except InvalidOperation:
        raise SandboxError(f"invalid number of CPUs: {text!r}") from None
    if not cpus.is_finite() or cpus < 0 or 0 < cpus < Decimal("0.01") or cpus > host_cpus:
        raise SandboxError(
            f"range of CPUs is from 0.01 to {host_cpus}.00, as there are only {host_cpus} CPUs available"
        )
    return int(cpus * DEFAULT_PERIOD_US), DEFAULT_PERIOD_US if cpus else 0


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
