"""What a container's processes have beside their rights: resource limits, an OOM score, more groups, kernel settings.

Forms, ranges and messages are Docker's (go-units ulimit.go, moby daemon_unix.go,
docker/cli opts). Parsed and checked here, and set by the process itself.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from sandbox.errors import BadValue, SandboxError, code_of
from sandbox.quick import fullmatch
from sandbox.users import User, group_id
from sandbox.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "IPC_SYSCTLS",
    "RESOURCES",
    "Attributes",
    "Ulimit",
    "attributes",
    "check_namespaces",
    "domain",
    "host_config",
    "load",
    "set_limits",
    "set_oom_score",
    "set_sysctls",
    "with_domain",
    "with_groups",
]

# getrlimit(2), asm-generic/resource.h; the module `resource` does not know all of them.
RESOURCES = {
    "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
    "as": 9, "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}  # fmt: skip
UNLIMITED = -1
LARGEST = 2**63 - 1
DIGITS = len(str(LARGEST))  # of more than 4,300 Python makes no number
OOM_SCORES = (-1000, 1000)
DEFAULT_SHM = 64 << 20
# Settings that each IPC namespace has of its own (ipc_namespaces(7)); net.* is the network namespace's.
IPC_SYSCTLS = frozenset(
    f"kernel.{name}" for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
DOMAIN = "kernel.domainname"  # the UTS namespace's
LONGEST_DOMAIN = 64  # bytes, __NEW_UTS_LEN
SYSCTL = r"[a-z0-9_]+(\.[a-zA-Z0-9_-]+)+"


class Ulimit(Value):
    """One resource limit of getrlimit(2); UNLIMITED is none."""

    name: str
    soft: int
    hard: int


class Attributes(Value):
    """What `run` was told of a program's surroundings; bytes."""

    ulimits: tuple[Ulimit, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    oom_score_adj: int | None = None
    shm_bytes: int = DEFAULT_SHM


def attributes(
    *,
    ulimits: Iterable[str] = (),
    sysctls: Iterable[str] = (),
    groups: Iterable[str] = (),
    oom_score_adj: int | None = None,
    shm_size: str | None = None,
) -> Attributes:
    """Parse and check the options."""
    low, high = OOM_SCORES
    if oom_score_adj is not None and not low <= oom_score_adj <= high:
        raise SandboxError(f"Invalid value {oom_score_adj}, range for oom score adj is [{low}, {high}]")
    size = DEFAULT_SHM
    if shm_size is not None:
        from sandbox.limits import parse_size  # noqa: PLC0415  exec has no use for it

        size = parse_size(shm_size, "--shm-size") or DEFAULT_SHM  # 0 is the default, as with Docker
    named = {limit.name: limit for limit in map(_ulimit, ulimits)}
    return Attributes(tuple(named.values()), tuple(map(_sysctl, sysctls)), tuple(groups), oom_score_adj, size)


def _ulimit(text: str) -> Ulimit:
    name, equals, values = text.partition("=")
    if not equals or name not in RESOURCES:
        raise BadValue(f"invalid ulimit {text!r}: the form is nofile=1024:2048; names are {', '.join(RESOURCES)}")
    first, _, second = values.partition(":")
    soft, hard = (_bound(text, value) for value in (first, second or first))
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise BadValue(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return Ulimit(name, soft, hard)


def _bound(text: str, value: str) -> int:
    if value in ("-1", "unlimited"):
        return UNLIMITED
    if not (value.isascii() and value.isdecimal() and len(value) <= DIGITS) or int(value) > LARGEST:
        raise BadValue(f"invalid ulimit {text!r}: {value!r} is neither a number nor unlimited")
    return int(value)


def _sysctl(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.replace("/", ".")
    if not equals or not fullmatch(SYSCTL, name) or "\n" in value or "\0" in value:
        raise BadValue(f"invalid sysctl {text!r}: the form is net.core.somaxconn=1024")
    if name not in IPC_SYSCTLS and not name.startswith(("net.", "fs.mqueue.")):
        raise BadValue(f"sysctl '{name}' is not allowed: it is this machine's, not a namespace's")
    return name, value


def check_namespaces(given: Attributes, *, own_network: bool, own_ipc: bool) -> None:
    """Refuse kernel settings of a namespace that is not the container's own."""
    for name in {name for name, _ in given.sysctls} - {DOMAIN}:
        kind, own = ("network", own_network) if name.startswith("net.") else ("IPC", own_ipc)
        if not own:
            raise SandboxError(f"sysctl '{name}' is not allowed: the container shares its {kind} namespace")


def with_domain(given: Attributes, name: str) -> Attributes:
    """Return them with an NIS domain name, setdomainname(2)'s: a kernel setting too; unchanged without one."""
    if len(name.encode(errors="surrogateescape")) > LONGEST_DOMAIN or not name.isprintable():
        raise SandboxError(f"invalid domain name: {name!r}")
    return replace(given, sysctls=((DOMAIN, name), *given.sysctls)) if name else given


def domain(given: Attributes) -> str:
    """Return the NIS domain name that was asked for, or ""."""
    return dict(given.sysctls).get(DOMAIN, "")


def host_config(given: Attributes) -> dict[str, Any]:
    """Return them as Docker's `inspect` has them."""
    return {
        "Ulimits": [{"Name": one.name, "Soft": one.soft, "Hard": one.hard} for one in given.ulimits],
        "Sysctls": {name: value for name, value in given.sysctls if name != DOMAIN},
        "GroupAdd": list(given.groups),
        "OomScoreAdj": given.oom_score_adj or 0,
        "ShmSize": given.shm_bytes,
    }


def set_oom_score(given: Attributes) -> None:
    """Set our own OOM score; it is inherited. Before we are made undumpable: from then on the file is root's."""
    if given.oom_score_adj is None:
        return
    try:
        with open("/proc/self/oom_score_adj", "wb") as file:
            file.write(str(given.oom_score_adj).encode())
    except OSError as error:
        why = "it can only be raised without CAP_SYS_RESOURCE" if error.errno == errno.EACCES else error.strerror
        raise SandboxError(f"cannot set the OOM score {given.oom_score_adj}: {why}") from None


def set_sysctls(given: Attributes) -> None:
    """Set kernel settings of the namespaces that we are in, through this machine's own /proc (CVE-2025-52881)."""
    for name, value in given.sysctls:
        try:
            with open(f"/proc/sys/{name.replace('.', '/')}", "wb") as file:
                file.write(value.encode())
        except OSError as error:
            raise SandboxError(f"sysctl {name}={value}: {error.strerror}", code_of(error)) from None


def set_limits(given: Attributes) -> None:
    """Set our own resource limits; they are inherited."""
    if not given.ulimits:
        return
    import resource  # noqa: PLC0415  only who sets one needs it; loaded before the fork by load()

    for limit in given.ulimits:
        try:
            resource.setrlimit(RESOURCES[limit.name], (limit.soft, limit.hard))
        except (OSError, ValueError):  # ValueError: Python's word for EPERM
            _, most = resource.getrlimit(RESOURCES[limit.name])
            raise SandboxError(
                f"cannot set ulimit {limit.name}={limit.soft}:{limit.hard}: the hard limit here is"
                f" {'none' if most == UNLIMITED else most}, which only CAP_SYS_RESOURCE raises"
            ) from None


def load(given: Attributes) -> None:
    """Import what set_limits needs, as long as Python still finds its own files."""
    if given.ulimits:
        import resource  # noqa: F401, PLC0415


def with_groups(user: User, given: Attributes, group: Sequence[list[str]]) -> User:
    """Return a user with the groups of --group-add, names by the container's own group file."""
    added = tuple(group_id(name, group) for name in given.groups)
    return replace(user, groups=tuple(dict.fromkeys((*user.groups, *added)))) if added else user
