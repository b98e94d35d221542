"""One container in lines of text: who it is, what it uses and may use, its processes, the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from inspector.schema import Container, ProcessRow
from inspector.views.cells import (
    COLOUR_OF_STATE,
    OUT_OF_SIGHT,
    Cell,
    memory_is_set_above,
    set_elsewhere,
    sharers,
    started_at,
)
from inspector.views.layout import Line
from inspector.views.scene import Scene
from inspector.views.text import (
    UNKNOWN,
    byte_size,
    cores,
    count,
    duration,
    fit,
    in_units,
    percent,
    rate,
    safe,
    width_of,
)

__all__ = ["heading", "identity_lines", "order_processes", "process_lines", "usage_lines"]

LABEL = 9
Facts = Sequence[tuple[str, str]]


def usage_lines(container: Container, width: int) -> list[Line]:
    """Return what a container uses and may use, as facts in a row, for a terminal of `width`."""
    lines = _flow("CPU", _cpu(container), width)
    lines += _flow("MEMORY", _memory(container), width)
    lines += _flow("TASKS", _pids(container), width)
    lines += _flow("I/O", _io(container), width)
    return lines + _flow("NETWORK", _network(container), width)


def identity_lines(container: Container, width: int) -> list[Line]:
    """Return why it is taken for a container, where it is in the cgroup trees, and its labels."""
    lines = _flow("EVIDENCE", _plain(container["evidence"]), width)
    places: dict[str, list[str]] = {}
    for resource, path in container["cgroups"].items():
        places.setdefault(path, []).append(resource)
    lines += _flow("CGROUPS", _plain(f"{path} ({' '.join(names)})" for path, names in places.items()), width)
    return lines + _flow("LABELS", _plain(f"{key}={value}" for key, value in container["labels"].items()), width)


def _plain(texts: Iterable[str]) -> list[Cell]:
    return [(safe(text), "") for text in texts]


def _flow(label: str, facts: Facts, width: int, between: str = " · ") -> list[Line]:
    """Lay facts out behind a label, over as many lines as they need; no line when there are none."""
    lines: list[Line] = []
    used = width
    room = max(width - LABEL - 2, 20)
    for text, meaning in _pieces(facts, room):
        if used + width_of(between + text) > width - 1:
            lines.append([(fit("" if lines else label, LABEL) + " ", "title")])
            used = LABEL + 1
        else:
            lines[-1].append((between, "dim"))
            used += width_of(between)
        lines[-1].append((text, meaning))
        used += width_of(text)
    return lines


def _pieces(facts: Facts, room: int) -> Iterable[Cell]:
    """Cut facts longer than a line: an overlay's lower directory, or a name made to be long."""
    for text, meaning in facts:
        yield from ((text[start : start + room], meaning) for start in range(0, max(len(text), 1), room))


def heading(container: Container, scene: Scene) -> Line:
    """Return who it is in one line."""
    made_by = " ".join(safe(text) for text in (container["runtime"], container["kind"]) if text)
    line = [
        (safe(container["name"]), "sorted"),
        ("  " + made_by, ""),
        (f"  {safe(container['state'])}", COLOUR_OF_STATE.get(container["state"], "")),
    ]
    if container["image"]:
        line.append((f"  image {safe(container['image'])}", ""))
    line.append((f"  pid {container['pid'] if container['pid'] is not None else UNKNOWN}", ""))
    started = started_at(container)
    if started is not None:
        line.append((f"  up {duration(max(scene.now - started, 0))}", ""))
    return [*line, (f"  id {safe(container['id'][:12])}", "dim")]


def _limit(container: Container, limit: str, set_by: str | None) -> Cell:
    """Say a limit and who sets it; a limit that is not there is unknown or none, which this cannot tell."""
    if limit == UNKNOWN:
        return "no limit seen", ""
    if set_elsewhere(container, set_by):
        return f"limit {limit}, set by the ancestor {safe(set_by or '')}", "warn"
    return f"limit {limit}" + (f", set by {safe(set_by)}" if set_by else ""), ""


def _unseen(container: Container) -> str | None:
    return OUT_OF_SIGHT if memory_is_set_above(container) else None


def _of_limit(ratio: float | None) -> str:
    """Say a share of the limit, where there is one."""
    return f" ({percent(ratio)} of its limit)" if ratio is not None else ""


def _some(ratio: float | None) -> str:
    return "warn" if ratio else ""


