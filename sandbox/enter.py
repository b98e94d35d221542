"""`sandbox enter`: a program in the cgroups and namespaces of any process, as nsenter(1) with the cgroups.

This is the caller's side: what shall be joined is worked out here, before the
fork; entering.py is what the new processes do with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence

from inspector.errors import ParseError
from inspector.kernel.cgroups import Hierarchy, Membership, path_in, read_cgroup
from inspector.kernel.controllers import Freezer
from inspector.kernel.host import Host
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.process import Status, read_status
from sandbox import capabilities, channel, control, entering, freezer, syscalls
from sandbox.conversation import launch
from sandbox.environment import PATH
from sandbox.errors import SandboxError, printable
from sandbox.foreground import attend
from sandbox.privileges import Rights
from sandbox.security import BUILTIN, UNCONFINED, Security, rights
from sandbox.signals import blocked_signals
from sandbox.state import default_root
from sandbox.subject import FAILED, Subject, hold
from sandbox.value import Value, replace

__all__ = ["NAMESPACES", "Wish", "differing", "enter", "joins"]

# In the order in which they are joined one by one; the user namespace has its own place: see entering.join.
NAMESPACES: Mapping[str, int] = {
    "cgroup": syscalls.CLONE_NEWCGROUP,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "net": syscalls.CLONE_NEWNET,
    "pid": syscalls.CLONE_NEWPID,
    "time": syscalls.CLONE_NEWTIME,
    "mnt": syscalls.CLONE_NEWNS,
    "user": syscalls.CLONE_NEWUSER,
}
WITHOUT = "--no-cgroup enters without it: the container's limits then do not hold for the program"
LARGEST_ENVIRONMENT = 1 << 20
FILTERED = 2  # the Seccomp line of /proc/<pid>/status, SECCOMP_MODE_FILTER
ALL = (1 << 64) - 1


class Wish(Value):
    """What `sandbox enter` was told. No `namespaces` are all of them; no `argv` is the container's shell."""

    pid: int
    argv: tuple[str, ...] = ()
    namespaces: frozenset[str] = frozenset()
    cgroups: bool = True
    user: str = ""
    root: str = ""
    workdir: str = ""
    env: tuple[str, ...] = ()
    its_environment: bool = False
    privileged: bool = False
    started: int | None = None


def differing(asked: Collection[str], theirs: Mapping[str, int], ours: Mapping[str, int]) -> tuple[str, ...]:
    """Return which of the namespaces asked for (none: all) are to be joined: not those that we are in anyway.

    Pure. Entering one's own user namespace is an error of the kernel's, and
    of the others a waste. Raises SandboxError for a kind that this kernel lacks.
    """
    if missing := [kind for kind in asked if kind not in theirs]:
        raise SandboxError(f"this kernel has no {' and no '.join(missing)} namespaces")
    return tuple(kind for kind in NAMESPACES if theirs.get(kind) != ours.get(kind) and kind in (asked or theirs))


def joins(
    hierarchies: Sequence[Hierarchy], theirs: Membership, ours: Membership
) -> tuple[control.Step, ...]:
    """Return what moves the calling process into another's cgroups, in every hierarchy where it is not yet; pure."""
    steps = []
    for hierarchy in hierarchies:
        path = path_in(hierarchy, theirs)
        if path is None or path == path_in(hierarchy, ours):
            continue
        directory = hierarchy.directory(path)
        if directory is None:
            names = ",".join(sorted(hierarchy.controllers)) or "v2"
            raise SandboxError(f"its cgroup {printable(path)} of {names} is not visible here; {WITHOUT}", FAILED)
        steps.append(control.join(hierarchy.version, directory))
    return tuple(steps)


