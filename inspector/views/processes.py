"""The processes of a container as a table: a list or a tree, with their threads below them where asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from inspector.closeup import Thread
from inspector.schema import ProcessRow
from inspector.views.cells import Cell
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, byte_size, count, duration, fit, percent, safe, width_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.views.text import Align


__all__ = ["SORTS", "Entry", "arrange", "entry_line", "sort_at", "titles", "widest"]

Key = Callable[[ProcessRow], tuple[float, ...]]


class Entry(NamedTuple):
    """One line: a process behind the branches of the tree, or a thread of it."""

    row: ProcessRow
    branch: str = ""
    thread: Thread | None = None


class Column(NamedTuple):
    """`least` is the width of terminal from which on it is shown."""

    title: str
    width: int
    least: int
    sort: str | None = None
    align: Align = "right"


FORK, LAST, LINE, BLANK = "├─", "└─", "│ ", "  "
"""Before a child with others behind it, before the last, and below each of these."""
COLUMNS = (
    Column("PID", 7, 0, "pid"),
    Column("INSIDE", 7, 0),
    Column("USER", 8, 70, None, "left"),
    Column("S", 1, 30),
    Column("THR", 4, 70),
    Column("CPU%", 6, 0, "cpu"),
    Column("RSS", 7, 40, "mem"),
    Column("TIME", 6, 90, "time"),
)


def _descending(value: float | None) -> float:
    return -value if value is not None else 1.0  # what is not known comes last


SORTS: Mapping[str, Key] = {
    "cpu": lambda row: (_descending(row["cpu_cores"]), -row["rss_bytes"], row["pid"]),
    "mem": lambda row: (-row["rss_bytes"], row["pid"]),
    "time": lambda row: (_descending(row.get("cpu_seconds")), row["pid"]),
    "pid": lambda row: (row["pid"],),
}
"""What processes can be sorted by, the most first, and PIDs the lowest."""


def arrange(
    rows: Iterable[ProcessRow],
    sort: str,
    *,
    reverse: bool = False,
    tree: bool = False,
    threads: Mapping[int, Sequence[Thread]] | None = None,
) -> list[Entry]:
    """Put the processes in order; in a tree those of one parent. The threads of a process follow it by CPU."""
    ordered = sorted(rows, key=SORTS[sort], reverse=reverse)
    entries = _tree(ordered) if tree else [Entry(row) for row in ordered]
    found: list[Entry] = []
    for entry in entries:
        found.append(entry)
        below = (threads or {}).get(entry.row["pid"], ())
        if len(below) > 1:
            rest = entry.branch.replace(FORK, LINE).replace(LAST, BLANK)
            of = sorted(below, key=lambda one: (_descending(one.cpu_cores), one.tid))
            found += [Entry(entry.row, rest + "  ", thread) for thread in of]
    return found


def _tree(ordered: Sequence[ProcessRow]) -> list[Entry]:
    """Draw each process below its parent. A document may lie: none is drawn twice, and none is left out."""
    known = {row["pid"] for row in ordered}
    children: dict[int, list[ProcessRow]] = {}
    for row in ordered:
        children.setdefault(row["ppid"] if row["ppid"] in known and row["ppid"] != row["pid"] else 0, []).append(row)
    found: list[Entry] = []
    seen: set[int] = set()
    waiting = [(row, "", "") for row in reversed(children.get(0, ()))]
    rest = list(reversed(ordered))
    while waiting or rest:
        row, branch, below = waiting.pop() if waiting else (rest.pop(), "", "")
        if row["pid"] in seen:
            continue
        seen.add(row["pid"])
        found.append(Entry(row, branch))
        inner = children.get(row["pid"], [])
        for number, child in enumerate(reversed(inner)):
            piece, under = (FORK, LINE) if number else (LAST, BLANK)
            waiting.append((child, below + piece, below + under))
    return found


def titles(sort: str, width: int) -> Line:
    """Return the line of titles; the one that sorts is marked."""
    line: Line = [
        (fit(column.title, column.width, column.align) + " ", "sorted" if column.sort == sort else "title")
        for column in _placed(width)
    ]
    return [*line, ("COMMAND", "title")]


def sort_at(x: int, width: int) -> str | None:
    """Return what a click at column `x` of the titles sorts by."""
    start = 0
    for column in _placed(width):
        if start <= x <= start + column.width:
            return column.sort
        start += column.width + 1
    return None


def _placed(width: int) -> list[Column]:
    return [column for column in COLUMNS if width >= column.least]


def entry_line(entry: Entry, users: Mapping[int, str], width: int) -> Line:
    """Return the line of one process or thread; a document of an older version has no users or threads."""
    cells = _thread(entry.thread) if entry.thread else _process(entry.row, users)
    line = [
        (fit(cells[column.title][0], column.width, column.align) + " ", cells[column.title][1])
        for column in _placed(width)
    ]
    line.append((entry.branch, "dim"))
    return [*line, *([(safe(entry.thread.comm), "dim")] if entry.thread else _command(entry.row))]


def widest(entries: Iterable[Entry], width: int) -> int:
    """Return how many columns the longest line takes, or a few more."""
    before = sum(column.width + 1 for column in _placed(width))
    return before + max(len(one.branch) + width_of(safe(one.row["cmdline"] + one.row["comm"])) + 2 for one in entries)


def _process(row: ProcessRow, users: Mapping[int, str]) -> dict[str, Cell]:
    uid = row.get("uid")
    user = UNKNOWN if uid is None else safe(users.get(uid, str(uid)))
    return {
        "PID": (str(row["pid"]), ""),
        "INSIDE": (str(row["inner_pid"]), ""),
        "USER": (user, "dim" if uid is None else ""),
        "S": (safe(row["state"])[:1], "warn" if row["state"] == "D" else "bad" if row["state"] == "Z" else ""),
        "THR": (count(row.get("threads")), ""),
        "CPU%": (percent(row["cpu_cores"]), "" if row["cpu_cores"] else "dim"),
        "RSS": (byte_size(row["rss_bytes"]), "" if row["rss_bytes"] else "dim"),
        "TIME": (duration(row.get("cpu_seconds")), ""),
    }


def _thread(thread: Thread) -> dict[str, Cell]:
    return {
        "PID": (str(thread.tid), "dim"),
        "INSIDE": ("", ""),
        "USER": ("", ""),
        "S": (safe(thread.state)[:1], "dim"),
        "THR": ("", ""),
        "CPU%": (percent(thread.cpu_cores), "" if thread.cpu_cores else "dim"),
        "RSS": ("", ""),
        "TIME": (duration(thread.cpu_seconds), "dim"),
    }


def _command(row: ProcessRow) -> list[Cell]:
    """Return the command line, behind the name where that is another one: a process calls itself what it likes."""
    command, name = safe(row["cmdline"]), safe(row["comm"])
    if not command:
        return [(f"[{name}]", "dim")]
    program = command.split(" ", 1)[0].rpartition("/")[2]
    if program.lstrip("-").startswith(name):
        return [(command, "")]
    return [(name, "title"), (f" {command}", "")]
