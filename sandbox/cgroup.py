"""The container's cgroups: a plan that is data, and a short way to carry it out.

A container has a cgroup in every mounted hierarchy: its place there. What its
limits mean in a version's files stands in limit_files.py. The plan has
three phases: "create" makes the places, "join" lets the calling process enter
them, "limit" writes the bounds, late, so that setting up is not bound by them.

Sources: Documentation/admin-guide/cgroup-v1/*.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator, Sequence

from inspector.kernel.cgroups import Hierarchy, Membership, ancestors, parse_pids, path_in
from inspector.kernel.host import Host
from sandbox import limit_files
from sandbox.devices import DEFAULT_RULES, Rule, attach, parse_rule
from sandbox.errors import SandboxError, describe
from sandbox.limits import FIELDS, Limits
from sandbox.quick import signal
from sandbox.value import Value, replace

__all__ = [
    "JOIN",
    "JOIN_FILE",
    "Place",
    "Step",
    "apply",
    "device_steps",
    "kill",
    "located",
    "oom_kills",
    "pids",
    "place",
    "plan",
    "remove",
    "without_unreachable",
    "write",
]

CREATE, JOIN, LIMIT = "create", "join", "limit"
# What is switched on for a container's cgroup on v2, for its limits and for those who watch it.
DELEGATED = ("cpuset", "cpu", "io", "memory", "pids")
NOTHING = Limits()
REMOVAL_SECONDS = 5.0
CREATE_ATTEMPTS = 20


class Place(Value):
    """The container's cgroup in one hierarchy; `base` is the part that was there before us."""

    hierarchy: Hierarchy
    path: str
    directory: str
    base: str = "/"


class Step(Value):
    """One thing to do. `action`: mkdir, copy (value from the parent's file), enable, write, or devices."""

    phase: str
    action: str
    path: str
    value: str = ""
    optional: bool = False

    def __str__(self) -> str:
        may = " (if it can be)" if self.optional else ""
        return f"{self.phase:6} {self.action} {self.path} {self.value}".rstrip() + may


# Where OOM kills are counted.
OOM_COUNTER = {1: "memory.oom_control", 2: "memory.events"}
# v1's tasks moves one thread without the lock (an RCU wait of 10 to 25 ms) that cgroup.procs takes (Linux 5.5).
JOIN_FILE = {1: "tasks", 2: "cgroup.procs"}


def place(
    hierarchies: Iterable[Hierarchy], parent: str, container: str, own: Membership | None
) -> tuple[Place, ...]:
    """Say where a container's cgroups are: `parent`/`container`, below the caller's own (`own`) when not root.

    Only hierarchies where that can be made are in the answer: a read-only or
    foreign tree is none of them.
    """
    found = []
    for hierarchy in hierarchies:
        base = "/" if own is None else path_in(hierarchy, own)
        directory = None if base is None else hierarchy.directory(base)
        if base is None and hierarchy.root != "/":
            continue
        if directory is None:  # a mount that shows one cgroup only: below that one
            base, directory = hierarchy.root, hierarchy.mountpoint
        if base is None or not os.access(directory, os.W_OK):
            continue
        path = f"{base.rstrip('/')}/{parent.strip('/')}/{container}".replace("//", "/")
        inside = hierarchy.directory(path)
        if inside is not None:
            found.append(Place(hierarchy, path, inside, base))
    return tuple(found)


def plan(
    limits: Limits, places: Sequence[Place], *, all_devices: bool = False, devices: Iterable[Rule] = ()
) -> tuple[Step, ...]:
    """Return all steps for a container with these limits, in order.

    Raises SandboxError for a limit whose controller is in none of the places.
    """
    steps: list[Step] = []
    for where in places:
        steps += _create(where, limits)
    steps += [Step(JOIN, "write", f"{where.directory}/{JOIN_FILE[where.hierarchy.version]}", "0") for where in places]
    if not all_devices:
        steps += device_steps(places, [*DEFAULT_RULES, *devices])
    for controller in limit_files.CONTROLLERS:
        steps += _limit_steps(controller, limits, places)
    return tuple(steps)


def _create(where: Place, limits: Limits) -> Iterator[Step]:
    """Make the cgroup and what is missing above it, from the top: a child gets only what its parent hands down."""
    below_base = [path for path in ancestors(where.path, where.base) if path != where.base]
    parent = where.hierarchy.directory(where.base) or where.hierarchy.mountpoint
    for path in reversed(below_base):
        directory = where.hierarchy.directory(path)
        if directory is None:
            continue
        if where.hierarchy.version != 1:
            names = (*DELEGATED, "hugetlb") if limits.huge_pages else DELEGATED
            wanted = " ".join(name for name in names if name in where.hierarchy.controllers)
            yield Step(CREATE, "enable", f"{parent}/cgroup.subtree_control", wanted, optional=True)
        yield Step(CREATE, "mkdir", directory)
        if "cpuset" in where.hierarchy.controllers and where.hierarchy.version == 1:
            # An empty v1 cpuset refuses its first process (ENOSPC).
            yield Step(CREATE, "copy", f"{directory}/cpuset.cpus", f"{parent}/cpuset.cpus")
            yield Step(CREATE, "copy", f"{directory}/cpuset.mems", f"{parent}/cpuset.mems")
        parent = directory


