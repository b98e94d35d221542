"""Queries as text. Every selector has the dashboard's job and instance, and every rate Grafana's own interval.

The functions that take a metric come in two scopes: `target`, for what a
machine has once, and `selected`, for the containers chosen in the variables
`image` and `name`. The variables' "All" is `.+`, so a control group, which
has neither, is never among them.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = [
    "CONTAINER", "by_container", "count", "found", "gained", "increase", "killed", "kills", "rate", "selected", "share",
    "target", "total", "total_increase", "total_rate",
]  # fmt: skip

TARGET = 'job=~"$job",instance=~"$instance"'
CHOSEN = 'image=~"$image",name=~"$name"'
# What tells one container from all others, on all machines; `name` and `image` come along for people.
CONTAINER = "instance, id, name, image"
WORST_FIRST = ("critical", "warning", "info")


def target(metric: str, *matchers: str) -> str:
    """Select a metric of the machines chosen."""
    return f"{metric}{{{','.join([TARGET, *matchers])}}}"


def selected(metric: str, *matchers: str) -> str:
    """Select a metric of the containers chosen."""
    return target(metric, CHOSEN, *matchers)


def rate(metric: str, *matchers: str) -> str:
    """Give a counter of the containers chosen, by the second."""
    return f"rate({selected(metric, *matchers)}[$__rate_interval])"


def increase(metric: str, *matchers: str) -> str:
    """Give what a counter of the containers chosen gained over the time shown."""
    return f"increase({selected(metric, *matchers)}[$__range])"


def gained(rate_: str) -> str:
    """Give what a counter gained in each step of a chart, from its rate: the sum over the steps is what it gained."""
    return f"{rate_} * $__interval_ms / 1000"


def found(select: Callable[..., str], labels: str) -> str:
    """Give how bad each finding is, as a number that orders them: 3 critical, 2 warning, 1 information."""
    critical, warning, info = (select("container_finding", f'severity="{kind}"') for kind in WORST_FIRST)
    return f"max by ({labels}) (3 * ({critical} == 1) or 2 * ({warning} == 1) or {info} == 1)"


def by_container(expression: str, function: str = "sum") -> str:
    """Add up what one container has several of: interfaces, devices."""
    return f"{function} by ({CONTAINER}) ({expression})"


def total(metric: str, *matchers: str) -> str:
    """Give a gauge, one value a container."""
    return by_container(selected(metric, *matchers))


def total_rate(metric: str, *matchers: str) -> str:
    """Give a counter by the second, one value a container."""
    return by_container(rate(metric, *matchers))


def total_increase(metric: str, *matchers: str) -> str:
    """Give what a counter gained over the time shown, one value a container."""
    return by_container(increase(metric, *matchers))


def share(part: str, whole: str) -> str:
    """Give part of whole, for containers that have both; a whole of 0 gives nothing rather than NaN."""
    return f"{part} / ({whole} > 0)"


def count(expression: str) -> str:
    """Count the series; 0 rather than nothing, so that a panel does not say "No data" where all is well."""
    return f"count({expression}) or vector(0)"


def kills(select: Callable[[str], str], function: str) -> str:
    """Give the processes killed for lack of memory in the time shown, of those that had any.

    Who was killed before it was first seen has a counter that begins at 1 and
    has not increased: that was one kill at least, as its time tells.
    """
    counted = f"sum{function} (increase({select('container_oom_kills_total')}[$__range]))"
    last = f"max{function} (last_over_time({select('container_oom_last_kill_timestamp_seconds')}[$__range]))"
    return f"{counted} > 0 or 0 * ({last} > time() - $__range_s) + 1"


def killed() -> str:
    """Give the kills of each container chosen that had any."""
    return kills(selected, f" by ({CONTAINER})")
