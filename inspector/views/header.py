"""The lines above the table: the machine, or inside a container its own totals beside what /proc claims."""

from __future__ import annotations

from collections.abc import Iterable

from inspector.views.layout import Line
from inspector.views.scene import Scene
from inspector.views.text import byte_size, cores, cores_of, duration, in_units, percent, safe
from inspector.views.tree import is_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.schema import Container, Document
    from inspector.views.scene import MemoryMode

__all__ = ["header", "own", "scene_of"]

SEPARATOR = (" · ", "dim")
MEANING_OF_CPU = {"core": "one core", "limit": "the effective limit", "host": "the host's CPUs"}


def scene_of(document: Document, cpu: str, memory: MemoryMode = "working-set") -> Scene:
    """Return what the cells must know of a document; `cpu` is core, limit or host."""
    mode = cpu if cpu in ("limit", "host") else "core"
    host = document["host"]
    return Scene(
        cpu=mode,  # type: ignore[arg-type]  # mypy does not narrow a str to a Literal by membership
        cpus=host["cpus"],
        hidden_ancestors=document["viewpoint"]["hidden_ancestors"],
        now=document["taken_at"],
        memory=memory,
    )


def own(document: Document) -> Container | None:
    """Return the container we run in, when it is listed."""
    self = document["viewpoint"]["self"]
    return next((container for container in document["containers"] if container["id"] == self), None) if self else None


def header(document: Document, scene: Scene, shown: Iterable[Container], more: Line | None = None) -> list[Line]:
    """Return the header for a table of `shown`: two lines, and one for each thing that limits what we see.

    `more` is added to the last line. Rows that only a tree has are not counted.
    """
    lines = [_machine(document)]
    lines += _inside(document) if document["viewpoint"]["inside_container"] else [_totals(document)]
    if document["viewpoint"]["hidden_ancestors"]:
        lines.append([("limits of cgroups above are hidden from here: unknown, not unlimited", "warn")])
    files = document.get("denied_files") or 0  # an older exporter or recording tells no such number
    if document["denied"] > files:
        some = in_units(str(document["denied"] - files), "process", "processes")
        lines.append([(f"{some} hidden: access denied (CAP_SYS_PTRACE lifts most of that)", "warn")])
    if files:
        some = in_units(str(files), "file")
        lines.append([(f"{some} not readable: access denied (CAP_DAC_READ_SEARCH lifts that)", "warn")])
    if document["problems"]:
        others = f" (and {len(document['problems']) - 1} more)" if len(document["problems"]) > 1 else ""
        lines.append([(f"problem: {safe(document['problems'][0])}{others}", "warn")])
    count, total = sum(not is_group(row) for row in shown), len(document["containers"])
    of_what = f"CPU% is of {MEANING_OF_CPU[scene.cpu]}"
    return [*lines, [(f"{count} of {total} shown", ""), SEPARATOR, (of_what, ""), *(more or [])]]


def _machine(document: Document) -> Line:
    host = document["host"]
    line = [("ctop ", "title"), (safe(host["hostname"]), "title")]
    if host["kernel"]:
        line += [SEPARATOR, (f"Linux {safe(host['kernel'])}", "")]
    if host["load"]:
        line += [SEPARATOR, ("load " + " ".join(f"{value:.2f}" for value in host["load"]), "")]
    if host["boot_time"] is not None:
        line += [SEPARATOR, (f"up {duration(document['taken_at'] - host['boot_time'])}", "")]
    if document["interval_seconds"] is not None:
        line += [SEPARATOR, (f"over {duration(document['interval_seconds'])}", "")]
    return line


def _totals(document: Document) -> Line:
    host = document["host"]
    used = host["usage_cores"]
    share = f" ({percent(used / max(host['cpus'], 1))})" if used is not None else ""
    line = [
        (f"CPU {cores(used)} of {in_units(str(host['cpus']), 'core')}{share}", ""),
        SEPARATOR,
        (f"memory {byte_size(host['memory_used_bytes'])} of {byte_size(host['memory_bytes'])}", ""),
    ]
    if host["swap_bytes"]:
        line += [SEPARATOR, (f"swap {byte_size(host['swap_bytes'])}", "")]
    return line


def _inside(document: Document) -> list[Line]:
    host, container = document["host"], own(document)
    claims_cpus = (f" (/proc claims {in_units(str(host['cpus']), 'CPU')})", "dim")
    claims_memory = (f" (/proc claims {byte_size(host['memory_bytes'])})", "dim")
    if container is None:
        return [[("inside a container, but it is not listed here", "warn"), claims_cpus, claims_memory]]
    cpu, memory = container["cpu"], container["memory"]
    of_cpu = cores_of(cpu["usage_cores"], cpu["limit_cores"])
    of_cpu += "" if cpu["limit_cores"] is not None else ", no limit seen"
    most = f" of {byte_size(memory['limit_bytes'])}" if memory["limit_bytes"] is not None else ", no limit seen"
    used = memory["working_set_bytes"] if memory["working_set_bytes"] is not None else memory["anon_bytes"]
    throttled = cpu["throttled_ratio"]
    slowed = [SEPARATOR, (f"throttled {percent(throttled)}", "warn")] if throttled else []
    return [
        [("container  CPU ", "title"), (of_cpu, ""), claims_cpus, *slowed],
        [("        memory ", "title"), (f"{byte_size(used)}{most}", ""), claims_memory],
    ]
