"""Every dashboard, as Grafana's model."""

from __future__ import annotations

from dashboards.generate import container, cpu, exporter, fleet, pressure

__all__ = ["DASHBOARDS"]

DASHBOARDS = (fleet.DASHBOARD, container.DASHBOARD, cpu.DASHBOARD, pressure.DASHBOARD, exporter.DASHBOARD)
