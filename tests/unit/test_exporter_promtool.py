"""Prometheus' own tool judges the page and the example configuration."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.collectors import COLLECTORS
from tests.unit.exporting import add, machine, more, scraper, text_of

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian package prometheus)")

# cAdvisor's own names, kept because dashboards and alerts use them.
EXCEPTIONS = {
    "cadvisor_version_info": "label names should be written in 'snake_case' not 'camelCase'",
    "container_fs_inodes_total": 'non-counter metrics should not have "_total" suffix',
    "container_hugetlb_failcnt": 'counter metrics should have "_total" suffix',
    "container_memory_failcnt": 'counter metrics should have "_total" suffix',
    "container_network_advance_tcp_stats_total": 'non-counter metrics should not have "_total" suffix',
    "container_network_tcp6_usage_total": 'non-counter metrics should not have "_total" suffix',
    "container_network_tcp_usage_total": 'non-counter metrics should not have "_total" suffix',
    "container_network_udp6_usage_total": 'non-counter metrics should not have "_total" suffix',
    "container_network_udp_usage_total": 'non-counter metrics should not have "_total" suffix',
}


def everything(root: Path) -> str:
    """Return a page with every metric that a machine can have."""
    fake = machine(root, "hybrid")
    more(fake)
    add(fake, f"/docker/{'ab' * 32}", pid=777, name="other", space=5)
    with fake.open() as host:
        return text_of(scraper(host, *COLLECTORS).page())


def test_promtool_finds_nothing_but_cadvisors_own_names(tmp_path: Path) -> None:
    """`promtool check metrics` of a page with every metric complains of the listed names alone."""
    page = everything(tmp_path)
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert set(done.stderr.splitlines()) == {f"{metric} {complaint}" for metric, complaint in EXCEPTIONS.items()}


def test_without_the_exceptions_promtool_is_content(tmp_path: Path) -> None:
    """Nothing else is wrong: the same page less those metrics passes with exit code 0."""
    page = everything(tmp_path)
    rest = "".join(line for line in page.splitlines(keepends=True) if not any(name in line for name in EXCEPTIONS))
    assert rest != page
    done = subprocess.run(["promtool", "check", "metrics"], input=rest, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_configuration_is_valid() -> None:
    """`promtool check config` accepts dashboards/prometheus.yml, whose job is cAdvisor's."""
    config = ROOT / "dashboards" / "prometheus.yml"
    subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, check=True)
    assert "job_name: cadvisor" in config.read_text()
