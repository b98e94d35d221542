"""What is said of a process in no container: why it is slow, or was killed, stands at its control groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inspector.model import Container
from inspector.nsinspect.facts import findings_since_start
from inspector.schema import Document, Finding

__all__ = ["groups_of", "of_groups"]

# By resource, how the codes of its findings begin. On v1 each may be in another cgroup.
BEGIN = {"cpu": ("cpu-",), "memory": ("memory-", "oom-"), "pids": ("pids-",), "io": ("io-",)}


def groups_of(process: int, paths: Mapping[str, str], containers: Sequence[Container]) -> dict[str, str]:
    """Return the ids of the groups and services whose own cgroups are those of a process (`paths`), by resource."""
    there = [one for one in containers if one.kind != "container" and process in one.members]
    found = ((name, path, one) for name, path in paths.items() for one in there if name in BEGIN)
    return {name: one.id for name, path, one in found if name in one.owned and one.cgroups[name] == path}


def of_groups(groups: Mapping[str, str], told: Document) -> Iterator[Finding]:
    """Yield what a document tells of each resource of these groups, and of throttling that its looks did not see."""
    entries = {one["id"]: one for one in told["containers"]}
    for resource, begin in BEGIN.items():
        entry = entries.get(groups.get(resource, ""))
        if entry is not None:
            yield from (one for one in entry["findings"] if one["code"].startswith(begin))
            if resource == "cpu":
                yield from findings_since_start(entry)
