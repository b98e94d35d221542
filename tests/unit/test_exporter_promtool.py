"""Prometheus' own tool judges the page and the example configuration."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.scrape import Scraper
from inspector.schema import Document
from tests.unit.exporter_documents import busy, container, document

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian package prometheus)")

# cAdvisor's name, kept because alerts use it; promtool would have its counters end in "_total".
EXCEPTIONS = ['container_memory_failcnt counter metrics should have "_total" suffix']


def everything() -> Document:
    """Return a document from which every metric is made."""
    return document(busy(), container(id="b", cpu={"source": "processes", "usage_seconds": 5}))


def test_promtool_finds_nothing_but_cadvisors_own_names() -> None:
    """`promtool check metrics` of a page with every metric complains of the listed names alone."""
    page = Scraper(everything).page().text()
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines() == EXCEPTIONS


def test_without_the_exceptions_promtool_is_content() -> None:
    """Nothing else is wrong: the same page less those metrics passes with exit code 0."""
    page = Scraper(everything).page().text()
    rest = "".join(line for line in page.splitlines(keepends=True) if "container_memory_failcnt" not in line)
    assert rest != page
    done = subprocess.run(["promtool", "check", "metrics"], input=rest, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_configuration_is_valid() -> None:
    """`promtool check config` accepts dashboards/prometheus.yml, whose job is cAdvisor's."""
    config = ROOT / "dashboards" / "prometheus.yml"
    subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, check=True)
    assert "job_name: cadvisor" in config.read_text()
