"""The columns of ctop: a row of COLUMNS is a value, with its title, width and what it shows.

Any field of the document is a column too (`-o memory.anon_bytes`).
"""
# ruff: noqa: E501  a table: one row, one line

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from inspector.fields import BY_NAME, Field
from inspector.views import cells, text

__all__ = ["BY_SHORT_NAME", "COLUMNS", "Column", "column"]


class Column(NamedTuple):
    """One column: `name` is what -o and -s call it, `width` its least width; `grows` with its content.

    `level` 0 is always shown, the others join in that order where there is room; None only by -o.
    """

    name: str
    title: str
    help: str
    width: int
    show: cells.Show
    align: text.Align = "right"
    level: int | None = None
    grows: bool = False


COLUMNS = (
    Column("name", "NAME", "the runtime's name, or else the host name or a short id", 17, cells.plain("name"), "left", 0, grows=True),
    Column("id", "ID", "first 12 characters of the id", 12, cells.plain("id", lambda value: text.safe(value[:12])), "left"),
    Column("kind", "KIND", "container, service or cgroup", 9, cells.plain("kind"), "left"),
    Column("runtime", "RUNTIME", "who made it", 10, cells.plain("runtime"), "left", 0),
    Column("image", "IMAGE", "image it was made from", 12, cells.plain("image"), "left", 5, grows=True),
    Column("state", "STATE", "running, paused or hollow", 7, cells.state, "left", 7),
    Column("pod", "POD", "pod it belongs to", 12, cells.pod, "left", grows=True),
    Column("pid", "PID", "host PID of its first process", 8, cells.plain("pid"), level=9),
    Column("cpu", "CPU%", "CPU used: of one core, of the limit or of the host (--cpu)", 9, cells.cpu, level=0),
    Column("time", "TIME", "CPU time used in all", 7, cells.number("cpu.usage_seconds", text.duration), level=4),
    Column("limit", "LIMIT", "effective CPU limit in cores; ^ set by an ancestor", 6, cells.cpu_limit, level=0),
    Column("limitby", "LIMIT SET BY", "cgroup whose quota or cpuset is the CPU limit", 12, cells.plain("cpu.limit_set_by"), "left", 8, grows=True),
    Column("throttled", "THROTTLED", "share of quota periods throttled; ^ by an ancestor's quota", 9, cells.throttled, level=0),
    Column("cpuwait", "CPUWAIT", "share of time a task waited for a CPU (PSI)", 7,
           cells.number("cpu.pressure_some_ratio", text.percent, cells.WAITING, cells.BADLY_WAITING), level=4),
    Column("mem", "MEM / LIMIT", "working set and effective limit; ^ set by an ancestor", 18, cells.memory, level=0),
    Column("mem%", "MEM%", "working set as a share of the effective limit", 6, cells.number("memory.limit_ratio", text.percent, cells.NEAR, cells.FULL), level=1),
    Column("memwait", "MEMWAIT", "share of time a task waited for memory (PSI)", 7,
           cells.number("memory.pressure_some_ratio", text.percent, cells.WAITING, cells.BADLY_WAITING), level=6),
    Column("anon", "ANON", "anonymous memory: heaps and stacks", 7, cells.number("memory.anon_bytes", text.byte_size)),
    Column("fixed", "FIXED", "memory that cannot be reclaimed: the distance to an OOM kill", 7,
           cells.number("memory.unreclaimable_bytes", text.byte_size)),
    Column("swap", "SWAP", "swap used", 7, cells.number("memory.swap_bytes", text.byte_size)),
    Column("oom", "OOM", "processes killed for lack of memory", 5, cells.number("memory.oom_kills", text.count, 1, 1), level=4),
    Column("pids", "PIDS", "tasks: processes and their threads", 5, cells.pids, level=0),
    Column("procs", "PROCS", "processes", 5, cells.number("members", text.count)),
    Column("rx", "RX/s", "bytes received per second", 7, cells.number("network.receive_bytes_per_second", text.byte_size), level=2),
    Column("tx", "TX/s", "bytes sent per second", 7, cells.number("network.transmit_bytes_per_second", text.byte_size), level=2),
    Column("read", "READ/s", "bytes read from block devices per second", 7, cells.number("io.read_bytes_per_second", text.byte_size), level=3),
    Column("write", "WRITE/s", "bytes written to block devices per second", 7, cells.number("io.write_bytes_per_second", text.byte_size), level=3),
    Column("cpuset", "CPUSET", "CPUs it may run on", 7, cells.plain("cpu.cpuset"), "left"),
    Column("age", "AGE", "time since its first process started", 6, cells.age, level=4),
    Column("note", "NOTE", "the worst finding", 16, cells.note, "left", 5, grows=True),
)  # fmt: skip

BY_SHORT_NAME: Mapping[str, Column] = {row.name: row for row in COLUMNS}
FORMS: Mapping[str, tuple[Callable[[float | None], str], int]] = {
    "cores": (text.cores, 7),
    "seconds": (text.duration, 8),
    "bytes": (text.byte_size, 8),
    "bytes_per_second": (text.rate, 10),
    "ratio": (text.percent, 7),
    "microseconds": (text.count, 8),
    "count": (text.count, 8),
    "timestamp": (text.count, 11),
}


def column(name: str) -> Column:
    """Return the column of that short name or document field; KeyError when there is none."""
    known = BY_SHORT_NAME.get(name)
    return known if known is not None else _of_field(BY_NAME[name])


def _of_field(field: Field) -> Column:
    title = field.name.upper()
    if field.unit == "text":
        return Column(field.name, title, field.help, len(title), cells.plain(field.name), "left", grows=True)
    form, width = FORMS[field.unit]
    return Column(field.name, title, field.help, max(width, len(title)), cells.number(field.name, form))
