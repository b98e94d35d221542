"""A scrape: look at the machine now, and write what was seen.

Each part of the page is a collector. One that fails is logged and has
`cgscope_scrape_collector_success 0`; the rest of the page is served all the
same, so that an alert can tell which part is missing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from exporter.metrics import container_families, machine_families
from exporter.text import Family, labels, write
from inspector.schema import Document

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Page", "Scraper", "version"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Page:
    """The text of one scrape in one format, and how its collectors fared: name -> (success, seconds)."""

    openmetrics: bool
    names: Collection[str]
    parts: list[str] = field(default_factory=list)
    collectors: dict[str, tuple[bool, float]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when every collector succeeded."""
        return all(success for success, _ in self.collectors.values())

    def text(self) -> str:
        """Return the whole page."""
        return "".join(self.parts) + ("# EOF\n" if self.openmetrics else "")

    def add(self, families: Collection[Family]) -> None:
        """Write families into the page: all of them, or none when one of them raises."""
        self.parts.append(write(families, openmetrics=self.openmetrics, names=self.names))


class Scraper:
    """Makes pages from `look`, which returns the document of this moment.

    Without `own`, the exporter's own CPU time and memory are left out: in a
    file that node_exporter reads they would collide with node_exporter's.
    """

    def __init__(self, look: Callable[[], Document], *, own: bool = True) -> None:
        self._look = look
        self._build = [Family("cgscope_build_info", "info", "Always 1.", [(labels(version=version()), 1)])]
        self._registry = _own_registry() if own else None

    def page(self, *, openmetrics: bool = False, names: Collection[str] = ()) -> Page:
        """Look and write; with `names`, only the families of those names. Raises nothing."""
        page = Page(openmetrics, frozenset(names))
        self._run(page, "containers", self._containers)
        if self._registry:
            self._run(page, "process", partial(_process, self._registry))
        page.add(self._build)
        success = [(labels(collector=name), int(done)) for name, (done, _) in page.collectors.items()]
        seconds = [(labels(collector=name), took) for name, (_, took) in page.collectors.items()]
        page.add([
            Family("cgscope_scrape_collector_success", "gauge", "1 when the collector succeeded, else 0.", success),
            Family("cgscope_scrape_collector_duration_seconds", "gauge", "How long the collector took.", seconds),
        ])  # fmt: skip
        return page

    @staticmethod
    def _run(page: Page, name: str, collect: Callable[[Page], None]) -> None:
        start = time.perf_counter()
        try:
            collect(page)
        except Exception as error:
            text = "the collector %r failed: %s: %s"
            log.error(text, name, type(error).__name__, error, exc_info=log.isEnabledFor(logging.DEBUG))  # noqa: TRY400
            page.collectors[name] = (False, time.perf_counter() - start)
        else:
            page.collectors[name] = (True, time.perf_counter() - start)

    def _containers(self, page: Page) -> None:
        document = self._look()
        page.add([*container_families(document), *machine_families(document)])


def _own_registry() -> CollectorRegistry:
    """Return a registry of our own: the default one has what other code in the process happens to register."""
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415  slow

    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    return registry


def _process(registry: CollectorRegistry, page: Page) -> None:
    """Write the exporter's own CPU time, memory and descriptors, with prometheus_client's collector."""
    from prometheus_client import generate_latest, openmetrics  # noqa: PLC0415  slow

    chosen = registry.restricted_registry(page.names) if page.names else registry
    if page.openmetrics:
        data: bytes = openmetrics.exposition.generate_latest(chosen)  # type: ignore[no-untyped-call]
    else:
        data = generate_latest(chosen)
    page.parts.append(data.decode().removesuffix("# EOF\n"))


def version() -> str:
    """Return the version of cgscope, or "unknown" when it runs from a checkout that is not installed."""
    from importlib import metadata  # noqa: PLC0415

    try:
        return metadata.version("cgscope")
    except metadata.PackageNotFoundError:
        return "unknown"
