"""Grafana dashboards, Prometheus rules, and how to provision both."""
