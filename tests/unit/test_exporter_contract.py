"""What dashboards made for cAdvisor rely on: the families, their labels, their types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import parser

from exporter.collectors import COLLECTORS, headers
from tests.testbed.commands import REPOSITORY
from tests.unit.exporting import WEB, machine, more, parsed, scraper, series_of, text_of, weighed

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
    "machine_cpu_cores": {"machine_id", "boot_id", "system_uuid"},
    "machine_memory_bytes": {"machine_id", "boot_id", "system_uuid"},
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


def cadvisors() -> Iterator[tuple[bool, str, str, frozenset[str]]]:
    """Yield each of cAdvisor's metrics: whether it is ours too, its type, name, and labels beside the common ones."""
    for line in Path(REPOSITORY, "tests", "data", "cadvisor_metrics.txt").read_text(encoding="utf-8").splitlines():
        if line[:2] in ("+ ", "- "):
            kind, name, *labels = line[2:].split()
            yield line[0] == "+", kind, name, frozenset(labels)


def test_every_metric_of_cadvisor_is_the_same_or_left_out_for_a_reason(tmp_path: Path) -> None:
    """All of cAdvisor's names: those that are ours have its type and its labels, no more and no fewer."""
    found: dict[str, set[tuple[str, frozenset[str]]]] = {}
    for layout in ("v2", "hybrid"):
        fake = machine(tmp_path / layout, layout)
        more(fake)
        with fake.open() as host:
            scrape = scraper(host, *COLLECTORS)
            text = weighed(scrape)
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                kind = "gauge" if sample.name.endswith("_info") else family.type
                labels = frozenset(sample.labels) - {"id", "name", "image"}
                found.setdefault(sample.name, set()).add((kind, labels))
    ours = {name: {(kind, labels)} for same, kind, name, labels in cadvisors() if same}
    # The reference parser calls a counter without "_total" otherwise than Prometheus does.
    renamed = {f"{name}_total": name for name in ("container_memory_failcnt", "container_hugetlb_failcnt")}
    found = {renamed.get(name, name): told for name, told in found.items()}
    assert headers(COLLECTORS.values())["container_hugetlb_max_usage_bytes"][0] == "gauge"  # v1's, and not on these
    assert {name: told for name, told in found.items() if name in ours} | {
        "container_hugetlb_max_usage_bytes": {("gauge", frozenset({"pagesize"}))}
    } == ours
    assert not {name for same, _, name, _ in cadvisors() if not same} & found.keys()
    said = f"Of its {len(list(cadvisors()))} metrics {len(ours)} are there"
    assert said in Path(REPOSITORY, "README.md").read_text(encoding="utf-8")


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
    assert totals == {"container_fs_inodes_total", "container_network_advance_tcp_stats_total", *sockets}
    unnamed = {name for name, (kind, _) in found.items() if kind == "counter" and not name.endswith("_total")}
    assert unnamed == {"container_memory_failcnt", "container_hugetlb_failcnt"}
