"""The page of one scrape: both formats, what was asked for, who shares a look, and what fails."""

from __future__ import annotations

import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from exporter.collectors import COLLECTORS
from exporter.text import clean
from inspector.kernel.controllers import Cpu, Pids
from inspector.model import Observation
from tests.testbed.processes import until
from tests.unit import parts
from tests.unit.exporting import machine, made, more, observed, parsed, scraper, series_of, sharing, text_of, weighed


def broken() -> Observation:
    """Stand for a look at the machine that fails."""
    raise OSError(5, "Input/output error")


def read(text: str, *, openmetrics: bool) -> list[tuple[str, dict[str, str], float]]:
    """Return the samples of a page as the reference parser of its format reads them."""
    if openmetrics:
        families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    else:
        families = parser.text_string_to_metric_families(text)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


HOSTILE = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from('\\"\n{}=,# \x1b\udcff\u202e'), max_size=20
)


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=3), st.booleans())
def test_hostile_names_give_the_same_series_in_both_formats(names: list[str], openmetrics: bool) -> None:
    """Whatever containers are called, the reference parsers read their names, as cleaned, and no series twice."""
    page = made(lambda: observed(*names), own=False).page(openmetrics=openmetrics)
    samples = read(text_of(page), openmetrics=openmetrics)
    assert page.ok
    threads = [labels["name"] for name, labels, value in samples if name == "container_threads" and value == 3]
    assert threads == [clean(name) for name in names]
    assert len({(name, frozenset(labels.items())) for name, labels, _ in samples}) == len(samples)


def test_both_formats_are_whole_pages(tmp_path: Path) -> None:
    """The reference parsers accept every metric of all collectors in either format, with the same names in both."""
    fake = machine(tmp_path)
    more(fake)
    with fake.open() as host:
        scrape = scraper(host, *COLLECTORS)
        text = weighed(scrape)
        openmetrics = text_of(scrape.page(openmetrics=True))
    assert openmetrics.endswith("\n# EOF\n")
    assert openmetrics.count("# EOF") == 1
    read(text, openmetrics=False)
    read(openmetrics, openmetrics=True)
    names = re.compile(r"^(\w+)", re.MULTILINE)
    assert set(names.findall(text)) == set(names.findall(openmetrics))
    heads = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(heads) == len(set(heads))


def test_the_page_has_the_exporter_itself() -> None:
    """Version, the exporter's own CPU time and descriptors, and each collector's success and duration are there."""
    text = text_of(made(observed).page())
    assert re.search(r'^cgscope_build_info{version="[^"]+"} 1$', text, re.MULTILINE)
    assert "\nprocess_cpu_seconds_total " in text
    assert "\nprocess_open_fds " in text
    for collector in ("containers", "cpu", "process"):
        assert f'cgscope_scrape_collector_success{{collector="{collector}"}} 1\n' in text
    seconds = re.search(r'^cgscope_scrape_collector_duration_seconds{collector="containers"} (.+)$', text, re.MULTILINE)
    assert seconds
    assert 0 < float(seconds[1]) < 10


def test_samples_have_no_timestamp() -> None:
    """A sample is a name, its labels and one value: with a timestamp, a dead container would stay for 5 minutes."""
    lines = text_of(made(lambda: observed("web")).page()).splitlines()
    assert not [line for line in lines if not line.startswith("#") and len(re.sub("{.*}", "", line).split(" ")) != 2]


def test_a_look_that_fails_leaves_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """When the machine cannot be read, every collector says so, the exporter's own figures remain, and it is logged."""
    with caplog.at_level(logging.ERROR):
        page = made(broken).page(openmetrics=True)
    assert not page.ok
    text = text_of(page)
    for collector in ("containers", "cpu", "memory"):
        assert f'cgscope_scrape_collector_success{{collector="{collector}"}} 0\n' in text
    assert 'cgscope_scrape_collector_success{collector="process"} 1\n' in text
    assert "\nprocess_cpu_seconds_total " in text
    assert re.findall("^container_.*", text, re.MULTILINE) == ["container_scrape_error 1"]
    assert text.endswith("# EOF\n")
    assert "Input/output error" in caplog.text


def test_names_pick_metrics() -> None:
    """`name[]` leaves only those metrics, ours and the exporter's own alike."""
    scrape = made(lambda: observed("web"))
    names = ["container_cpu_cfs_periods_total", "process_open_fds", "no_such_metric"]
    for openmetrics in (False, True):
        lines = text_of(scrape.page(openmetrics=openmetrics, names=names)).splitlines()
        assert [re.split("[ {]", line)[0] for line in lines if not line.startswith("#")] == names[:2]


def test_a_finding_alone_rests_on_limits_all_the_same() -> None:
    """What one metric needs of another collector is read though that one was not asked for."""
    full = parts.observation(
        100.0, containers=[parts.container()], readings={("pids", "/docker/web"): Pids(current=99, limit=100)}
    )
    page = made(lambda: full, own=False).page(names=["container_finding"])
    assert series_of(parsed(text_of(page)), "container_finding", code="pids-near-limit") == [1]


def test_collect_picks_collectors() -> None:
    """`collect[]` leaves only those collectors; one that does not run here is named in the error."""
    scrape = made(lambda: observed("web"))
    text = text_of(scrape.page(collect=["cpu"]))
    assert "container_spec_cpu_quota" in text
    assert "container_memory_usage_bytes" not in text
    assert "process_cpu_seconds_total" not in text
    assert re.findall('success{collector="(.*)"}', text) == ["containers", "cpu"]
    assert "process_cpu_seconds_total" in text_of(scrape.page(collect=["process"]))
    with pytest.raises(ValueError, match="'tcp' is not a collector that runs here: cpu, findings"):
        scrape.page(collect=["cpu", "tcp"])


def test_scrapes_of_the_same_moment_share_a_look() -> None:
    """Eight scrapes, of either format, that come while one is under way get that one's samples."""
    started, go, looks = threading.Event(), threading.Event(), []

    def look() -> Observation:
        looks.append(1)
        started.set()
        assert go.wait(60)
        return observed("web")

    scrape = made(look)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(scrape.page)
        assert started.wait(60)
        others = [pool.submit(scrape.page, openmetrics=number % 2 == 0) for number in range(7)]
        until(lambda: sharing() == 7, "the others to wait")
        go.set()
        pages = [one.result() for one in (first, *others)]
    assert len(looks) == 1
    assert all('container_threads{id="/docker/c0",name="web",image="nginx"} 3\n' in text_of(page) for page in pages)


def test_every_scrape_looks_anew() -> None:
    """Two scrapes one after the other are two looks; making the scraper is none."""
    looks = []

    def look() -> Observation:
        looks.append(1)
        return observed("web")

    scrape = made(look)
    assert not looks
    scrape.page()
    scrape.page()
    assert len(looks) == 2


def test_throttling_is_judged_over_the_time_since_an_earlier_scrape() -> None:
    """Two scrapers a moment apart both see the throttling since the scrape before them."""
    one, key = observed("web"), ("cpu", "/docker/c0")
    looks = iter([
        one._replace(
            monotonic=at,
            readings={**one.readings, key: Cpu(20000, 100000, periods=count, throttled_periods=count)},
        )
        for at, count in ((100.0, 10), (115.0, 160), (115.1, 161))
    ])  # fmt: skip
    scrape = made(lambda: next(looks), own=False)
    found = [series_of(parsed(text_of(scrape.page())), "container_finding", code="cpu-throttled") for _ in range(3)]
    assert found == [[], [1], [1]]
