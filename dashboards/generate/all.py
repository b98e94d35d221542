"""Every dashboard, as Grafana's model."""

from __future__ import annotations

from dashboards.generate.container import DASHBOARD as CONTAINER
from dashboards.generate.cpu import DASHBOARD as CPU
from dashboards.generate.exporter import DASHBOARD as EXPORTER
from dashboards.generate.fleet import DASHBOARD as FLEET
from dashboards.generate.pressure import DASHBOARD as PRESSURE

__all__ = ["DASHBOARDS"]

DASHBOARDS = (FLEET, CONTAINER, CPU, PRESSURE, EXPORTER)
