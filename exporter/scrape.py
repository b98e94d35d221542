"""A scrape: look at the machine now, and write what was seen.

Each part of the page is a collector. One that fails is logged and has
`cgscope_scrape_collector_success 0`; the rest of the page is served all the
same, so that an alert can tell which part is missing. Scrapes that come at the
same moment share one look and its text, whatever their format.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from exporter.blocks import Block, Page
from exporter.collectors import COLLECTORS, OWN, Selection, headers
from exporter.families.filesystem import places
from exporter.families.machine import MACHINE
from exporter.shared import Shared
from exporter.sight import Sight
from exporter.subjects import Subjects
from exporter.table import Collector, Column, Printer
from exporter.text import Family, header, labels, write
from exporter.version import version
from inspector.garbage import uncollected
from inspector.kernel.host import Host
from inspector.model import Observation

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Scraper", "version"]

log = logging.getLogger(__name__)

T = TypeVar("T")
APART_SECONDS = 2.0  # two looks that are as far apart tell how much was throttled in between
PREPARES: dict[str, Callable[[Sight], Any]] = {
    "places": places,
    **{name: one.prepare for name, one in COLLECTORS.items() if one.prepare},
}


@dataclass(slots=True)
class Samples:
    """What a look has given: texts by metric and families, and how each collector fared: name -> (success, seconds)."""

    columns: dict[str, list[Block]] = field(default_factory=dict)
    families: list[Family] = field(default_factory=list)
    collectors: dict[str, tuple[bool, float]] = field(default_factory=dict)

    def run(self, name: str, collect: Callable[[], T]) -> T | None:
        """Let a collector do its work; None when it fails."""
        start = time.perf_counter()
        result, success = None, False
        try:
            result, success = collect(), True
        except Exception as error:
            text = "the collector %r failed: %s: %s"
            log.error(text, name, type(error).__name__, error, exc_info=log.isEnabledFor(logging.DEBUG))  # noqa: TRY400
        self.collectors[name] = (success, time.perf_counter() - start)
        return result


class Scraper:
    """Makes pages from `observe`, which looks at the machine of `host` at this moment.

    Without `own`, the exporter's own CPU time and memory are left out: in a
    file that node_exporter reads they would collide with node_exporter's.
    """

    def __init__(
        self, host: Host, observe: Callable[[], Observation], selection: Selection | None = None, *, own: bool = True
    ) -> None:
        self.selection = selection or Selection()
        self._host = host
        self._observe = observe
        self._build = Family("cgscope_build_info", "info", "Always 1.", [(labels(version=version()), 1)])
        self._registry = _own_registry() if own else None
        told = headers(self.selection.collectors).items()
        self._headers = {
            form: {name: Block(header(name, *what, openmetrics=form).encode()) for name, what in told}
            for form in (False, True)
        }
        # What follows is used under the lock alone.
        self._lock = Lock()
        self._subjects = Subjects(self.selection.options.labels)
        self._printers = {name: [Printer(group) for group in one.groups] for name, one in COLLECTORS.items()}
        self._kept: dict[str, Any] = {}
        self._earlier: list[Observation] = []
        self._everything = Shared(lambda: self._samples(self.selection, frozenset()))

    def page(
        self, *, openmetrics: bool = False, names: Collection[str] = (), collect: Collection[str] = ()
    ) -> Page:
        """Look and write; `names` picks metrics, `collect` collectors. ValueError for a collector that does not run."""
        chosen = frozenset(names)
        asked = self.selection.asked(collect)
        samples = self._samples(asked, chosen) if names or collect else self._everything()
        blocks: list[Block] = []
        for name, head in self._headers[openmetrics].items():
            if name in samples.columns and (not chosen or name in chosen):
                blocks += [head, *samples.columns[name]]
        rest = [write(samples.families, openmetrics=openmetrics, names=chosen)]
        fared = Samples(collectors=dict(samples.collectors))
        if self._registry is not None and (not collect or OWN in collect):
            own = fared.run(OWN, partial(_process, self._registry, chosen, openmetrics=openmetrics))
            rest.append(own or "")
        rest.append(write([self._build, *_fared(fared)], openmetrics=openmetrics, names=chosen))
        if openmetrics:
            rest.append("# EOF\n")
        return Page([*blocks, Block("".join(rest).encode())], all(success for success, _ in fared.collectors.values()))

    def _samples(self, selection: Selection, names: frozenset[str]) -> Samples:
        """Look, and let each collector write what it saw."""
        with self._lock, uncollected():
            samples = Samples()
            sight = samples.run("containers", self._look)
            for collector in selection.collectors:
                if names and not collector.metrics & names and collector.families is None:
                    continue
                if sight is None:
                    samples.collectors[collector.name] = (False, 0.0)
                    continue
                made = samples.run(collector.name, partial(self._collect, collector, sight))
                if made is not None:
                    for metric, block in made[0]:
                        samples.columns.setdefault(metric, []).append(block)
                    samples.families += made[1]
            return samples

    def _collect(self, collector: Collector, sight: Sight) -> tuple[list[Column], list[Family]]:
        if collector.prepare:
            sight.of(collector.name)
        columns = [column for printer in self._printers[collector.name] for column in printer.write(sight)]
        return columns, list(collector.families(sight)) if collector.families else []

    def _look(self) -> Sight:
        """Look at the machine, beside a look that was some seconds ago."""
        now = self._observe()
        before = next((one for one in self._earlier if now.monotonic - one.monotonic >= APART_SECONDS), None)
        if not self._earlier or now.monotonic - self._earlier[0].monotonic >= APART_SECONDS:
            self._earlier = [now, *self._earlier[:1]]
        return Sight(
            host=self._host,
            observation=now,
            before=before,
            subjects=self._subjects.of(now),
            options=self.selection.options,
            kept=self._kept,
            prepares=PREPARES,
        )


def _fared(samples: Samples) -> Iterable[Family]:
    success = [(labels(collector=name), int(done)) for name, (done, _) in samples.collectors.items()]
    seconds = [(labels(collector=name), took) for name, (_, took) in samples.collectors.items()]
    yield Family("cgscope_scrape_collector_success", "gauge", "1 when the collector succeeded, else 0.", success)
    yield Family("cgscope_scrape_collector_duration_seconds", "gauge", "How long the collector took.", seconds)
    failed = {name for name, (done, _) in samples.collectors.items() if not done}
    told = [("", int(not failed <= {MACHINE.name, OWN}))]
    yield Family("container_scrape_error", "gauge", "1 when a collector of containers failed, else 0.", told)
    if MACHINE.name in samples.collectors:
        told = [("", int(MACHINE.name in failed))]
        yield Family("machine_scrape_error", "gauge", "1 when the machine could not be read, else 0.", told)


def _own_registry() -> CollectorRegistry:
    """Return a registry of our own: the default one has what other code in the process happens to register."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415  slow

    from exporter.process import OwnProcess  # noqa: PLC0415  it imports prometheus_client

    registry = CollectorRegistry(auto_describe=True)
    registry.register(OwnProcess())
    return registry


def _process(registry: CollectorRegistry, names: Collection[str], *, openmetrics: bool) -> str:
    """Write the exporter's own CPU time, memory and descriptors, with prometheus_client's collector."""
    from prometheus_client import generate_latest  # noqa: PLC0415  slow
    from prometheus_client import openmetrics as open_metrics  # noqa: PLC0415  slow

    chosen = registry.restricted_registry(names) if names else registry
    if openmetrics:
        data: bytes = open_metrics.exposition.generate_latest(chosen)  # type: ignore[no-untyped-call]
    else:
        data = generate_latest(chosen)
    return data.decode().removesuffix("# EOF\n")
