"""The `process` of a config.json, or of `exec --process`: what is started, and as whom; pure."""

from __future__ import annotations

from sandbox import apparmor
from sandbox.attributes import OOM_SCORES
from sandbox.capabilities import ALL, mask
from sandbox.errors import SandboxError
from sandbox.oci import scheduling
from sandbox.oci.reader import Reader
from sandbox.privileges import Sets
from sandbox.value import Value

__all__ = ["LARGEST_ID", "Process", "parse_process"]

USUAL_UMASK = 0o022
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
# The last is "no change" to setresuid(2).
LARGEST_ID = 2**32 - 2
LARGEST_SIDE = 2**16 - 1
MOST_GROUPS = 65536  # NGROUPS_MAX


class Process(Value):
    """What is started, and as whom. Capability names are without CAP_; `console` is rows and columns.

    `unknown` are capabilities that this machine does not have, `not_inherited` are ambient ones that are neither
    permitted nor inheritable: it starts without, and a warning is due.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    terminal: bool
    console: tuple[int, int]
    bounding: frozenset[str]
    unknown: tuple[str, ...]
    not_inherited: tuple[str, ...]
    sets: Sets
    rlimits: tuple[tuple[str, int, int], ...]
    oom_score_adj: int | None
    no_new_privileges: bool
    apparmor: str
    scheduler: bytes | None
    io_priority: int | None
    affinity: scheduling.Affinity


def parse_process(document: object) -> Process:
    """Check a process, and return it."""
    entry = Reader(document, "process")
    user, console = entry.object("user"), entry.object("consoleSize")
    asked = _capabilities(entry.object("capabilities"))
    found = {name: names & ALL for name, names in asked.items()}
    scheduler, io_priority = scheduling.parse_process(entry)
    _refuse_label(entry)
    return Process(
        args=_args(entry),
        env=_environment(entry),
        cwd=_directory(entry),
        uid=user.number("uid", 0, 0, LARGEST_ID),
        gid=user.number("gid", 0, 0, LARGEST_ID),
        groups=_groups(user),
        umask=user.number("umask", USUAL_UMASK, 0, 2**32) & 0o777,
        terminal=entry.get("terminal", bool, False),
        console=(console.number("height", 0, 0, LARGEST_SIDE), console.number("width", 0, 0, LARGEST_SIDE)),
        bounding=found["bounding"],
        unknown=tuple(sorted(frozenset().union(*asked.values()) - ALL)),
        not_inherited=tuple(sorted(found["ambient"] - (found["permitted"] & found["inheritable"]))),
        sets=Sets(*(mask(found[name]) for name in SETS[1:])),
        rlimits=_limits(entry),
        oom_score_adj=entry.number("oomScoreAdj", 0, *OOM_SCORES) if "oomScoreAdj" in entry.value else None,
        no_new_privileges=entry.get("noNewPrivileges", bool, False),
        apparmor=apparmor.name_of(entry.text("apparmorProfile"), "config.json: process.apparmorProfile", 1),
        scheduler=scheduler,
        io_priority=io_priority,
        affinity=scheduling.parse_affinity(entry),
    )


def _refuse_label(entry: Reader) -> None:
    """Refuse to promise what SELinux would have to keep."""
    if entry.text("selinuxLabel"):
        why = "SELinux is not set up here (docker and podman: --security-opt label=disable)"
        raise SandboxError(f"config.json: process.selinuxLabel is not supported: {why}", 1)


def _args(entry: Reader) -> tuple[str, ...]:
    args = entry.texts("args")
    if not args or not args[0]:
        raise SandboxError("config.json: process.args is empty", 1)
    return args


def _directory(entry: Reader) -> str:
    cwd = entry.text("cwd")
    if not cwd.startswith("/"):
        raise SandboxError(f"config.json: process.cwd {cwd!r} is not an absolute path", 1)
    return cwd


def _environment(entry: Reader) -> tuple[str, ...]:
    env = entry.texts("env")
    if not all("=" in item[1:] for item in env):
        raise SandboxError("config.json: process.env has an entry without a name and '='", 1)
    return env


def _groups(user: Reader) -> tuple[int, ...]:
    groups = user.numbers("additionalGids", 0, LARGEST_ID)
    if len(groups) > MOST_GROUPS:
        raise SandboxError(f"config.json: process.user.additionalGids are more than {MOST_GROUPS}", 1)
    return groups


def _capabilities(given: Reader) -> dict[str, frozenset[str]]:
    return {name: frozenset(each.removeprefix("CAP_") for each in given.texts(name)) for name in SETS}


def _limits(entry: Reader) -> tuple[tuple[str, int, int], ...]:
    """Return the limits, each of which is named once, with what a process has of it and what it may have."""
    found: dict[str, tuple[str, int, int]] = {}
    for each in entry.objects("rlimits"):
        name, soft, hard = each.text("type"), each.get("soft", int, 0), each.get("hard", int, 0)
        if name in found:
            raise SandboxError(f"config.json: process.rlimits: {name} is named twice", 1)
        if soft < 0 or hard < soft:
            raise SandboxError(f"config.json: {each.where}: the soft limit {soft} is above the hard one {hard}", 1)
        found[name] = (name, soft, hard)
    return tuple(found.values())
