"""The columns of ctop: a row of COLUMNS is a value, with its title, width and what it shows.

Any field of the document is a column too (`-o memory.anon_bytes`).
"""
# ruff: noqa: E501  a table: one row, one line

from __future__ import annotations

from collections.abc import Callable, Mapping

from inspector.fields import BY_NAME, Field
from inspector.kernel.named import NamedTuple
from inspector.views import cells, scene, text

__all__ = ["BY_SHORT_NAME", "COLUMNS", "Column", "column", "of_detail"]


class Column(NamedTuple):
    """One column: `name` is what -o and -s call it, `width` its least width; `grows` with its content.

    `level` 0 is always shown, the others join in that order where there is room; None only by -o.
    `live` ones join only where there are last minutes to show; one is left out where the column `unless` is.
    """

    name: str
    title: str
    help: str
    width: int
    show: cells.Show
    align: text.Align = "right"
    level: int | None = None
    grows: bool = False
    live: bool = False
    unless: str = ""


COLUMNS = (
    Column("name", "NAME", "the runtime's name, or else the host name or a short id", 15, cells.name, "left", 0, grows=True),
    Column("node", "NODE", "machine it is on, where there are many (--prometheus)", 10, cells.node, "left", 0, grows=True),
    Column("id", "ID", "first 12 characters of the id", 12, cells.plain("id", lambda value: text.safe(value[:12])), "left"),
    Column("kind", "KIND", "container, service or cgroup", 9, cells.plain("kind"), "left"),
    Column("runtime", "RUNTIME", "who made it", 10, cells.plain("runtime"), "left", 0, unless="node"),
    Column("image", "IMAGE", "image it was made from", 12, cells.plain("image"), "left", 12, grows=True),
    Column("state", "STATE", "running, paused or hollow", 7, cells.state, "left", 11),
    Column("pod", "POD", "pod it belongs to", 12, cells.pod, "left", grows=True),
    Column("pid", "PID", "host PID of its first process", 8, cells.plain("pid"), level=17),
    Column("cpu", "CPU%", "CPU used: of one core, of the limit or of the host (--cpu)", 9, cells.cpu, level=0),
    Column("cpugraph", "CPU HIST", "CPU of two minutes; full: its limit, else a core or the most", 8, cells.cpu_graph, level=1, live=True),
    Column("time", "TIME", "CPU time used in all", 7, cells.number("cpu.usage_seconds", text.duration), level=13),
    Column("limit", "LIMIT", "effective CPU limit in cores; ^ set by an ancestor", 6, cells.cpu_limit, level=0),
    Column("limitby", "LIMIT SET BY", "cgroup whose quota or cpuset is the CPU limit", 12, cells.plain("cpu.limit_set_by"), "left", 14, grows=True),
    Column("throttled", "THROTTLED", "share of quota periods throttled; ^ by an ancestor's quota", 9, cells.throttled, level=0),
    Column("cpuwait", "CPUWAIT", "share of time a task waited for a CPU (PSI)", 7,
           cells.number("cpu.pressure_some_ratio", text.percent, cells.WAITING, cells.BADLY_WAITING), level=7),
    Column("mem", "MEM / LIMIT", "memory used (--mem) and effective limit; ^ set by an ancestor", 18, cells.memory, level=0),
    Column("bar", "MEM BAR", "memory as a share of its limit; dark: what cannot be reclaimed", 8, cells.bar, "left", 3),
    Column("memgraph", "MEM HIST", "memory of two minutes; full: its limit, else 4/3 of the most", 8, cells.memory_graph, level=2, live=True),
    Column("mem%", "MEM%", "memory used (--mem) as a share of the effective limit", 6, cells.ratio(scene.memory_ratio, cells.NEAR, cells.FULL), level=16),
    Column("memwait", "MEMWAIT", "share of time a task waited for memory (PSI)", 7,
           cells.number("memory.pressure_some_ratio", text.percent, cells.WAITING, cells.BADLY_WAITING), level=9),
    Column("anon", "ANON", "anonymous memory: heaps and stacks", 7, cells.number("memory.anon_bytes", text.byte_size)),
    Column("fixed", "FIXED", "memory that cannot be reclaimed: the distance to an OOM kill", 7,
           cells.number("memory.unreclaimable_bytes", text.byte_size)),
    Column("fixed%", "FIXED%", "what cannot be reclaimed, of the limit; 100%: an OOM kill", 6, cells.ratio(scene.fixed_ratio, cells.NEAR, cells.FULL), level=10),
    Column("swap", "SWAP", "swap used", 7, cells.number("memory.swap_bytes", text.byte_size)),
    Column("oom", "OOM", "processes killed for lack of memory", 5, cells.number("memory.oom_kills", text.count, 1, 1), level=15),
    Column("pids", "PIDS", "tasks: processes and their threads", 5, cells.pids, level=0),
    Column("procs", "PROCS", "processes", 5, cells.number("members", text.count)),
    Column("rx", "RX/s", "bytes received per second", 7, cells.number("network.receive_bytes_per_second", text.byte_size), level=5),
    Column("tx", "TX/s", "bytes sent per second", 7, cells.number("network.transmit_bytes_per_second", text.byte_size), level=5),
    Column("read", "READ/s", "bytes read from block devices per second", 7, cells.number("io.read_bytes_per_second", text.byte_size), level=6),
    Column("write", "WRITE/s", "bytes written to block devices per second", 7, cells.number("io.write_bytes_per_second", text.byte_size), level=6),
    Column("iowait", "IOWAIT", "share of time a task waited for block devices (PSI)", 6,
           cells.number("io.pressure_some_ratio", text.percent, cells.WAITING, cells.BADLY_WAITING), level=10),
    Column("cpuset", "CPUSET", "CPUs it may run on", 7, cells.plain("cpu.cpuset"), "left"),
    Column("age", "AGE", "time since its first process started", 6, cells.age, level=8),
    Column("mark", "!", "mark of the worst finding", 1, cells.mark, "left", 0, unless="note"),
    Column("note", "NOTE", "the worst finding, and how many more", 10, cells.note, "left", 4, grows=True),
)  # fmt: skip

BY_SHORT_NAME: Mapping[str, Column] = {row.name: row for row in COLUMNS}
FORMS: Mapping[str, tuple[Callable[[float | None], str], int]] = {
    "cores": (text.cores, 7),
    "seconds": (text.duration, 8),
    "bytes": (text.byte_size, 8),
    "bytes_per_second": (text.rate, 10),
    "ratio": (text.percent, 7),
    "share": (text.percent, 7),
    "microseconds": (text.count, 8),
    "count": (text.count, 8),
    "timestamp": (text.moment, 19),
}
OF_DETAIL = frozenset({"cpuwait", "memwait", "iowait"})


def of_detail(name: str) -> bool:
    """Tell whether a column, or what is sorted by, may be a figure that is known of containers in sight alone."""
    return name in OF_DETAIL or "." in name  # a field of the document: which of them is no matter, few ask for one


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
