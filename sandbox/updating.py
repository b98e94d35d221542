"""`sandbox update`: other limits and another policy of restarts, now if a container runs, and at its next start.

What is written goes through adjust.py, as the kernel checks each file against
the others: of several orders one passes. What fails is undone, and the
container's document then stays as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

from sandbox import adjust, ceilings, cgroup, cpusets, document, events, lifecycle, limit_files
from sandbox.codec import decode, encode
from sandbox.errors import SandboxError
from sandbox.limits import UNLIMITED, Limits, host_config
from sandbox.liveness import is_running
from sandbox.spec import Spec
from sandbox.state import Store
from sandbox.subject import Group
from sandbox.value import replace

__all__ = ["merged", "update", "write"]

ENDED = ("created", "exited", "dead")


def update(store: Store, name: str, given: dict[str, Any], restart: dict[str, Any] | None = None) -> None:
    """Change a container: `given` are fields of Limits, `restart` of Lifecycle.

    Raises SandboxError, and changes nothing then. A policy of restarts is what its monitor looks at when it ends.
    """
    with store.changing(store.find(name)["Id"]) as text:
        spec = decode(Spec, text["Cgscope"]["Spec"])
        before = spec.limits
        if restart and text["HostConfig"]["AutoRemove"] and restart["restart"] != "no":
            raise SandboxError("Restart policy cannot be updated because AutoRemove is enabled for the container", 1)
        after = merged(before, given)
        if "cpuset_cpus" in given or "cpuset_mems" in given:
            cpusets.check(after, document.places_of(text))
        if text["State"]["Status"] not in ENDED:
            try:
                write(document.places_of(text), before, after)
            except (SandboxError, OSError):
                # Between an end and the next start there are no cgroups: that start makes them with the new limits.
                if is_running(text):
                    raise
        text["Cgscope"]["Spec"]["limits"] = encode(after)
        text["HostConfig"].update(host_config(after))
        if restart:
            life = replace(spec.lifecycle, **restart)
            text["Cgscope"]["Spec"]["lifecycle"] = encode(life)
            text["HostConfig"].update(lifecycle.host_config(life))
    events.of_container(store.root, text, "update")


def merged(before: Limits, given: dict[str, Any]) -> Limits:
    """Return limits with some of them changed; SandboxError for those that do not go together."""
    memory, swap = given.get("memory_bytes"), before.memory_swap_bytes
    if memory and swap not in (None, UNLIMITED) and "memory_swap_bytes" not in given and memory > swap:
        raise SandboxError(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            1,
        )
    return replace(before, **given)


def write(places: Sequence[cgroup.Place], before: Limits, after: Limits) -> None:
    """Bring the cgroups of a running container from some limits to others, all of them or none."""
    undo: list[tuple[Group, list[adjust.Write]]] = []
    try:
        for controller in limit_files.CONTROLLERS:
            for group, writes in _changes(controller, places, before, after):
                was = [(file, ceilings.raw(group, file)) for file in dict(writes)]
                adjust.carry_out(group, permutations(writes))
                undo.append((group, was))
    except SandboxError:
        for group, was in reversed(undo):
            with contextlib.suppress(SandboxError):
                adjust.carry_out(group, permutations(adjust.lines(was)))
        raise


def _changes(
    controller: str, places: Sequence[cgroup.Place], before: Limits, after: Limits
) -> Iterator[tuple[Group, list[adjust.Write]]]:
    """Yield the cgroup of a controller with what must be written to it, if anything."""
    where = cgroup.located(controller, places)
    version = 1 if where is None else min(where.hierarchy.version, 2)
    old = limit_files.settings(controller, version, before)
    new = limit_files.settings(controller, version, after)
    changed = [one for one in new if one not in old] + limit_files.lifted(controller, version, before, after)
    if not changed:
        return
    if before.blkio_weight != after.blkio_weight:  # with it the kernel forgets those of single disks
        changed += [one for one in new if one not in changed and limit_files.is_weight_of_a_disk(one)]
    if where is None:
        raise SandboxError(f"cannot limit {controller}: the container has no cgroup with that controller", 1)
    group = Group(controller, where)
    if controller == "memory" and after.memory_bytes is not None:
        asked = adjust.Asked(after.memory_bytes)
        adjust.check_memory(group, ceilings.read("memory", group), asked, force=False)
    yield group, [
        (file, value)
        for file, value, optional in changed
        if ceilings.has(group, file) or not _may_lack(group, optional)
    ]


def _may_lack(group: Group, optional: bool | str) -> bool:
    """Tell whether a file that is not there need not be."""
    return ceilings.has(group, optional) if isinstance(optional, str) else optional
