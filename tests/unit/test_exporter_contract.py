"""What dashboards made for cAdvisor rely on: the families, their labels, their types."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.collectors import COLLECTORS, headers
from tests.unit.exporting import WEB, machine, parsed, scraper, series_of, text_of

# The families that public dashboards, rules and alerts for cAdvisor use, by the labels beside id, name and image.
CONTRACT = {
    "": """container_cpu_user_seconds_total container_cpu_cfs_periods_total container_cpu_cfs_throttled_periods_total
        container_cpu_cfs_throttled_seconds_total container_spec_cpu_quota container_spec_cpu_period
        container_memory_working_set_bytes container_memory_usage_bytes container_memory_rss container_memory_cache
        container_memory_swap container_memory_max_usage_bytes container_spec_memory_limit_bytes
        container_spec_memory_reservation_limit_bytes container_last_seen container_start_time_seconds
        container_oom_events_total container_health_state""",
    "cpu": "container_cpu_usage_seconds_total",
    "device": """container_fs_reads_total container_fs_writes_total container_fs_reads_bytes_total
        container_fs_writes_bytes_total container_fs_usage_bytes container_fs_limit_bytes container_fs_inodes_free
        container_fs_inodes_total""",
    "interface": """container_network_receive_bytes_total container_network_transmit_bytes_total
        container_network_receive_packets_total container_network_transmit_packets_total
        container_network_receive_packets_dropped_total container_network_transmit_packets_dropped_total
        container_network_receive_errors_total container_network_transmit_errors_total""",
}
OF_THE_MACHINE = {
    "container_fs_io_time_seconds_total": {"id", "device"},
    "machine_cpu_cores": set(),
    "machine_memory_bytes": set(),
    "cadvisor_version_info": {"kernelVersion", "osVersion", "cadvisorVersion"},
}


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_the_families_of_public_dashboards_have_cadvisors_labels(tmp_path: Path, layout: str) -> None:
    """All 39 of them are there, a container's with id, name, image and the one label more that cAdvisor gives them."""
    with machine(tmp_path, layout).open() as host:
        scrape = scraper(host)
        while not series_of(series := parsed(text_of(scrape.page())), "container_fs_usage_bytes", **WEB):
            pass  # a layer is weighed within a few scrapes
    who = frozenset(WEB.items())
    web = {(name, frozenset(dict(labels - who))) for name, labels in series if who <= labels}
    expected = {(name, frozenset(label.split())) for label, names in CONTRACT.items() for name in names.split()}
    assert expected - web == set()
    machines = {name: set(dict(labels)) for name, labels in series if name in OF_THE_MACHINE}
    assert machines == OF_THE_MACHINE
    assert len(expected) + len(OF_THE_MACHINE) == 39


def test_the_table_is_fit_for_prometheus() -> None:
    """Every metric has one type, a legal name and a help of one line; a gauge is no _total, but for cAdvisor's own."""
    found: dict[str, tuple[str, str]] = {}
    for collector in COLLECTORS.values():
        for group in collector.groups:
            for row in group.rows:
                assert found.setdefault(row.metric, (row.kind, row.help)) == (row.kind, row.help), row.metric
    assert list(found) == list(headers(list(COLLECTORS.values())))
    assert all(name.replace("_", "").isalnum() and name.startswith("container_") for name in found)
    assert not [name for name, (_, help_) in found.items() if set(help_) & set('\\\n"')]
    totals = {name for name, (kind, _) in found.items() if kind == "gauge" and name.endswith("_total")}
    sockets = {f"container_network_{one}_usage_total" for one in ("tcp", "tcp6", "udp", "udp6")}
    assert totals == {"container_fs_inodes_total", *sockets}
    unnamed = {name for name, (kind, _) in found.items() if kind == "counter" and not name.endswith("_total")}
    assert unnamed == {"container_memory_failcnt", "container_hugetlb_failcnt"}
