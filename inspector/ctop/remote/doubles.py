"""Whom to believe where two jobs scrape one node, and so tell of everything twice. Pure.

A cgscope-exporter comes before a cAdvisor, as it tells more; of two alike the
first by job and instance. What only the other knows is shown too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

__all__ = ["Doubles", "Teller", "node_of", "teller_of"]

SHOWN = 40


class Teller(NamedTuple):
    """Who told a series: the node it is about, and the job and instance of the scrape."""

    node: str
    job: str
    instance: str


def node_of(labels: Mapping[str, str]) -> str:
    """Return the node that a series is about."""
    return labels.get("node") or labels.get("instance") or ""


def teller_of(labels: Mapping[str, str]) -> Teller:
    """Return who told a series."""
    return Teller(node_of(labels), labels.get("job", ""), labels.get("instance", ""))


class Doubles:
    """Chooses; `ours` are the tellers that are known for a cgscope-exporter."""

    def __init__(self, ours: Collection[Teller]) -> None:
        self._ours = ours
        self._left_out: dict[tuple[Teller, Teller], set[str]] = {}

    def best(self, tellers: Iterable[Teller]) -> Teller:
        """Return the one to believe of those who tell the same of one node; who is not is noted."""
        first, *others = sorted(set(tellers), key=lambda one: (one not in self._ours, one))
        for other in others:
            key = first._replace(node=""), other._replace(node="")
            if first.job != other.job:
                key = Teller("", first.job, ""), Teller("", other.job, "")
            self._left_out.setdefault(key, set()).add(first.node)
        return first

    def sum(self, values: Mapping[Teller, float]) -> float:
        """Sum over the nodes what was told of them."""
        by_node: dict[str, list[Teller]] = {}
        for teller in values:
            by_node.setdefault(teller.node, []).append(teller)
        return sum(values[self.best(tellers)] for tellers in by_node.values())

    def told(self) -> list[str]:
        """Say what was left out, for the header."""
        said = []
        for (first, other), nodes in sorted(self._left_out.items()):
            which = f"{min(nodes)[:SHOWN]} is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
            chosen, left = _called(first), _called(other)
            said.append(f"{which} scraped twice: shown as {chosen} has it, not {left} (--prometheus-match chooses)")
        return said


def _called(teller: Teller) -> str:
    return f"job {teller.job[:SHOWN]}{f' at {teller.instance[:SHOWN]}' if teller.instance else ''}"
