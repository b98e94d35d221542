"""The cells of ctop's table: from a container to a text and the meaning of its colour.

A colour is a meaning ("warn", "bad", "dim", ...), never a colour by itself:
inspector.views.table and inspector.ctop.lines say what it looks like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from inspector.fields import BY_NAME
from inspector.schema import Container
from inspector.views import text

Cell = tuple[str, str]
"""Text and the meaning of its colour."""

__all__ = [
    "BADLY_WAITING",
    "COLOUR_OF_SEVERITY",
    "FULL",
    "NEAR",
    "SEVERITY",
    "WAITING",
    "Cell",
    "CpuMode",
    "Scene",
    "Show",
    "age",
    "cpu",
    "cpu_limit",
    "cpu_ratio",
    "memory",
    "note",
    "number",
    "pids",
    "plain",
    "pod",
    "set_elsewhere",
    "state",
    "throttled",
]

CpuMode = Literal["core", "limit", "host"]
NEAR, FULL = 0.75, 0.9
THROTTLED, BADLY_THROTTLED = 0.01, 0.25
WAITING, BADLY_WAITING = 0.1, 0.4
SEVERITY = {"critical": 2, "warning": 1, "info": 0}
COLOUR_OF_STATE = {"running": "good", "paused": "warn", "hollow": "bad"}
COLOUR_OF_SEVERITY = {"critical": "bad", "warning": "warn", "info": "dim"}


class Scene(NamedTuple):
    """What a cell must know besides its container: what CPU % is a share of, the machine, the time."""

    cpu: CpuMode = "core"
    cpus: int = 1
    hidden_ancestors: bool = False
    now: float = 0.0


Show = Callable[[Container, Scene], Cell]
Form = Callable[[float | None], str]


def cpu_ratio(container: Container, scene: Scene) -> float | None:
    """CPU % as a ratio, by the meaning the scene has chosen."""
    used = container["cpu"]["usage_cores"]
    if scene.cpu == "limit":
        return container["cpu"]["limit_ratio"]
    return used if scene.cpu == "core" or used is None else used / max(scene.cpus, 1)


def set_elsewhere(container: Container, set_by: str | None) -> bool:
    """Tell whether a limit comes from a cgroup that is not the container's own: an ancestor."""
    return set_by is not None and set_by.startswith("/") and set_by not in container["cgroups"].values()


def _elsewhere(container: Container, set_by: str | None) -> str:
    return "^" if set_elsewhere(container, set_by) else ""


def _level(value: float | None, warn: float, bad: float, normal: str = "") -> str:
    if value is None:
        return "dim"
    return "bad" if value >= bad else "warn" if value >= warn else normal


def plain(field: str, form: Callable[[str], str] = text.safe) -> Show:
    """Show a text, escaped; "-" where there is none."""
    get = BY_NAME[field].get

    def show(container: Container, _: Scene) -> Cell:
        value = get(container)
        return (form(str(value)), "") if value not in (None, "") else (text.UNKNOWN, "dim")

    return show


def number(field: str, form: Form, warn: float = 0, bad: float = 0) -> Show:
    """Show a number; unknown and zero are dim, and from `bad` (when it is given) it is coloured."""
    get = BY_NAME[field].get

    def show(container: Container, _: Scene) -> Cell:
        value = get(container)
        figure = value if isinstance(value, (int, float)) else None
        if not figure:
            return form(figure), "dim"
        return form(figure), _level(figure, warn, bad) if bad else ""

    return show


def cpu(container: Container, scene: Scene) -> Cell:
    """CPU %, coloured by how near the limit it is."""
    return text.percent(cpu_ratio(container, scene)), _level(container["cpu"]["limit_ratio"], NEAR, FULL)


def _no_limit(container: Container, controller: str, used: float | None, scene: Scene) -> str:
    """Stand in for a limit that is not there: "none", unless we cannot know."""
    known = controller in container["cgroups"] and used is not None and not scene.hidden_ancestors
    return "none" if known else text.UNKNOWN


def cpu_limit(container: Container, scene: Scene) -> Cell:
    """Effective CPU limit in cores; "^" when an ancestor sets it."""
    limited = container["cpu"]
    if limited["limit_cores"] is None:
        return _no_limit(container, "cpu", limited["usage_seconds"], scene), "dim"
    return _elsewhere(container, limited["limit_set_by"]) + text.cores(limited["limit_cores"]), ""


def throttled(container: Container, _: Scene) -> Cell:
    """Throttled share of periods: the own quota's, or "^" an ancestor's where that is more."""
    own, inherited = container["cpu"]["throttled_ratio"], container["cpu"]["inherited_throttled_ratio"]
    if inherited is not None and inherited > (own or 0):
        return "^" + text.percent(inherited), _level(inherited, THROTTLED, BADLY_THROTTLED)
    return text.percent(own), _level(own, THROTTLED, BADLY_THROTTLED, "" if own else "dim")


def memory(container: Container, scene: Scene) -> Cell:
    """Working set and effective limit; "^" when an ancestor sets it."""
    usage = container["memory"]
    used = usage["working_set_bytes"]
    if used is None and usage["source"] == "processes":
        used = usage["anon_bytes"]
    if usage["limit_bytes"] is None:
        limit = _no_limit(container, "memory", used, scene)
    else:
        limit = _elsewhere(container, usage["limit_set_by"]) + text.byte_size(usage["limit_bytes"])
    meaning = _level(usage["limit_ratio"], NEAR, FULL) if usage["limit_ratio"] is not None else ""
    return f"{text.byte_size(used):>7} / {limit:>8}", meaning


def pids(container: Container, _: Scene) -> Cell:
    """Tasks, coloured by how near their limit they are."""
    limited = container["pids"]
    current = limited["current"] if limited["current"] is not None else container["members"]
    ratio = current / limited["limit"] if limited["limit"] else 0.0
    return text.count(current), _level(ratio, NEAR, FULL)


def pod(container: Container, _: Scene) -> Cell:
    """Pod it belongs to."""
    return text.safe(container["pod"] or text.UNKNOWN), ""


def age(container: Container, scene: Scene) -> Cell:
    """Time since its first process started."""
    created = container["created_at"]
    return text.duration(max(scene.now - created, 0) if created is not None else None), ""


def state(container: Container, _: Scene) -> Cell:
    """Show whether it is running, paused or hollow."""
    return text.safe(container["state"]), COLOUR_OF_STATE.get(container["state"], "")


def note(container: Container, _: Scene) -> Cell:
    """Code of its worst finding, and how many more there are."""
    worst = max(container["findings"], key=lambda finding: SEVERITY.get(finding["severity"], 0), default=None)
    if worst is None:
        return "", ""
    more = f" +{len(container['findings']) - 1}" if len(container["findings"]) > 1 else ""
    return text.safe(worst["code"]) + more, COLOUR_OF_SEVERITY.get(worst["severity"], "")
