"""The machine itself, and how well it could be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from exporter.families.oom import Kills
from exporter.sight import Sight
from exporter.table import Collector
from exporter.text import Family, labels
from exporter.version import version
from inspector.kernel.host import Host

__all__ = ["MACHINE"]

PRETTY_NAME = re.compile(r'^PRETTY_NAME="?([^"\n]*)"?$', re.MULTILINE)


class _Facts(NamedTuple):
    """What does not change: the system's name, and how many cores and sockets the CPUs are."""

    system: str
    cores: int
    sockets: int


def _read(host: Host, path: str) -> str:
    try:
        return host.read_prefix(path, 65536).decode(errors="replace").strip()
    except OSError:
        return ""


def _facts(sight: Sight) -> _Facts:
    """Read /etc/os-release and the CPUs' topology, at the first scrape."""
    if "machine" not in sight.kept:
        host = sight.host
        name = PRETTY_NAME.search(_read(host, "/etc/os-release"))
        try:
            names = host.listdir("/sys/devices/system/cpu")
        except OSError:
            names = []
        directories = (f"/sys/devices/system/cpu/{name}/topology" for name in names if re.fullmatch("cpu[0-9]+", name))
        places = {(_read(host, f"{one}/physical_package_id"), _read(host, f"{one}/core_id")) for one in directories}
        places.discard(("", ""))
        sight.kept["machine"] = _Facts(name[1] if name else "", len(places), len({package for package, _ in places}))
    facts: _Facts = sight.kept["machine"]
    return facts


def _gauge(name: str, help_: str, value: float | None) -> Family:
    return Family(name, "gauge", help_, [] if value is None else [("", value)])


def _families(sight: Sight) -> Iterator[Family]:
    after, facts = sight.observation, _facts(sight)
    system = after.system
    yield _gauge("machine_cpu_cores", "CPUs of the machine.", system.cpus)
    yield _gauge("machine_cpu_physical_cores", "Cores of the machine, each with one CPU or more.", facts.cores or None)
    yield _gauge("machine_cpu_sockets", "Sockets of the machine.", facts.sockets or None)
    yield _gauge("machine_memory_bytes", "Memory of the machine.", system.memory_bytes)
    yield _gauge("machine_memory_available_bytes", "Memory that could be used without swapping.",
                 system.memory_available_bytes)
    yield _gauge("machine_swap_bytes", "Swap of the machine.", system.swap_bytes)
    yield _gauge("machine_scrape_error", "Always 0: the machine could be read.", 0)
    yield _gauge("container_scrape_error", "Always 0: see cgscope_scrape_collector_success.", 0)
    text = labels(
        kernelVersion=system.kernel, osVersion=facts.system, dockerVersion="", cadvisorVersion=f"cgscope-{version()}",
        cadvisorRevision="",
    )
    yield Family("cadvisor_version_info", "info", "Always 1: kernel, system, and cgscope in cAdvisor's place.", [(text, 1)])
    yield _gauge("cgscope_denied_reads", "Reads refused for lack of a capability.", after.denied)
    yield _gauge("cgscope_problems", "Kernel files that could not be understood.", len(after.problems))
    kills = sight.extra.get("oom")
    if isinstance(kills, Kills):
        yield _gauge("cgscope_kernel_log_readable", "1 when the kernel's log can be read: without it, kills of "
                     "containers that are gone are not seen.", int(kills.readable))


MACHINE = Collector("machine", "the machine's totals, and how well it could be read", families=_families)  # fmt: skip
