"""The exporter's own process_*, beside prometheus_client's own collector."""

from __future__ import annotations

import os

import pytest
from prometheus_client import CollectorRegistry, Metric, ProcessCollector

from exporter.process import OwnProcess


def values(metrics: list[Metric]) -> dict[str, float]:
    """Return the samples by name."""
    return {sample.name: sample.value for metric in metrics for sample in metric.samples}


def test_it_says_what_prometheus_clients_collector_says() -> None:
    """The same metrics with the same types and helps, and the same figures but for what was used in between."""
    ours, theirs = list(OwnProcess().collect()), list(ProcessCollector(registry=CollectorRegistry()).collect())
    assert {(one.name, one.type, one.documentation) for one in ours} == {
        (one.name, one.type, one.documentation) for one in theirs
    }
    found, expected = values(ours), values(theirs)
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert found[name] == expected[name]
    assert found["process_cpu_seconds_total"] == pytest.approx(expected["process_cpu_seconds_total"], abs=1)
    assert found["process_resident_memory_bytes"] == pytest.approx(expected["process_resident_memory_bytes"], rel=0.2)


def test_open_files_are_counted() -> None:
    """One more open file is one more."""
    collector = OwnProcess()
    before = values(list(collector.collect()))["process_open_fds"]
    descriptor = os.open("/proc/self/stat", os.O_RDONLY)
    try:
        assert values(list(collector.collect()))["process_open_fds"] == before + 1
    finally:
        os.close(descriptor)
