"""The container's cgroups, and what is written to them: a plan that is data (control.py carries it out); pure.

A container has a cgroup in every mounted hierarchy: its place there. What its
limits mean in a version's files stands in limit_files.py.

Sources: Documentation/admin-guide/cgroup-v1/*.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from inspector.kernel.cgroups import Hierarchy, Membership, ancestors, path_in
from sandbox import limit_files
from sandbox.control import CREATE, LIMIT, Step, join
from sandbox.devices import DEFAULT_RULES, Rule
from sandbox.errors import SandboxError
from sandbox.limits import FIELDS, Limits
from sandbox.value import Value, replace

__all__ = ["Place", "device_steps", "located", "place", "plan", "without_unreachable"]

# What is switched on for a container's cgroup on v2, for its limits and for those who watch it.
DELEGATED = ("cpuset", "cpu", "io", "memory", "pids")
NOTHING = Limits()


class Place(Value):
    """The container's cgroup in one hierarchy; `base` is the part that was there before us."""

    hierarchy: Hierarchy
    path: str
    directory: str
    base: str = "/"


def place(hierarchies: Iterable[Hierarchy], parent: str, container: str, own: Membership | None) -> tuple[Place, ...]:
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
        path = os.path.normpath(f"{base.rstrip('/')}/{parent.strip('/')}/{container}".replace("//", "/"))
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
    steps += [join(where.hierarchy.version, where.directory) for where in places]
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
        instead = f"{where.directory}/{optional}" if isinstance(optional, str) else ""
        yield Step(LIMIT, "write", f"{where.directory}/{name}", value, optional is True, instead)


def without_unreachable(limits: Limits, places: Sequence[Place]) -> tuple[Limits, list[str]]:
    """Return the limits that can be kept here, and the controllers for which none can."""
    lost = []
    for controller, fields in FIELDS.items():
        unset = {name: getattr(NOTHING, name) for name in fields}
        if located(controller, places) is None and any(getattr(limits, name) != unset[name] for name in fields):
            lost.append(controller)
            limits = replace(limits, **unset)
    return limits, lost
