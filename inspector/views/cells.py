"""The cells of ctop's table: from a container to a text and the meaning of its colour.

A colour is a meaning ("warn", "bad", "dim", ...), never a colour by itself:
inspector.views.table and inspector.ctop.lines say what it looks like.
"""

from __future__ import annotations

from collections.abc import Callable

from inspector.fields import BY_NAME
from inspector.views import text
from inspector.views.scene import Scene, cpu_ratio, fixed_ratio, memory_ratio, memory_used
from inspector.views.sparkline import condensed, sparkline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from inspector.schema import Container, Finding, Network

Cell = tuple[str, str]
"""Text and the meaning of its colour."""

__all__ = [
    "BADLY_WAITING",
    "COLOUR_OF_SEVERITY",
    "FULL",
    "GRAPH",
    "MARKS",
    "NEAR",
    "OUT_OF_SIGHT",
    "SEVERITY",
    "WAITING",
    "WARNING",
    "Cell",
    "Show",
    "age",
    "bar",
    "cpu",
    "cpu_graph",
    "cpu_limit",
    "mark",
    "memory",
    "memory_graph",
    "memory_is_set_above",
    "name",
    "node",
    "note",
    "number",
    "pids",
    "plain",
    "pod",
    "rating",
    "ratio",
    "set_elsewhere",
    "sharers",
    "started_at",
    "state",
    "throttled",
]

GRAPH = BAR = 8
REACH = 15 * GRAPH
"""Samples that a graph reaches back: two minutes at one a second, each block the most of 15."""
"""Columns of a sparkline, and of a bar."""
NEAR, FULL = 0.75, 0.9
THROTTLED, BADLY_THROTTLED = 0.01, 0.25
WAITING, BADLY_WAITING = 0.1, 0.4
SEVERITY = {"critical": 2, "warning": 1, "info": 0}
PAUSED = "="
OUT_OF_SIGHT = "a cgroup above that we cannot see"
WORSE = 1000
WARNING = SEVERITY["warning"] * WORSE
"""The rating of a container with a warning, at least."""
MARKS = {"critical": "▲", "warning": "●", "info": "i"}
COLOUR_OF_STATE = {"running": "", "paused": "warn", "hollow": "bad"}
COLOUR_OF_SEVERITY = {"critical": "bad", "warning": "warn", "info": "dim"}


Show = Callable[["Container", Scene], Cell]
Figure = Callable[["Container", Scene], float | None]
Form = Callable[[float | None], str]


def set_elsewhere(container: Container, set_by: str | None) -> bool:
    """Tell whether a limit comes from a cgroup that is not the container's own: an ancestor."""
    return set_by is not None and set_by.startswith("/") and set_by not in container["cgroups"].values()


def memory_is_set_above(container: Container) -> bool:
    """Tell whether the memory limit is that of a cgroup above: also of one out of sight, which v1 tells of."""
    memory = container["memory"]
    if memory["limit_set_by"] is None:
        return memory["limit_bytes"] not in (None, memory["own_limit_bytes"])
    return set_elsewhere(container, memory["limit_set_by"])


def sharers(network: Network) -> str:
    """Name those in the same network namespace, "" where there are none; the names are not safe yet."""
    names = network["shared_with"]
    if not names:
        return ""
    more = (network.get("shared_with_count") or 0) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


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


def ratio(figure: Figure, warn: float, bad: float) -> Show:
    """Show a share in percent, coloured."""

    def show(container: Container, scene: Scene) -> Cell:
        share = figure(container, scene)
        return text.percent(share), _level(share, warn, bad, "" if share else "dim")

    return show


def name(container: Container, scene: Scene) -> Cell:
    """Name; in the tree behind its branch."""
    stem = scene.stems.get(container["id"])
    shown = text.safe(container["name"].removeprefix(stem.above) if stem else container["name"]) or text.UNKNOWN
    return (f"{stem.before}{shown}{stem.behind}" if stem else shown), ""


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
    if inherited is not None and (own is None or inherited > own):
        return "^" + text.percent(inherited), _level(inherited, THROTTLED, BADLY_THROTTLED, "" if inherited else "dim")
    return text.percent(own), _level(own, THROTTLED, BADLY_THROTTLED, "" if own else "dim")


def memory(container: Container, scene: Scene) -> Cell:
    """Memory and its effective limit; "^" when an ancestor sets it."""
    usage, used, share = container["memory"], memory_used(container, scene), memory_ratio(container, scene)
    if usage["limit_bytes"] is None:
        limit = _no_limit(container, "memory", used, scene)
    else:
        limit = "^" * memory_is_set_above(container) + text.byte_size(usage["limit_bytes"])
    return f"{text.byte_size(used):>7} / {limit:>8}", "" if share is None else _level(share, NEAR, FULL)