def device_steps(places: Sequence[Place], rules: Sequence[Rule]) -> Iterator[Step]:
    """Allow these devices only: CAP_MKNOD, which is Docker's default, would open the host's disks."""
    for where in places:
        if where.hierarchy.version == 1 and "devices" in where.hierarchy.controllers:
            yield Step(LIMIT, "write", f"{where.directory}/devices.deny", "a")
            for rule in rules:
                yield Step(LIMIT, "write", f"{where.directory}/devices.allow", str(rule))
            return
    for where in places:
        if where.hierarchy.version != 1:  # v2 has a program for each cgroup in place of a controller
            yield Step(LIMIT, "devices", where.directory, ", ".join(map(str, rules)))
            return


def located(controller: str, places: Iterable[Place]) -> Place | None:
    """Return the place of a controller, by its name on v2."""
    names = limit_files.controllers(controller)
    return next((each for each in places if each.hierarchy.controllers & set(names)), None)


def _limit_steps(controller: str, limits: Limits, places: Sequence[Place]) -> Iterator[Step]:
    where = located(controller, places)
    version = 1 if where is None else min(where.hierarchy.version, 2)
    settings = limit_files.settings(controller, version, limits)
    if where is None:
        if settings:
            raise SandboxError(f"cannot limit {controller}: no cgroup with that controller can be made here")
        return
    for name, value, optional in settings:
        yield Step(LIMIT, "write", f"{where.directory}/{name}", value, optional)


def without_unreachable(limits: Limits, places: Sequence[Place]) -> tuple[Limits, list[str]]:
    """Return the limits that can be kept here, and the controllers for which none can."""
    lost = []
    for controller, fields in FIELDS.items():
        unset = {name: getattr(NOTHING, name) for name in fields}
        if located(controller, places) is None and any(getattr(limits, name) != unset[name] for name in fields):
            lost.append(controller)
            limits = replace(limits, **unset)
    return limits, lost


def apply(steps: Iterable[Step], phase: str) -> list[str]:
    """Carry out one phase, and return the directories that were not there before.

    Creating starts over when the last container of a parent took it away meanwhile.
    """
    chosen = [step for step in steps if step.phase == phase]
    made: list[str] = []
    for attempt in range(CREATE_ATTEMPTS):
        try:
            for step in chosen:
                _do(step, made)
        except OSError as error:
            if phase != CREATE or not isinstance(error, FileNotFoundError) or attempt == CREATE_ATTEMPTS - 1:
                raise _explain(error) from error
        else:
            break
    return made


def _explain(error: OSError) -> SandboxError:
    hint = ""
    if error.errno == errno.ENOENT:
        hint = " (the controller is not handed down to this cgroup)"
    elif error.errno == errno.EBUSY:
        hint = " (more is in use already)"
    elif error.errno == errno.ERANGE:
        hint = " (not all of them are there)"
    elif error.errno == errno.ENODEV:
        hint = " (a whole disk, not a partition of one)"
    return SandboxError(f"cgroup: {describe(error)}{hint}")


def _do(step: Step, made: list[str]) -> None:
    try:
        if step.action == "mkdir":
            if _mkdir(step.path):
                made.append(step.path)
        elif step.action == "enable":
            _enable(step.path, step.value.split())
        elif step.action == "copy":
            _copy_if_empty(step.value, step.path)
        elif step.action == "devices":
            attach(step.path, map(parse_rule, step.value.split(", ")))
        else:
            write(step.path, step.value)
    except OSError:
        if not step.optional:
            raise


def _mkdir(path: str) -> bool:
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


def write(path: str, value: str) -> None:
    """Write a control file: never creating it, as a missing file is a missing controller."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot write {value!r}: {error.strerror}", path) from None
    finally:
        os.close(fd)


def _enable(path: str, controllers: list[str]) -> None:
    """Hand controllers down to the children, those that are not yet: one that cannot be does not stop the rest."""
    present = Host().read(path).decode(errors="replace").split()
    for name in controllers:
        if name not in present:
            try:
                write(path, f"+{name}")
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES):
                    raise


def _copy_if_empty(source: str, target: str) -> None:
    host = Host()
    if not host.read(target).strip():
        write(target, host.read(source).decode().strip())


def pids(places: Iterable[Place]) -> set[int]:
    """Return every process in the container's cgroups and in those below them."""
    found: set[int] = set()
    for where in places:
        for directory, _, _ in os.walk(where.directory):
            try:
                found.update(parse_pids(Host().read(f"{directory}/cgroup.procs")))
            except OSError:
                continue
    return found - {0}


def kill(places: Sequence[Place]) -> None:
    """Kill every process of the container, at once where the kernel can (cgroup.kill, Linux 5.14)."""
    for where in places:
        try:
            if where.hierarchy.version != 1:
                write(f"{where.directory}/cgroup.kill", "1")
        except OSError:
            continue
    for pid in pids(places):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def oom_kills(places: Iterable[Place]) -> int:
    """Return how many processes of the container the kernel killed for want of memory."""
    for where in places:
        if "memory" not in where.hierarchy.controllers:
            continue
        try:
            text = Host().read(f"{where.directory}/{OOM_COUNTER[where.hierarchy.version]}").decode()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))
    return 0


def remove(places: Sequence[Place], parents: Iterable[str] = ()) -> None:
    """Remove the container's cgroups, killing what is left in them; then those of `parents` that are empty.

    Raises SandboxError when a cgroup is still in use after five seconds.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    for where in places:
        while not _remove_tree(where.directory):
            if time.monotonic() > deadline:
                raise SandboxError(f"cgroup: {where.directory}: still in use")
            kill(places)
            time.sleep(0.002)
    for directory in sorted(parents, key=len, reverse=True):
        _rmdir(directory)


def _remove_tree(directory: str) -> bool:
    """Remove a cgroup and those below it; False when something is in use."""
    return all(_rmdir(path) for path, _, _ in os.walk(directory, topdown=False))


def _rmdir(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True
