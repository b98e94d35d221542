"""`nsinspect --namespaces`: a line for each namespace, and who is in the host's own before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inspector.namespace_table import EXPOSED, Exposed, KeptBy, Row
from inspector.views.layout import Line
from inspector.views.text import UNKNOWN, in_units, safe

__all__ = ["namespace_lines"]

LONG = {"net": "NETWORK", "pid": "PID", "mnt": "MOUNT", "ipc": "IPC", "uts": "HOST NAME (uts)"}
TITLES = f"{'TYPE':<7} {'INODE':<10} {'OWNER':<10} {'PARENT':<10} {'PROCS':>6} {'PID':>8} {'COMMAND':<15} WHO IS IN IT"
COMMAND = 15
MOST_KEEPERS = 3
MOST_NAMES = 8  # on a line; the JSON has all


def namespace_lines(rows: Sequence[Row], on_host: Sequence[Exposed], unreadable: int) -> list[Line]:
    """Return the page: containers in the host's namespaces first, and marked once more in the table."""
    lines: list[Line] = list(_alarm(on_host))
    kind = None
    lines.append([(TITLES, "title")])
    for row in rows:
        if kind not in (None, row["type"]):
            lines.append([])
        kind = row["type"]
        lines.append(_line(row, {one["id"] for one in on_host if kind in one["types"]}, whole=not unreadable))
    if unreadable:
        processes = in_units(str(unreadable), "process", "processes")
        lines += [[], [(f"{processes} could not be looked into: needs CAP_SYS_PTRACE", "warn")]]
    return lines


def _alarm(on_host: Sequence[Exposed]) -> Iterator[Line]:
    if not on_host:
        return
    yield [("IN THE HOST'S OWN NAMESPACES", "bad")]
    for one in on_host:
        made_by = f" ({safe(one['runtime'])})" if one["runtime"] else ""
        worst = "bad" if {"net", "pid"} & set(one["types"]) else "warn"
        yield [(f"  ! {safe(one['name'])}{made_by}: ", worst), (", ".join(LONG[kind] for kind in one["types"]), worst)]
    yield []


def _line(row: Row, exposed: set[str], *, whole: bool) -> Line:
    numbers = [str(value) if value is not None else UNKNOWN for value in (row["owner"], row["parent"], row["pid"])]
    command = safe(row["comm"] or UNKNOWN)[:COMMAND]
    text = f"{row['type']:<7} {row['inode']:<10} {numbers[0]:<10} {numbers[1]:<10} {row['processes']:>6}"
    line: Line = [(f"{text} {numbers[2]:>8} {command:<{COMMAND}} ", "")]
    parts: list[Line] = []
    if row["same_as_host"]:
        outside = f" ({row['outside']})" if row["outside"] else ""
        parts.append([(f"THE HOST'S OWN{outside}", "title")])
    elif row["outside"]:
        parts.append([(f"in no container ({row['outside']})", "dim")])
    alarmed = {one["id"] for one in row["containers"] if row["same_as_host"] and row["type"] in EXPOSED} & exposed
    plain = [one for one in row["containers"] if one["id"] not in alarmed]
    for share in [*(one for one in row["containers"] if one["id"] in alarmed), *plain[:MOST_NAMES]]:
        name = f"{safe(share['name'])} ({share['processes']})"
        alarm = f"! {name} IN THE HOST'S {LONG.get(row['type'], '')} NAMESPACE"
        parts.append([(alarm, "bad") if share["id"] in alarmed else (name, "")])
    if len(plain) > MOST_NAMES:
        parts.append([(f"and {len(plain) - MOST_NAMES} more containers", "dim")])
    parts += _kept(row, whole=whole)
    if row["owner_uid"]:
        parts.append([(f"made by uid {row['owner_uid']}", "dim")])
    for number, part in enumerate(parts):
        line += [*([(", ", "dim")] if number else []), *part]
    return line


def _kept(row: Row, *, whole: bool) -> list[Line]:
    """Say what keeps a namespace without processes; beside processes only a name in a file matters.

    Without `whole` there are processes that we may not look into: they may be in it.
    """
    those = row["kept_by"] if not row["processes"] else [one for one in row["kept_by"] if one["how"] == "mount"]
    kept = list(dict.fromkeys(map(_keeper, those)))  # a mount that others have got a copy of is told once
    head: list[Line] = [] if row["processes"] else [[("nobody" if whole else "nobody to be seen", "warn")]]
    more = [[(f"and {len(kept) - MOST_KEEPERS} more", "dim")]] if len(kept) > MOST_KEEPERS else []
    return [*head, *([(one, "")] for one in kept[:MOST_KEEPERS]), *more]


def _keeper(one: KeptBy) -> str:
    who = f"{one['pid']} {safe(one['comm'])}"
    return {
        "mount": f"kept by the mount {safe(one['place'])}",
        "descriptor": f"kept by descriptor {safe(one['place'])} of {who}",
        "children": f"kept for the children of {who}",
        "namespace": f"kept by {safe(one['place'])} below it",
    }[one["how"]]