def bar(container: Container, scene: Scene) -> Cell:
    """Memory as a share of its limit: what cannot be reclaimed, the rest of it, what is free."""
    share = memory_ratio(container, scene)
    if share is None:
        return text.UNKNOWN, "dim"
    full = round(min(share, 1) * BAR)
    fixed = min(round(min(fixed_ratio(container, scene) or 0, 1) * BAR), full)
    return "█" * fixed + "▒" * (full - fixed) + "·" * (BAR - full), _level(share, NEAR, FULL)


def cpu_graph(container: Container, scene: Scene) -> Cell:
    """CPU of the last minutes; a full block is the limit, without one a core or the most there was."""
    if scene.past is None:
        return text.UNKNOWN, "dim"
    values = condensed(scene.past(container["id"], "cpu_cores", REACH), GRAPH)
    limit = container["cpu"]["limit_cores"]
    top = limit or max(1.0, max((value for value in values if value is not None), default=0))
    return sparkline(values, GRAPH, top), _level(container["cpu"]["limit_ratio"], NEAR, FULL)


def memory_graph(container: Container, scene: Scene) -> Cell:
    """Working set of the last minutes; a full block is the limit, without one a third more than the most there was."""
    if scene.past is None:
        return text.UNKNOWN, "dim"
    values = condensed(scene.past(container["id"], "memory_bytes", REACH), GRAPH)
    limit, share = container["memory"]["limit_bytes"], container["memory"]["limit_ratio"]
    # A line at the top would say that it is full: one that does not change, without a limit, is at three quarters.
    top = limit or max((value for value in values if value is not None), default=0) * 4 / 3
    return sparkline(values, GRAPH, top), _level(share or 0, NEAR, FULL)


def pids(container: Container, _: Scene) -> Cell:
    """Tasks, coloured by how near their limit they are."""
    limited = container["pids"]
    current = limited["current"] if limited["current"] is not None else container["members"]
    ratio = current / limited["limit"] if limited["limit"] else 0.0
    return text.count(current), _level(ratio, NEAR, FULL)


def started_at(container: Container) -> float | None:
    """Return when its first process started; an older exporter or recording tells that as `created_at`."""
    started = container.get("started_at")
    return container["created_at"] if started is None else started


def node(container: Container, _: Scene) -> Cell:
    """Machine it is on, where there are many."""
    return text.safe(container.get("node", "")), ""


def pod(container: Container, _: Scene) -> Cell:
    """Pod it belongs to."""
    return text.safe(container["pod"] or text.UNKNOWN), ""


def age(container: Container, scene: Scene) -> Cell:
    """Time since its first process started."""
    started = started_at(container)
    return text.duration(max(scene.now - started, 0) if started is not None else None), ""


def state(container: Container, _: Scene) -> Cell:
    """Show whether it is running, paused or hollow."""
    return text.safe(container["state"]) or text.UNKNOWN, COLOUR_OF_STATE.get(container["state"], "")


def rating(container: Container, _: Scene) -> float | None:
    """How bad its findings are: the worst severity, then how many; None without any."""
    worst = max((SEVERITY.get(one["severity"], 0) for one in container["findings"]), default=None)
    return None if worst is None else worst * WORSE + len(container["findings"])


def _worst(container: Container) -> Finding | None:
    return max(container["findings"], key=lambda one: SEVERITY.get(one["severity"], 0), default=None)


def mark(container: Container, _: Scene) -> Cell:
    """Mark of its worst finding; without one that asks for attention, that it is paused."""
    worst = _worst(container)
    if container["state"] == "paused" and (worst is None or worst["severity"] == "info"):
        return PAUSED, "warn"
    if worst is None:
        return "", ""
    return MARKS.get(worst["severity"], "i"), COLOUR_OF_SEVERITY.get(worst["severity"], "")


def note(container: Container, scene: Scene) -> Cell:
    """Mark and code of its worst finding, or that it is paused, and how many more there are."""
    shown, meaning = mark(container, scene)
    worst, others = _worst(container), len(container["findings"])
    if shown != PAUSED:
        others -= 1
    code = "paused" if shown == PAUSED else worst["code"] if worst else ""
    return f"{shown} {text.safe(code)}{f' +{others}' if others > 0 else ''}".strip(), meaning
