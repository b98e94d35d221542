"""The namespaces of a container: its own, shared with whom, or the host's, which nobody should overlook. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from inspector.closeup import Closeup
from inspector.namespace_table import EXPOSED
from inspector.report import Namespace
from inspector.schema import Container
from inspector.views.cells import Cell
from inspector.views.facts import not_readable, wrapped
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, fit, safe

__all__ = ["ISOLATES", "wall_lines"]

ISOLATES = {
    "cgroup": "the cgroup tree it sees",
    "ipc": "System V IPC, POSIX queues",
    "mnt": "mounts, its root",
    "net": "interfaces, ports, routes",
    "pid": "the processes it sees",
    "time": "clocks since boot",
    "user": "ids and capabilities",
    "uts": "the host name",
}
WIDE = 110
HOSTS = "THE HOST'S"
TITLES = f"{'TYPE':<8}{'WHOSE':<12}{'INODE':<12}{'PROCESSES':>9}  "


def wall_lines(container: Container, closeup: Closeup, width: int) -> list[Line]:
    """Return a line for each of the eight types, those that are the host's said once more on top."""
    report = closeup.report
    if report is None:
        return [*_bare(container), [], [(f"with whom it shares them: {safe(closeup.note or 'reading ...')}", "dim")]]
    namespaces = report["namespaces"]
    # A control group or service is meant to be in them.
    contained = container["kind"] == "container"
    lines = list(_alarm(namespaces, width)) if contained else []
    wide = width >= WIDE
    lines.append([(TITLES + (f"{'OWNER':<12}{'SEPARATES':<28}" if wide else "") + "SHARED WITH", "title")])
    if not namespaces:
        lines.append([("  could not be read", "warn")])
    for kind, one in namespaces.items():
        lines += _wall(kind, one, container["name"], width, wide=wide, alarm=contained and kind in EXPOSED)
    missing = [kind for kind in ISOLATES if kind not in namespaces] if namespaces else []
    if missing:
        lines.append([(f"not in this kernel, or not readable: {', '.join(missing)}", "dim")])
    return [*lines, *not_readable(report["unreadable"])]


def _alarm(namespaces: dict[str, Namespace], width: int) -> Iterator[Line]:
    open_ones = [kind for kind, one in namespaces.items() if kind in EXPOSED and one["same_as_host"]]
    if open_ones:
        said = "! IN THE HOST'S OWN NAMESPACES: "
        what = ", ".join(f"{kind} ({ISOLATES[kind]})" for kind in open_ones)
        yield [(said, "bad"), (what if len(said + what) <= width else ", ".join(open_ones), "bad")]
        yield []


def _wall(kind: str, one: Namespace, name: str, width: int, *, wide: bool, alarm: bool) -> Iterator[Line]:
    others = [other for other in one["containers"] if other != name]
    whose: Cell = ("own", "good")
    if one["same_as_host"] is None:
        whose = ("?", "warn")
    elif one["same_as_host"]:
        whose = (HOSTS, "bad" if alarm else "warn")
    elif others:
        whose = ("shared", "warn")
    owner = str(one["owner"]) if one["owner"] is not None else UNKNOWN
    line: Line = [
        (f"{kind:<8}", "title"),
        (f"{whose[0]:<12}", whose[1]),
        (f"{one['inode']:<12}{one['processes']:>9}  ", ""),
        (f"{owner:<12}{fit(ISOLATES.get(kind, ''), 27)} " if wide else "", "dim"),
    ]
    if one["same_as_host"]:
        # Whoever is in the host's own is in it with everybody: names would say nothing.
        more = f", {len(others)} container{'s' if len(others) > 1 else ''}" if others else ""
        yield [*line, (f"the whole host{more}", "dim")]
        return
    shared = ", ".join(safe(other) for other in others)
    if sum(len(text) for text, _ in line) + len(shared) <= width:
        yield [*line, (shared, "")]
    else:
        yield line
        yield from wrapped("", ", ".join(others), width)


def _bare(container: Container) -> Iterator[Line]:
    """Say what the document alone tells."""
    yield [(f"{'TYPE':<8}{'WHOSE':<12}{'INODE':<12}", "title")]
    network = container["network"]
    for kind in ISOLATES:
        inode = container["namespaces"].get(kind)
        whose: Cell = ("?", "dim")
        if kind == "net" and network["shared_with_host"]:
            whose = (HOSTS, "bad")
        elif kind == "net" and network["shared_with"]:
            whose = ("shared", "warn")
        yield [(f"{kind:<8}", "title"), (f"{whose[0]:<12}", whose[1]), (str(inode) if inode else UNKNOWN, "")]
