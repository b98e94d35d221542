"""Pressure stall information: how long tasks waited for CPU, memory and I/O (accounting/psi.rst)."""

from __future__ import annotations

from exporter.families.readings import millionth, reading
from exporter.table import Collector, Group, Row

__all__ = ["PRESSURE"]

RESOURCES = (("cpu", "a CPU"), ("memory", "memory"), ("io", "I/O"))
KINDS = (("waiting", "some", "some task"), ("stalled", "full", "all tasks"))

PRESSURE = Collector(
    "pressure",
    "pressure stall information",
    (
        Group(
            tuple(
                Row(f"container_pressure_{resource}_{word}_seconds_total", "counter",
                    f"Time in which {who} waited for {what} (PSI).", millionth(f"{resource}_{kind}_us"))
                for resource, what in RESOURCES
                for word, kind, who in KINDS
            ),
            reading("pressure"),
        ),
    ),
)  # fmt: skip
