"""How containers are looked at: what CPU % and memory mean, at which moment, in which tree; and the figures of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from inspector.schema import Container

    CpuMode = Literal["core", "limit", "host"]
    MemoryMode = Literal["working-set", "usage", "anon", "fixed"]

__all__ = [
    "CpuMode", "MemoryMode", "Past", "Scene", "Stem", "cpu_ratio", "fixed_ratio", "memory_ratio", "memory_used",
]  # fmt: skip

Past = Callable[[str, str, int], Sequence[float | None]]
"""The last values, at most so many, of a container's series (inspector.ctop.history): (id, series, count)."""


class Stem(NamedTuple):
    """What stands before and behind a name in the tree; `dim` for a row that is only there for what is below it.

    `above` is how the name begins, a path that the row above has already said.
    """

    before: str = ""
    behind: str = ""
    dim: bool = False
    above: str = ""


class Scene(NamedTuple):
    """What a cell must know besides its container: what CPU % and memory mean, the machine, the time, the tree.

    `past` is None where there are no last minutes to show; `stems` are by id.
    """

    cpu: CpuMode = "core"
    cpus: int = 1
    hidden_ancestors: bool = False
    now: float = 0.0
    memory: MemoryMode = "working-set"
    past: Past | None = None
    stems: Mapping[str, Stem] = MappingProxyType({})


def cpu_ratio(container: Container, scene: Scene) -> float | None:
    """CPU % as a ratio, by the meaning the scene has chosen."""
    used = container["cpu"]["usage_cores"]
    if scene.cpu == "limit":
        return container["cpu"]["limit_ratio"]
    return used if scene.cpu == "core" or used is None else used / max(scene.cpus, 1)


def memory_used(container: Container, scene: Scene) -> float | None:
    """Memory by the meaning the scene has chosen, in bytes; of processes without a cgroup their anonymous memory."""
    usage = container["memory"]
    if scene.memory == "usage":
        return usage["usage_bytes"]
    if scene.memory == "fixed":
        return usage["unreclaimable_bytes"]
    known = None if scene.memory == "anon" else usage["working_set_bytes"]
    return usage["anon_bytes"] if known is None else known


def memory_ratio(container: Container, scene: Scene) -> float | None:
    """Memory by that meaning as a share of the effective limit."""
    if scene.memory == "working-set":
        return container["memory"]["limit_ratio"]
    used, limit = memory_used(container, scene), container["memory"]["limit_bytes"]
    return used / limit if used is not None and limit else None


def fixed_ratio(container: Container, _: Scene) -> float | None:
    """Return the share of the limit that cannot be reclaimed: at 1 the next page is an OOM kill."""
    fixed, limit = container["memory"]["unreclaimable_bytes"], container["memory"]["limit_bytes"]
    return fixed / limit if fixed is not None and limit else None
