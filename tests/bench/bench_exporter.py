"""How fast 7,000 series become text, beside prometheus_client in the same run.

    python -m pytest -s tests/bench/bench_exporter.py

Absolute times are the machine's; the ratio is what counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from exporter.metrics import container_families, machine_families
from exporter.text import Family, write
from tests.unit.exporter_documents import busy, document

CONTAINERS = 200
ROUNDS = 15


def best(work: Callable[[], object]) -> float:
    """Return the shortest of ROUNDS runs, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


class Ready(Collector):
    """The same families and samples as prometheus_client's objects, made beforehand."""

    def __init__(self, families: list[Family]) -> None:
        self.metrics = []
        for family in families:
            metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
            for text, value in family.samples:
                pairs = [pair.split("=", 1) for pair in text.strip("{}").split(",") if pair]
                metric.add_sample(family.name, {name: quoted.strip('"') for name, quoted in pairs}, value)
            self.metrics.append(metric)

    def collect(self) -> Iterator[Metric]:
        """Yield what was made."""
        yield from self.metrics


def test_text_is_several_times_faster_than_prometheus_clients() -> None:
    """From document to text takes less than a third of what prometheus_client takes from ready-made objects."""
    made = document(*(
        busy(id=f"{number:064x}", name=f"web-{number}", cgroups={"cpu": f"/docker/{number:064x}"},
             namespaces={"net": number})
        for number in range(CONTAINERS)
    ))  # fmt: skip

    def families() -> list[Family]:
        return [*container_families(made), *machine_families(made)]

    ready = families()
    series = sum(len(family.samples) for family in ready)
    registry = CollectorRegistry()
    registry.register(Ready(ready))
    ours, text = best(lambda: write(families())), best(lambda: write(ready))
    theirs = best(lambda: generate_latest(registry))
    print(f"{CONTAINERS} containers, {series} series, best of {ROUNDS}")
    print(f"document to text     {ours * 1000:7.2f} ms")
    print(f"  of which text      {text * 1000:7.2f} ms")
    print(f"prometheus_client    {theirs * 1000:7.2f} ms, text alone: {theirs / ours:.1f} times ours")
    assert ours * 3 < theirs
