"""The tabs of a container's page: a row of TABS is a tab, with what it needs to know and the lines it makes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from inspector.closeup import Closeup, Part
from inspector.ctop.history import SERIES, Track
from inspector.ctop.walk import Walk
from inspector.kernel.process import CAPABILITIES
from inspector.schema import Container
from inspector.views.ceilings import limit_lines
from inspector.views.cells import COLOUR_OF_SEVERITY
from inspector.views.diagnosis import diagnosis_lines, every_finding
from inspector.views.facts import not_readable, wrapped
from inspector.views.filesystem import CHANGES, Walked, filesystem_lines
from inspector.views.layout import Line
from inspector.views.past import past_lines
from inspector.views.processes import Entry, entry_line, widest
from inspector.views.rootfs import change_line
from inspector.views.security import security_lines
from inspector.views.text import safe, width_of
from inspector.views.traffic import traffic_lines
from inspector.views.walls import wall_lines

__all__ = ["FILES", "FINDINGS", "PROCESSES", "TABS", "Page", "Seen", "Tab", "page"]

SECURITY = frozenset(
    ("privileged", "all-capabilities", "dangerous-capability", "seccomp-off", "root-of-host", "may-gain-privileges",
     "host-path-writable", "host-path-readable", "host-root", "runtime-socket", "host-devices", "host-proc",
     "proc-sys-writable", "sys-writable", "writable-cgroup", "host-ipc", "host-pid", "host-network", "chroot-only")
)  # fmt: skip
"""The findings that are about what it could do."""


class Page(NamedTuple):
    """The lines of a tab, made when they come into sight; `cursor` is the chosen one, `width` that of the longest.

    `answer` is the line at which the answer to what was asked by a key begins.
    """

    lines: int
    draw: Callable[[int], Line]
    cursor: int | None = None
    width: int = 0
    answer: int | None = None


class Seen(NamedTuple):
    """What is known of a container when its page is drawn."""

    container: Container
    closeup: Closeup
    track: Track
    entries: Sequence[Entry]
    cursor: int
    walk: Walk | None
    unicode: bool


Draw = Callable[[Seen, int, int], Page]


class Tab(NamedTuple):
    """One tab: title, a shorter one, its page for a width and height, what that needs of a close look, its keys."""

    name: str
    short: str
    draw: Draw
    parts: frozenset[Part] = frozenset()
    keys: str = "arrows scroll  "


def page(tab: int, seen: Seen, width: int, height: int) -> Page:
    """Return the page of a tab, with what could not be read below it."""
    made = TABS[tab].draw(seen, width, height)
    if not TABS[tab].parts or not seen.closeup.problems:
        return made
    problems: list[Line] = [[(f"not complete: {safe(text)}", "warn")] for text in seen.closeup.problems]
    last = made.lines

    def draw(index: int) -> Line:
        return made.draw(index) if index < last else problems[index - last]

    return made._replace(lines=last + len(problems), draw=draw, width=max(made.width, *map(_width, problems)))


def _processes(seen: Seen, width: int, _: int) -> Page:
    if not seen.entries:
        why = f"its processes: {safe(seen.closeup.note or 'reading ...')}"
        if seen.container["processes"] is not None:
            why = "no processes, or none that we may see"
        return _whole([[(why, "dim")]])
    users = seen.closeup.users
    return Page(
        len(seen.entries),
        lambda index: entry_line(seen.entries[index], users, width),
        seen.cursor,
        widest(seen.entries, width),
    )


def _limits(seen: Seen, width: int, _: int) -> Page:
    return _whole(limit_lines(seen.container, seen.closeup, width))


def _namespaces(seen: Seen, width: int, _: int) -> Page:
    return _whole(wall_lines(seen.container, seen.closeup, width))


def _filesystem(seen: Seen, width: int, _: int) -> Page:
    walk = seen.walk
    changes = walk.changes if walk else []
    walked = Walked()
    if walk is not None:
        walked = Walked(walk.state, walk.entries, walk.fraction, walk.totals, len(changes), walk.problems, walk.problem)
    lines = filesystem_lines(seen.container, seen.closeup, walked, width)
    above = len(lines)

    def draw(index: int) -> Line:
        return lines[index] if index < above else change_line(changes[index - above])

    answer = next(index for index, line in enumerate(lines) if line[:1] == [CHANGES])
    return Page(above + walked.kept, draw, width=max(map(_width, lines)), answer=answer)


def _network(seen: Seen, width: int, _: int) -> Page:
    return _whole(traffic_lines(seen.container, seen.closeup, width))


def _security(seen: Seen, width: int, _: int) -> Page:
    report = seen.closeup.report
    if report is None:
        return _whole([[(f"what it may do: {safe(seen.closeup.note or 'reading ...')}", "dim")]])
    lines: list[Line] = []
    for finding in every_finding(seen.container, seen.closeup):
        if finding["code"] in SECURITY:
            meaning = COLOUR_OF_SEVERITY.get(finding["severity"], "")
            lines += wrapped(safe(finding["severity"]), finding["text"], width, meaning)
    lines += [[]] if lines else []
    process = f"of PID {report['pid']} ({safe(report['comm'])}), its first process"
    lines.append([("WHAT IT MAY DO  ", "title"), (process, "dim")])
    lines += security_lines(report["security"], width, CAPABILITIES)
    return _whole([*lines, *not_readable(report["unreadable"])])


def _history(seen: Seen, width: int, height: int) -> Page:
    series: Mapping[str, list[float | None]] = {key: seen.track.tail(key) for key in SERIES}
    return _whole(past_lines(series, seen.track.times, width, height, unicode=seen.unicode))


def _findings(seen: Seen, width: int, _: int) -> Page:
    return _whole(diagnosis_lines(seen.container, seen.closeup, width))


def _width(line: Line) -> int:
    return sum(width_of(text) for text, _ in line)


def _whole(lines: list[Line]) -> Page:
    return Page(len(lines), lambda index: lines[index], width=max(map(_width, lines), default=0))


REPORT: frozenset[Part] = frozenset({"report"})
TABS = (
    Tab("processes", "procs", _processes, keys="t tree  H threads  PMTN sort  r "),
    Tab("limits", "limits", _limits, frozenset({"report", "limits"})),
    Tab("namespaces", "ns", _namespaces, REPORT),
    Tab("filesystem", "files", _filesystem, REPORT, "c what it changed  arrows scroll  "),
    Tab("network", "net", _network, frozenset({"report", "network"})),
    Tab("security", "security", _security, REPORT),
    Tab("history", "history", _history),
    Tab("findings", "findings", _findings, REPORT),
)
PROCESSES, FILES, FINDINGS = 0, 3, 7
