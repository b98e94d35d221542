"""The table of collectors, their options on the command line, and what is selected of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from exporter.families.about import ABOUT, HEALTH, NAMESPACES
from exporter.families.cpu import CPU
from exporter.families.disk import DISK
from exporter.families.filesystem import FILESYSTEM
from exporter.families.findings import FINDINGS
from exporter.families.hugetlb import HUGETLB
from exporter.families.layer import LAYER
from exporter.families.limits import LIMITS
from exporter.families.machine import MACHINE
from exporter.families.memory import MEMORY
from exporter.families.network import ADVTCP, NETWORK, TCP, UDP
from exporter.families.numa import CPUSET, MEMORY_NUMA
from exporter.families.oom import OOM
from exporter.families.pressure import PRESSURE
from exporter.families.sched import SCHED
from exporter.families.tasks import FILES, PROCESSES, TASKS_STATE, TOP, ULIMITS
from exporter.sight import Options
from exporter.table import Collector
from exporter.text import Kind
from inspector.kernel.host import Host
from inspector.observe import Observer

__all__ = ["COLLECTORS", "Selection", "declare", "selected"]

# In the order of the page. Findings come after limits, and the machine after the kernel's log, which they use.
COLLECTORS: Mapping[str, Collector] = {
    one.name: one
    for one in (
        CPU, MEMORY, PRESSURE, PROCESSES, DISK, FILESYSTEM, NETWORK, LIMITS, ABOUT, NAMESPACES, HEALTH, FINDINGS, OOM,
        MACHINE, LAYER, FILES, ULIMITS, TASKS_STATE, TCP, UDP, ADVTCP, SCHED, MEMORY_NUMA, CPUSET, HUGETLB, TOP,
    )
}  # fmt: skip
OWN = "process"  # the exporter's own CPU time and memory
DEFAULTS = frozenset(name for name, one in COLLECTORS.items() if one.default)
# A name or a label of the runtime: com.docker.compose.service, io.kubernetes.pod.name, team
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}", re.ASCII)
MOST_LABELS, MOST_TOP = 32, 100
REFRESH_SECONDS = 60.0
MOST_PROCESSES = 256  # of one container: reading one costs as much as a cgroup


@dataclass(frozen=True, slots=True)
class Selection:
    """Which collectors run, and how much some of them tell."""

    names: frozenset[str] = DEFAULTS
    options: Options = field(default_factory=Options)

    @property
    def collectors(self) -> list[Collector]:
        """Return the collectors in the order of the page."""
        return [one for name, one in COLLECTORS.items() if name in self.names]

    def observer(self, host: Host) -> Observer:
        """Return an observer that reads what these collectors tell, and nothing that they do not."""
        wanted = {resource for one in self.collectors for resource in one.resources}
        return Observer(
            host,
            processes="top" in self.names,
            in_full=True,
            more=frozenset(wanted),
            health="health" in self.names,
            refresh_seconds=REFRESH_SECONDS,
            most_processes=MOST_PROCESSES,
        )

    def asked(self, names: Collection[str]) -> Selection:
        """Return the selection cut down to some collectors (`collect[]`); ValueError names one that does not run."""
        for name in names:
            if name not in self.names and name != OWN:
                raise ValueError(f"{name!r} is not a collector that runs here: {', '.join(sorted(self.names))}")
        return Selection(frozenset(names) - {OWN}, self.options) if names else self


def headers(collectors: Collection[Collector]) -> dict[str, tuple[Kind, str]]:
    """Return type and help of each collector's metrics, in the order of the page."""
    found: dict[str, tuple[Kind, str]] = {}
    for one in collectors:
        for group in one.groups:
            for row in group.rows:
                found.setdefault(row.metric, (row.kind, row.help))
    return found


def declare(add: Callable[..., object]) -> None:
    """Add the collectors' options: --collector.NAME and --no-collector.NAME, and how much some of them tell."""
    for name, one in COLLECTORS.items():
        default = "" if one.default else "; off unless asked for"
        add(f"--collector.{name}", dest=f"collector_{name}", action="store_true", default=None,
            help=f"{one.help}{default}")
        add(f"--no-collector.{name}", dest=f"collector_{name}", action="store_false", default=None,
            help=argparse.SUPPRESS)
    add("--collector.disable-defaults", dest="collector_disable_defaults", action="store_true",
        help="run only the collectors that are asked for by name")
    add("--collector.labels", dest="collector_labels", type=_labels, default=(), metavar="NAME,...",
        help="labels of the runtime that become container_label_NAME: com.docker.compose.service,... (default: none)")
    add("--collector.top.processes", dest="collector_top_processes", type=_count, default=5, metavar="N",
        help=f"how many processes of each container the collector top shows (default: 5, at most {MOST_TOP})")


def selected(arguments: argparse.Namespace) -> Selection:
    """Return what the command line selects."""
    given = vars(arguments)
    defaults = frozenset() if arguments.collector_disable_defaults else DEFAULTS
    asked = {name: given[f"collector_{name}"] for name in COLLECTORS}
    names = frozenset(name for name, wish in asked.items() if (name in defaults if wish is None else wish))
    return Selection(names, Options(arguments.collector_labels, arguments.collector_top_processes))


def _labels(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for name in text.split(",") if name))
    for name in names:
        if not LABEL.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{name!r} is not the name of a label, such as com.docker.compose.service")
    if len(names) > MOST_LABELS:
        raise argparse.ArgumentTypeError(f"{len(names)} labels are too many: at most {MOST_LABELS}")
    return names


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_TOP:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_TOP}")
    return int(text)
