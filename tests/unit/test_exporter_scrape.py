"""The page of one scrape, and what becomes of it when a part fails."""

from __future__ import annotations

import logging
import re

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from exporter.scrape import Scraper
from inspector.schema import Document
from tests.unit.exporter_documents import busy, container, document


def broken() -> Document:
    """Stand for a look at the machine that fails."""
    raise OSError(5, "Input/output error")


def test_both_formats_are_whole_pages() -> None:
    """The reference parsers accept the page in either format, with the same sample names in both."""
    scraper = Scraper(lambda: document(busy()))
    text, openmetrics = scraper.page().text(), scraper.page(openmetrics=True).text()
    assert openmetrics.endswith("\n# EOF\n")
    assert openmetrics.count("# EOF") == 1
    list(parser.text_string_to_metric_families(text))
    list(openmetrics_parser.text_string_to_metric_families(openmetrics))  # type: ignore[no-untyped-call]
    names = re.compile(r"^(\w+)", re.MULTILINE)
    assert set(names.findall(text)) == set(names.findall(openmetrics))


def test_the_page_has_the_exporter_itself() -> None:
    """Version, the exporter's own CPU time and descriptors, and each collector's success and duration are there."""
    text = Scraper(lambda: document(container())).page().text()
    assert re.search(r'^cgscope_build_info{version="[^"]+"} 1$', text, re.MULTILINE)
    assert "\nprocess_cpu_seconds_total " in text
    assert "\nprocess_open_fds " in text
    assert 'cgscope_scrape_collector_success{collector="containers"} 1\n' in text
    assert 'cgscope_scrape_collector_success{collector="process"} 1\n' in text
    seconds = re.search(r'^cgscope_scrape_collector_duration_seconds{collector="containers"} (.+)$', text, re.MULTILINE)
    assert seconds
    assert 0 < float(seconds[1]) < 10


def test_samples_have_no_timestamp() -> None:
    """A sample is a name, its labels and one value: with a timestamp, a dead container would stay for 5 minutes."""
    lines = Scraper(lambda: document(busy())).page().text().splitlines()
    assert not [line for line in lines if not line.startswith("#") and len(re.sub("{.*}", "", line).split(" ")) != 2]


def test_a_failed_collector_leaves_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """When the machine cannot be read, the page says so, has the rest, and the reason is logged."""
    with caplog.at_level(logging.ERROR):
        page = Scraper(broken).page(openmetrics=True)
    assert not page.ok
    text = page.text()
    assert 'cgscope_scrape_collector_success{collector="containers"} 0\n' in text
    assert 'cgscope_scrape_collector_success{collector="process"} 1\n' in text
    assert "\nprocess_cpu_seconds_total " in text
    assert "container_" not in text
    assert text.endswith("# EOF\n")
    assert "Input/output error" in caplog.text


def test_names_pick_families() -> None:
    """`name[]` leaves only those metrics, ours and the exporter's own alike."""
    scraper = Scraper(lambda: document(busy()))
    names = ["container_cpu_cfs_periods_total", "process_open_fds", "no_such_metric"]
    for openmetrics in (False, True):
        lines = scraper.page(openmetrics=openmetrics, names=names).text().splitlines()
        samples = [line for line in lines if not line.startswith("#")]
        assert [re.split("[ {]", line)[0] for line in samples] == names[:2]


def test_every_scrape_looks_anew() -> None:
    """Two scrapes are two looks; making the scraper looks not at all."""
    looks = []

    def look() -> Document:
        looks.append(1)
        return document()

    scraper = Scraper(look)
    assert not looks
    scraper.page()
    scraper.page()
    assert len(looks) == 2
