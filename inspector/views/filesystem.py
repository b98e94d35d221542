"""The root filesystem of a container: layers, what it changed, what is mounted from outside. Pure.

The changes may be many: their lines are made when they come into sight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from inspector.closeup import Closeup
from inspector.layers import Totals, Volume, under
from inspector.report import MountEntry
from inspector.schema import Container, Finding, Rootfs
from inspector.views.abridge import abridged
from inspector.views.cells import COLOUR_OF_SEVERITY
from inspector.views.facts import fact, wrapped
from inspector.views.layout import Line
from inspector.views.rootfs import total_lines
from inspector.views.text import UNKNOWN, byte_size, safe

__all__ = ["CHANGES", "Walked", "filesystem_lines"]

SENSITIVE = frozenset(
    ("host-path-writable", "host-path-readable", "host-root", "runtime-socket", "host-proc", "proc-sys-writable",
     "sys-writable", "writable-cgroup", "host-devices")
)  # fmt: skip
"""The findings that are about what is mounted."""
BAR = 20
CHANGES = ("CHANGES of the image", "title")


class Walked(NamedTuple):
    """How far a walk over the upper directory is; `state` is "" before it is asked for, `kept` the changes shown."""

    state: str = ""
    entries: int = 0
    fraction: float = 0.0
    totals: Mapping[str, Totals] = {}
    kept: int = 0
    problems: tuple[str, ...] = ()
    problem: str = ""


def filesystem_lines(container: Container, closeup: Closeup, walked: Walked, width: int) -> list[Line]:
    """Return all but the changes themselves, which follow: inspector.views.rootfs.change_line."""
    report = closeup.report
    lines = list(_layers(report["rootfs"] if report else container["rootfs"]))
    if report is None:
        why = closeup.note or "reading ..."
        lines += [[], [(f"its mounts: {safe(why)}", "dim")]]
    else:
        lines += _sensitive(report["findings"], width)
        wall = report["namespaces"].get("mnt")
        if wall is not None and wall["same_as_host"]:
            lines += [[], [("no mounts of its own: it is in the host's mount namespace", "warn")]]
        else:
            lines += _volumes(_not_copied(closeup.volumes, report["mounts"]))
            lines += _mounts(report["mounts"], closeup.volumes or ())
    return [*lines, [], *_walked(walked)]


def _not_copied(volumes: Sequence[Volume] | None, mounts: Sequence[MountEntry]) -> Sequence[Volume] | None:
    """Leave out what the host has at the same place: a new mount namespace starts as a copy."""
    foreign = {one["mountpoint"] for one in mounts}
    return None if volumes is None else [one for one in volumes if one.destination in foreign]


def _layers(root: Rootfs) -> Iterator[Line]:
    kind = " ".join(filter(None, (root["type"], root["source"], "read-only" if root["read_only"] else "")))
    yield [("LAYERS, top to bottom", "title"), (f"   {safe(kind) or UNKNOWN}", "")]
    if root["upper"]:
        yield fact("upper", (safe(root["upper"]), "good"))
    elif root["lower"]:
        yield fact("upper", ("none: it cannot be written", "dim"))
    for number, lower in enumerate(root["lower"], 1):
        yield fact(f"lower {number}", safe(lower))
    if not root["upper"] and not root["lower"]:
        yield fact("", ("one filesystem, no layers", "dim"))
    if root["work"]:
        yield fact("work", (safe(root["work"]), "dim"))
    if root["merged"]:
        yield fact("merged", (safe(root["merged"]), "dim"))


def _sensitive(findings: Sequence[Finding], width: int) -> Iterator[Line]:
    those = [one for one in findings if one["code"] in SENSITIVE]
    if those:
        yield []
        yield [("OF THE HOST", "bad")]
    for one in those:
        yield from wrapped(safe(one["severity"]), one["text"], width, COLOUR_OF_SEVERITY.get(one["severity"], ""))


def _volumes(volumes: Sequence[Volume] | None) -> Iterator[Line]:
    yield []
    yield [("FROM OUTSIDE THE IMAGE", "title")]
    if volumes is None:
        yield fact("", ("its mounts could not be read", "warn"))
    elif not volumes:
        yield fact("", ("nothing: no volume, no bind, no tmpfs", "dim"))
    places = [one.destination for one in volumes or ()]
    # What the runtime itself gives (hostname, hosts, resolv.conf, device nodes) is least of interest.
    for one in sorted(volumes or (), key=lambda one: (one.kind == "runtime", one.destination)):
        if any(under(one.destination, place) and one.destination != place for place in places):
            continue
        inner = sum(under(place, one.destination) for place in places) - 1
        source = one.source or ("memory" if one.kind == "tmpfs" else "no place on the host")
        mode = "read-only" if one.read_only else "read-write"
        more = (", deleted on the host" if one.deleted else "") + (f", {inner} mounts below it" if inner else "")
        said = f"{safe(one.destination)} from {safe(source)} ({safe(one.fstype)}, {mode}{more})"
        yield fact(one.kind, (said, "dim" if one.kind == "runtime" else ""))


def _mounts(mounts: Sequence[MountEntry], volumes: Sequence[Volume]) -> Iterator[Line]:
    """Yield the other mounts that the host does not have: the kernel's own filesystems, most of them."""
    told = {one.destination for one in volumes}
    others = [one for one in mounts if one["mountpoint"] not in told]
    if not others:
        return
    yield []
    yield [("OTHER MOUNTS that the host does not have", "title")]
    for one, more in abridged(others):
        mode = "read-only" if one["read_only"] else "read-write"
        masked = ", masks it" if one["type"] == "tmpfs" and under(one["mountpoint"], "/proc") else ""
        note = f"  {mode}{masked}" + (f"  {safe(more)}" if more else "")
        yield fact(safe(one["type"])[:11], safe(one["mountpoint"]), (note, "dim"))


def _walked(walked: Walked) -> Iterator[Line]:
    yield [CHANGES]
    if not walked.state:
        yield fact("", ("c reads the upper directory: its size, what was added, changed, deleted", "dim"))
        return
    if walked.state == "failed":
        yield fact("", (safe(walked.problem), "warn"))
        return
    if walked.state == "running":
        full = round(walked.fraction * BAR)
        bar = "█" * full + "·" * (BAR - full)
        yield fact("reading", f"{bar} {walked.fraction:4.0%}  {walked.entries} files seen", ("   c stops", "dim"))
    disk = sum(total.disk for kind, total in walked.totals.items() if kind != "deleted")
    yield fact("on disk", byte_size(disk), ("   in the upper directory", "dim"))
    for line in total_lines(walked.totals, walked.problems, interrupted=walked.state == "stopped"):
        yield [("  ", ""), *line]
    found = sum(total.count for total in walked.totals.values())
    if found > walked.kept:
        yield fact("", (f"the first {walked.kept} of {found}: nsinspect --changes lists all", "warn"))