def enter(wish: Wish, environment: Mapping[str, str]) -> int:
    """Run a program where a process is; returns its exit code."""
    if any("\0" in text for text in (*wish.argv, *wish.env, wish.root, wish.workdir)):
        raise SandboxError("a NUL byte cannot be passed to a program")
    subject = hold(wish.pid, wish.started)
    host = Host()
    kinds = differing(wish.namespaces, subject.namespaces, read_namespaces(host, "self"))
    steps = joins(subject.hierarchies, subject.membership, read_cgroup(host, "self")) if wish.cgroups else ()
    if wish.cgroups and _is_frozen(subject):
        raise SandboxError(f"{subject} is frozen, and so would be the program: sandbox thaw {wish.pid} first", FAILED)
    # Root in the container is what the container's programs are, not more: they share files that are not ours.
    trusted = wish.privileged or (bool(wish.namespaces) and "mnt" not in wish.namespaces)
    status = read_status(host, wish.pid)
    ids = bool(wish.user) or "user" in kinds or os.geteuid() == 0
    entry = entering.Entry(
        pid=wish.pid,
        pidfd=subject.pidfd,
        flags={kind: NAMESPACES[kind] for kind in kinds},
        cgroup_steps=steps,
        argv=wish.argv,
        environment=_environment(wish, environment),
        user=wish.user,
        root=_root(wish),
        workdir=wish.workdir,
        its_place=not wish.namespaces or "mnt" in wish.namespaces,
        rights=Rights(ALL) if trusted else _rights(status, ids=ids),
        ids=ids,
        tty=os.isatty(0) and os.isatty(1),
    )
    return _run(entry, subject)


def _run(entry: entering.Entry, subject: Subject) -> int:
    sys.stdout.flush()
    with blocked_signals():
        try:
            running = launch(
                lambda end, parent, left: entering.entrant(replace(entry, cgroup_steps=left), end, parent),
                entry.cgroup_steps,
                tty=entry.tty,
            )
        except channel.Closed:
            raise SandboxError(f"{subject} ended while it was entered", FAILED) from None
        except SandboxError as error:
            from sandbox.crowding import explained  # noqa: PLC0415  rare

            raise explained(error, (os.path.dirname(step.path) for step in entry.cgroup_steps)) from None
        return attend(running.pid, running.pidfd, running.console, interactive=entry.tty)


def _rights(status: Status, *, ids: bool) -> Rights:
    """Return what the process may do: its capabilities, its no_new_privs, and a filter where it has one.

    The kernel does not give away whose filter that is (PTRACE_SECCOMP_GET_FILTER): it is Docker's default one.
    """
    bounding, no_new_privileges = status.capabilities.get("bounding", 0), bool(status.no_new_privs)
    filtered = status.seccomp == FILTERED and (ids or no_new_privileges)
    chosen = Security(BUILTIN if filtered else UNCONFINED, no_new_privileges)
    return replace(rights(chosen, capabilities.names(bounding), default_root()), capabilities=bounding)


def _is_frozen(subject: Subject) -> bool:
    try:
        return freezer.read(subject.group("freezer")) == Freezer(frozen=True)
    except (SandboxError, OSError, ParseError):  # in the root cgroup, or no freezer at all
        return False


def _environment(wish: Wish, environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return PATH and TERM, with --env the process's own variables over them, and what -e gives over all."""
    result = {"PATH": PATH}
    if environment.get("TERM"):
        result["TERM"] = environment["TERM"]
    if wish.its_environment:
        data = Host().read_prefix(f"/proc/{wish.pid}/environ", LARGEST_ENVIRONMENT)
        items = (item.partition("=") for item in os.fsdecode(data).split("\0"))
        result |= {key: value for key, equals, value in items if key and equals}
    for item in wish.env:
        key, equals, value = item.partition("=")
        if not key:
            raise SandboxError(f"invalid environment variable: {item!r}")
        if equals or key in environment:
            result[key] = value if equals else environment[key]
    return tuple(result.items())


def _root(wish: Wish) -> str:
    if wish.root and not os.path.isdir(wish.root):
        raise SandboxError(f"--root {wish.root}: not a directory")
    return os.path.abspath(wish.root) if wish.root else ""