def _cpu(container: Container) -> Facts:
    cpu = container["cpu"]
    limit = in_units(cores(cpu["limit_cores"]), "core") if cpu["limit_cores"] is not None else UNKNOWN
    facts = [
        (in_units(cores(cpu["usage_cores"]), "core") + _of_limit(cpu["limit_ratio"]), ""),
        _limit(container, limit, cpu["limit_set_by"]),
        (f"user {cores(cpu['user_cores'])} system {cores(cpu['system_cores'])}", ""),
    ]
    has_periods = cpu["quota_us"] is not None or cpu["throttled_ratio"] is not None or bool(cpu["throttled_seconds"])
    if has_periods:
        facts.append((f"throttled in {percent(cpu['throttled_ratio'])} of periods", _some(cpu["throttled_ratio"])))
    if cpu["inherited_throttled_ratio"] is not None:
        by = f" by {safe(cpu['throttled_by'])}" if cpu["throttled_by"] else ""
        inherited = cpu["inherited_throttled_ratio"]
        facts.append((f"by an ancestor in {percent(inherited)}{by if inherited else ''}", _some(inherited)))
    if has_periods:
        facts.append((f"{duration(cpu['throttled_seconds'])} throttled in all", ""))
    if cpu["quota_us"] is not None:
        facts.append((f"own quota {cpu['quota_us']} of {count(cpu['period_us'])} us", ""))
    if cpu["burst_us"]:
        facts.append((f"burst {cpu['burst_us']} us", ""))
    facts += [(f"weight {count(cpu['weight'])}", ""), (f"cpuset {safe(cpu['cpuset'] or UNKNOWN)}", "")]
    facts.append((f"waited for a CPU {percent(cpu['pressure_some_ratio'])} of the time", ""))
    return [*facts, (f"{duration(cpu['usage_seconds'])} used in all", ""), *_source(cpu["source"])]


def _source(source: str) -> Facts:
    return [("summed over its processes: no cgroup of its own", "warn")] if source == "processes" else []


def _memory(container: Container) -> Facts:
    memory = container["memory"]
    return [
        (f"working set {byte_size(memory['working_set_bytes'])}{_of_limit(memory['limit_ratio'])}", ""),
        _limit(container, byte_size(memory["limit_bytes"]), memory["limit_set_by"] or _unseen(container)),
        (f"with page cache {byte_size(memory['usage_bytes'])}", ""),
        (f"anonymous {byte_size(memory['anon_bytes'])}", ""),
        (f"file {byte_size(memory['file_bytes'])}", ""),
        (f"not reclaimable {byte_size(memory['unreclaimable_bytes'])}", ""),
        (f"swap {byte_size(memory['swap_bytes'])}", ""),
        (f"peak {byte_size(memory['peak_bytes'])}", ""),
        (f"OOM kills {count(memory['oom_kills'])}", "bad" if memory["oom_kills"] else ""),
        (f"limit hit {count(memory['limit_hits'])} times", _some(memory["limit_hits"])),
        (f"waited for memory {percent(memory['pressure_some_ratio'])} of the time", ""),
        *_source(memory["source"]),
    ]


def _pids(container: Container) -> Facts:
    pids = container["pids"]
    limit = _limit(container, count(pids["limit"]), pids["limit_set_by"])
    members = container["members"]
    return [(f"{count(pids['current'])} in {members} process{'' if members == 1 else 'es'}", ""), limit]


def _io(container: Container) -> Facts:
    io = container["io"]
    return [
        (f"read {rate(io['read_bytes_per_second'])} ({byte_size(io['read_bytes'])} in all)", ""),
        (f"write {rate(io['write_bytes_per_second'])} ({byte_size(io['write_bytes'])} in all)", ""),
        (f"waited for it {percent(io['pressure_some_ratio'])} of the time", ""),
    ]


def _network(container: Container) -> Facts:
    network = container["network"]
    if network["shared_with_host"]:
        return [("the host's network: not counted here", "warn")]
    facts = [
        (f"received {rate(network['receive_bytes_per_second'])} ({byte_size(network['receive_bytes'])} in all)", ""),
        (f"sent {rate(network['transmit_bytes_per_second'])} ({byte_size(network['transmit_bytes'])} in all)", ""),
    ]
    if network["shared_with"]:
        facts.append((f"shared with {safe(sharers(network))}", ""))
    return facts


def _by_cpu(row: ProcessRow) -> tuple[float, int, int]:
    return -(row["cpu_cores"] if row["cpu_cores"] is not None else -1), -row["rss_bytes"], row["pid"]


PROCESS_SORTS: Mapping[str, Callable[[ProcessRow], tuple[float | str, ...]]] = {
    "mem": lambda row: (-row["rss_bytes"], row["pid"]),
    "pid": lambda row: (row["pid"],),
    "name": lambda row: (row["comm"], row["pid"]),
}


def order_processes(processes: Iterable[ProcessRow], sort: str) -> list[ProcessRow]:
    """Order by CPU, by memory ("mem"), by PID ("pid") or by name ("name"); unknown CPU last."""
    return sorted(processes, key=PROCESS_SORTS.get(sort, _by_cpu))


def process_lines(processes: Sequence[ProcessRow], sort: str) -> list[Line]:
    """Return the table of processes: PID on the host, PID inside, parent, state, CPU (of one core), memory, names."""
    head = f"{'PID':>8} {'INSIDE':>8} {'PPID':>8} S {'CPU%':>7} {'RSS':>7} {'COMM':<15} COMMAND"
    lines: list[Line] = [[(head, "title")]]
    for process in order_processes(processes, sort):
        ids = f"{process['pid']:>8} {process['inner_pid']:>8} {process['ppid']:>8} {safe(process['state'])[:1]:1}"
        used = f"{percent(process['cpu_cores']):>7} {byte_size(process['rss_bytes']):>7}"
        names = f"{fit(safe(process['comm']), 15)} {safe(process['cmdline'])}"
        lines.append([(ids + " ", ""), (used, "" if process["cpu_cores"] else "dim"), (" " + names, "")])
    return lines
