"""Any process of this machine, whoever made its container: held by a pidfd, with what /proc tells of it.

The descriptor comes first and is asked last: while its process lives its PID
is no other's, so all that was read in between is of that process.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Mapping

from inspector.errors import ParseError
from inspector.kernel.cgroups import Hierarchy, Membership, locate, path_in, read_cgroup, read_hierarchies
from inspector.kernel.host import Host
from inspector.kernel.mounts import Mount, read_mountinfo
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.process import Stat, read_stat
from sandbox import cgroup, culling
from sandbox.errors import SandboxError, printable
from sandbox.value import Value

__all__ = ["Group", "Subject", "container_top", "hold"]

LARGEST_PID = 1 << 22
FAILED = 1  # the exit code of what cannot be done to this process


class Subject(Value):
    """A process that lived when all of this was read. `mounts` are its own, their roots as we see them."""

    pid: int
    pidfd: int
    stat: Stat
    namespaces: Mapping[str, int]
    membership: Membership
    hierarchies: tuple[Hierarchy, ...]
    mounts: tuple[Mount, ...]

    def __str__(self) -> str:
        return f"process {self.pid} ({printable(self.stat.comm)})"

    def is_alive(self) -> bool:
        """Tell whether it still lives, so that what was done was done to its container."""
        return not has_ended(self.pidfd)

    def group(self, controller: str) -> Group:
        """Return its container's cgroup for one controller; SandboxError where there is none of its own here."""
        hierarchy = locate(self.hierarchies, controller)
        if hierarchy is None:
            raise SandboxError(f"no mounted cgroup hierarchy has the controller {controller}", FAILED)
        path = path_in(hierarchy, self.membership)
        top = None if path is None else container_top(hierarchy, path, self.mounts)
        directory = None if top is None else hierarchy.directory(top)
        if top is None or directory is None:
            raise SandboxError(f"{self}: its {controller} cgroup {printable(path or '')} is not visible here", FAILED)
        if top == "/":
            raise SandboxError(
                f"{self} has no {controller} cgroup of its own: it is in the root, with everything else", FAILED
            )
        return Group(controller, cgroup.Place(hierarchy, top, directory))


class Group(Value):
    """A container's cgroup for one controller."""

    controller: str
    place: cgroup.Place

    def __str__(self) -> str:
        return printable(self.place.path)

    @property
    def version(self) -> int:
        """The cgroup version of its hierarchy."""
        return self.place.hierarchy.version

    def members(self) -> set[int]:
        """Return the processes in it and below it."""
        return culling.pids((self.place,))

    def check(self, subject: Subject, *, force: bool, stops: bool = False) -> None:
        """Refuse a cgroup that is more than the subject's container: our own, process 1's, or with others in it.

        `force` allows all of it; our own not where what is done `stops` it, and us with it.
        """
        members = self.members()
        if os.getpid() in members and (stops or not force):
            hint = "" if stops else ": --force does it all the same"
            raise SandboxError(f"{self} ({self.controller}) is the cgroup that this command runs in{hint}", FAILED)
        if force:
            return
        if 1 in members and subject.pid != 1:
            raise SandboxError(f"{self} ({self.controller}) holds process 1 too: --force includes it", FAILED)
        if around := members & _ancestors():
            raise SandboxError(
                f"{self} ({self.controller}) holds process {min(around)} that runs this command: --force includes it",
                FAILED,
            )
        if strangers := _strangers(members, subject):
            raise SandboxError(
                f"{self} ({self.controller}) holds {len(strangers)} processes outside the container,"
                f" such as {min(strangers)}: --force includes them",
                FAILED,
            )


def container_top(hierarchy: Hierarchy, path: str, mounts: tuple[Mount, ...]) -> str:
    """Return the cgroup of the whole container that a process in `path` belongs to; pure.

    A process may be deeper, as below an init that makes cgroups. A container
    sees its own cgroup as the root of its cgroup mount, and cannot name one
    above it: of several mounts the one that shows most is taken.
    """
    roots = [
        mount.root
        for mount in mounts
        if _is_of(mount, hierarchy) and mount.root != "/" and f"{path}/".startswith(f"{mount.root}/")
    ]
    top = min(roots, key=len, default=path)
    # The mount that we look through ourselves tells nothing of a container.
    return path if top == hierarchy.root else top


def _is_of(mount: Mount, hierarchy: Hierarchy) -> bool:
    if hierarchy.version != 1:
        return mount.fstype == "cgroup2"
    names = {f"name={mount.super_options['name']}"} if "name" in mount.super_options else set()
    return mount.fstype == "cgroup" and bool(hierarchy.controllers & (names | set(mount.super_options)))


def _ancestors() -> set[int]:
    """Return the processes that started us, as far up as /proc shows; process 1 is spoken of by itself."""
    found: set[int] = set()
    host, pid = Host(), os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = read_stat(host, pid).ppid
        except (OSError, ParseError):
            break
    return found


def _strangers(members: set[int], subject: Subject) -> set[int]:
    """Return the members that have our own PIDs and mounts while the subject does not: they are no part of it."""
    host = Host()
    kinds = ("pid", "mnt")
    ours = read_namespaces(host, "self", kinds)
    if all(subject.namespaces.get(kind) == ours[kind] for kind in kinds):
        return set()
    found = set()
    for pid in members:
        try:
            if read_namespaces(host, pid, kinds) == ours:
                found.add(pid)
        except (OSError, ParseError):
            continue
    return found


def hold(pid: int, started: int | None = None) -> Subject:
    """Take hold of a process. `started` (clock ticks since boot): refuse another one that has its PID by now.

    Raises SandboxError when it is gone, is no process, or may not be looked at.
    """
    if not 0 < pid <= LARGEST_PID:
        raise SandboxError(f"{pid} is not a PID")
    pidfd = _pidfd(pid)
    try:
        subject = _look(pid, pidfd, started)
    except PermissionError:
        raise SandboxError(
            f"process {pid} is another user's: its namespaces are for root to see (CAP_SYS_PTRACE)", FAILED
        ) from None
    except (FileNotFoundError, ProcessLookupError):
        raise SandboxError(f"process {pid} has ended", FAILED) from None
    except ParseError as error:
        raise SandboxError(f"process {pid}: {error}", FAILED) from None
    if not subject.is_alive():
        raise SandboxError(f"process {pid} has ended", FAILED)
    return subject


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise SandboxError(f"there is no process {pid}", FAILED) from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            raise SandboxError(f"{pid} is a thread: give the PID of its process", FAILED) from None
        raise


def _look(pid: int, pidfd: int, started: int | None) -> Subject:
    host = Host()
    stat = read_stat(host, pid)
    if started is not None and stat.starttime_ticks != started:
        raise SandboxError(f"process {pid} has ended: that PID is another process's by now", FAILED)
    if stat.is_kernel_thread or stat.state in ("Z", "X"):
        kind = "a thread of the kernel" if stat.is_kernel_thread else "a zombie: it has ended"
        raise SandboxError(f"process {pid} ({printable(stat.comm)}) is {kind}", FAILED)
    return Subject(
        pid,
        pidfd,
        stat,
        read_namespaces(host, pid),
        read_cgroup(host, pid),
        read_hierarchies(host),
        read_mountinfo(host, pid),
    )


def has_ended(pidfd: int) -> bool:
    """Tell whether the process of a pidfd has ended, be it still a zombie (a pidfd is readable then)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
