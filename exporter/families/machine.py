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
# Of the labels of all machine_*, the files that may tell it; without CAP_DAC_READ_SEARCH the first UUID cannot be read.
MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
IDENTITY = {
    "machine_id": MACHINE_ID,
    "system_uuid": ("/sys/class/dmi/id/product_uuid", "/proc/device-tree/vm,uuid", *MACHINE_ID),
    "boot_id": ("/proc/sys/kernel/random/boot_id",),
}


class _Facts(NamedTuple):
    """What does not change: the system's name, how many cores and sockets the CPUs are, and which machine it is."""

    system: str
    cores: int
    sockets: int
    identity: str


def _read(host: Host, path: str) -> str:
    try:
        return host.read_prefix(path, 65536).decode(errors="replace").strip()
    except OSError:
        return ""


def _facts(sight: Sight) -> _Facts:
    """Read /etc/os-release, the CPUs' topology and the machine's identity, at the first scrape."""
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
        told = {label: next(filter(None, (_read(host, path) for path in files)), "") for label, files in IDENTITY.items()}
        sockets = {package for package, _ in places}
        sight.kept["machine"] = _Facts(name[1] if name else "", len(places), len(sockets), labels(**told))
    facts: _Facts = sight.kept["machine"]
    return facts


def _gauge(name: str, help_: str, value: float | None, label: str = "") -> Family:
    return Family(name, "gauge", help_, [] if value is None else [(label, value)])


def _families(sight: Sight) -> Iterator[Family]:
    after, facts = sight.observation, _facts(sight)
    system = after.system
    for name, help_, value in (
        ("machine_cpu_cores", "CPUs of the machine.", system.cpus),
        ("machine_cpu_physical_cores", "Cores of the machine, each with one CPU or more.", facts.cores or None),
        ("machine_cpu_sockets", "Sockets of the machine.", facts.sockets or None),
        ("machine_memory_bytes", "Memory of the machine.", system.memory_bytes),
        ("machine_memory_available_bytes", "Memory that could be used without swapping.", system.memory_available_bytes),
        ("machine_swap_bytes", "Swap of the machine.", system.swap_bytes),
    ):
        yield _gauge(name, help_, value, facts.identity)
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


MACHINE = Collector("machine", "the machine's totals, and how well it could be read", families=_families)
