"""Queries as text. Every selector has the dashboard's job and instance, and every rate Grafana's own interval.

The functions that take a metric come in two scopes: `target`, for what a
machine has once, and `selected`, for the containers chosen in the variables
`image` and `name`. The variables' "All" is `.+`, so a control group, which
has neither, is never among them.
"""

from __future__ import annotations

__all__ = [
    "CONTAINER", "by_container", "count", "increase", "killed", "rate", "selected", "share", "target", "total",
    "total_increase", "total_rate",
]  # fmt: skip

TARGET = 'job=~"$job",instance=~"$instance"'
CHOSEN = 'image=~"$image",name=~"$name"'
# What tells one container from all others, on all machines; `name` and `image` come along for people.
CONTAINER = "instance, id, name, image"


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


def killed() -> str:
    """Count the containers of which something was killed in the time shown, from the counter and the last kill's time.

    The time is for those that were killed before they were first seen: their
    counter begins at 1 and has not increased.
    """
    counted = total_increase("container_oom_kills_total")
    last = by_container(f"last_over_time({selected('container_oom_last_kill_timestamp_seconds')}[$__range])", "max")
    return count(f"{counted} > 0 or {last} > time() - $__range_s")
