"""Which containers are shown, and in what order. Pure functions, shared by the table, the live view and --json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from inspector.fields import BY_NAME
from inspector.kernel.named import NamedTuple
from inspector.views.cells import rating, started_at
from inspector.views.filters import filter_of
from inspector.views.scene import Scene, cpu_ratio, fixed_ratio, memory_ratio, memory_used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.schema import Container

__all__ = ["SORTS", "Selection", "figure_of", "ordered", "select", "sort_key"]

Value = float | int | str | None
Key = Callable[["Container", Scene], Value]


class Selection(NamedTuple):
    """What to show: `every` kind or containers alone; `sort` is a short name or a document field."""

    every: bool = False
    words: str = ""
    sort: str = "cpu"
    reverse: bool = False


def _field(name: str) -> Key:
    get = BY_NAME[name].get
    return lambda container, _: get(container)


def _sum(*names: str) -> Key:
    getters = [BY_NAME[name].get for name in names]

    def total(container: Container, _: Scene) -> Value:
        known = [value for get in getters if isinstance(value := get(container), (int, float))]
        return sum(known) if known else None

    return total


def _throttled(container: Container, _: Scene) -> Value:
    cpu = container["cpu"]
    known = [value for value in (cpu["throttled_ratio"], cpu["inherited_throttled_ratio"]) if value is not None]
    return max(known, default=None)


SORTS: Mapping[str, Key] = {
    "cpu": cpu_ratio,
    "mem": memory_used,
    "throttled": _throttled,
    "name": _field("name"),
    "pids": _field("pids.current"),
    "io": _sum("io.read_bytes_per_second", "io.write_bytes_per_second"),
    "net": _sum("network.receive_bytes_per_second", "network.transmit_bytes_per_second"),
    "time": _field("cpu.usage_seconds"),
    "limit": _field("cpu.limit_cores"),
    "mem%": memory_ratio,
    "runtime": _field("runtime"),
    "image": _field("image"),
    "id": _field("id"),
    "kind": _field("kind"),
    "node": lambda container, _: container.get("node"),
    "state": _field("state"),
    "pid": _field("pid"),
    "age": lambda container, _: started_at(container),
    "oom": _field("memory.oom_kills"),
    "cpuwait": _field("cpu.pressure_some_ratio"),
    "memwait": _field("memory.pressure_some_ratio"),
    "anon": _field("memory.anon_bytes"),
    "fixed": _field("memory.unreclaimable_bytes"),
    "swap": _field("memory.swap_bytes"),
    "procs": _field("members"),
    "rx": _field("network.receive_bytes_per_second"),
    "tx": _field("network.transmit_bytes_per_second"),
    "read": _field("io.read_bytes_per_second"),
    "write": _field("io.write_bytes_per_second"),
    "iowait": _field("io.pressure_some_ratio"),
    "fixed%": fixed_ratio,
    "limitby": _field("cpu.limit_set_by"),
    "cpuset": _field("cpu.cpuset"),
    "pod": lambda container, _: container["pod"],
    "note": rating,
}
SAME = {"cpugraph": "cpu", "memgraph": "mem", "bar": "mem%", "mark": "note"}
"""Columns that show another's figure."""
ASCENDING = ("age", "created_at", "started_at")
"""Numbers for which less comes first: the start time, so that the oldest is on top."""


def figure_of(name: str) -> str:
    """Return the column of which this one shows the figure, itself where it has its own."""
    return SAME.get(name, name)


def sort_key(name: str) -> Key:
    """Return what a short name or a document field sorts by; KeyError when there is no such name."""
    known = SORTS.get(figure_of(name))
    return known if known is not None else _field(name)


def select(containers: Iterable[Container], selection: Selection, scene: Scene) -> list[Container]:
    """Return the containers to show, in order: numbers from the largest, texts from A, unknown values last."""
    matching = filter_of(selection.words).matches
    shown = [one for one in containers if (selection.every or one["kind"] == "container") and matching(one)]
    return ordered(shown, selection, scene)


def ordered(shown: list[Container], selection: Selection, scene: Scene) -> list[Container]:
    """Return containers in the selection's order."""
    shown.sort(key=lambda container: (container["name"], container["id"]))
    key = sort_key(selection.sort)
    keyed = [(key(container, scene), container) for container in shown]
    numbers = [(value, container) for value, container in keyed if isinstance(value, (int, float))]
    texts = [(value, container) for value, container in keyed if isinstance(value, str) and value]
    numbers.sort(key=lambda pair: pair[0], reverse=(selection.sort not in ASCENDING) != selection.reverse)
    texts.sort(key=lambda pair: pair[0].casefold(), reverse=selection.reverse)
    unknown = [container for value, container in keyed if value is None or value == ""]
    return [container for _, container in numbers] + [container for _, container in texts] + unknown
