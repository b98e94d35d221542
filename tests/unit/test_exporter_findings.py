"""Findings as series: what they are drawn from is what the document has, and they are there while it is so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from exporter.collectors import Selection
from exporter.families.findings import Basis, bases, evidence
from exporter.scrape import Scraper
from exporter.subjects import Subjects
from inspector.document import document
from inspector.findings import findings
from inspector.kernel.controllers import Cpu
from inspector.observe import Observer
from inspector.rates import Interval
from tests.unit import parts
from tests.unit.exporting import PATH, WEB, machine, made, observed, parsed, scraper, series_of, text_of


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_findings_are_those_of_the_document(tmp_path: Path, layout: str) -> None:
    """What findings are drawn from is the same as in the JSON document, throttling since the last look included."""
    fake = machine(tmp_path, layout)
    controller, name = ("cpu", "cpu.stat") if layout == "v1" else ("", "cpu.stat")
    with fake.open() as host:
        observer = Selection().observer(host)
        before = observer.tick()
        later = "nr_periods 1010\nnr_throttled 1000\nthrottled_usec 1\nusage_usec 12600000\n"
        fake.cgroup(controller, PATH, {name: later})
        if layout == "v2":
            files = {f"{name}.pressure": stalls(20 * place, 30 * place) for place, name in enumerate(STALLS, 1)}
            fake.cgroup("", PATH, files)
        time.sleep(0.01)
        after = observer.tick()
        interval = Interval(before, after)
        roll = Subjects().of(after)
        judged = zip(roll, bases(interval, roll, [None] * len(roll)), strict=True)
        shown = [(one.container, Basis._make(basis)) for one, basis in judged if one.container]
        documents = document(before, after)["containers"]
        for (one, basis), whole in zip(shown, documents, strict=True):
            part = evidence(one, basis, after.own)
            for group, key in (("cpu", "throttled_ratio"), ("cpu", "throttled_by"), ("pids", "current"),
                               ("memory", "unreclaimable_bytes"), ("network", "shared_with_host"),
                               *((name, f"pressure_full_avg{seconds}") for name in STALLS for seconds in (10, 60)),
                               ):  # fmt: skip
                assert part[group][key] == whole[group][key], key  # type: ignore[literal-required]
        web = next(one for one in documents if one["name"] == "web")
        assert "cpu-throttled" in [one["code"] for one in findings(web, after.own.namespaces)]


def test_a_finding_is_a_series_while_it_is_so(tmp_path: Path) -> None:
    """container_finding is 1 with code and severity, and gone when it is no more."""
    fake = machine(tmp_path)
    fake.cgroup("", PATH, {"pids.current": "99\n"})
    with fake.open() as host:
        scrape = scraper(host)
        first = parsed(text_of(scrape.page()))
        assert series_of(first, "container_finding", **WEB, code="pids-near-limit", severity="warning") == [1]
        fake.cgroup("", PATH, {"pids.current": "9\n"})
        assert not series_of(parsed(text_of(scrape.page())), "container_finding", **WEB, code="pids-near-limit")


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_what_a_cgroup_above_has_used_is_a_finding(tmp_path: Path, layout: str) -> None:
    """A neighbour has all tasks and memory of what both are in: told of each, as in the document, while it is so."""
    above = PATH.rpartition("/")[0]
    memory, pids = ("memory", "pids") if layout == "v1" else ("", "")
    limit, total = ("memory.limit_in_bytes", "total_") if layout == "v1" else ("memory.max", "")
    stat = f"{total}inactive_anon {{}}\n{total}active_anon 0\n{total}unevictable 0\n"
    fake = machine(tmp_path, layout)
    fake.cgroup(memory, above, {limit: f"{100 << 20}\n", "memory.stat": stat.format(95 << 20)})
    fake.cgroup(pids, above, {"pids.current": "50\n", "pids.max": "50\n"})
    codes = {"memory-near-limit", "pids-near-limit"}

    def told(scrape: Scraper) -> set[str]:
        series = parsed(text_of(scrape.page()))
        of_web = (dict(labels) for name, labels in series if name == "container_finding" and ("name", "web") in labels)
        return {labels["code"] for labels in of_web}

    with fake.open() as host:
        scrape = scraper(host)
        assert told(scrape) >= codes
        texts = [one["text"] for one in document(None, Observer(host).tick())["containers"][0]["findings"]]
        assert f"50 of 50 tasks of {above}, above it: fork will fail at the limit" in texts
        left = "cannot be reclaimed: 5MiB to an OOM kill"
        assert f"95% of the memory limit of {above}, above it, {left}" in texts
        fake.cgroup(pids, above, {"pids.current": "44\n"})
        fake.cgroup(memory, above, {"memory.stat": stat.format(89 << 20)})
        assert not told(scrape) & codes
        assert document(None, Observer(host).tick())["containers"][0]["pids"]["limit"] == 50


STALLS = ("cpu", "memory", "io")


def stalls(late: float, lately: float) -> str:
    """Return a *.pressure file that says of which shares of the last 10 and 60 seconds all waited."""
    line = f"avg10={late:.2f} avg60={lately:.2f} avg300=0.00 total=1000000\n"
    return f"some {line}full {line}"


@pytest.mark.parametrize("resource", STALLS)
def test_a_stall_is_a_series_while_it_lasts(tmp_path: Path, resource: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one by the kernel's averages of the last 10 s and the last minute; of CPU, from the second scrape on."""
    for name in ("scrape.APART_SECONDS", "families.findings.LEAST_SECONDS"):
        monkeypatch.setattr(f"exporter.{name}", 0.0)
    fake = machine(tmp_path)
    with fake.open() as host:
        scrape = scraper(host)
        first: list[float] = [] if resource == "cpu" else [1]
        looks: list[tuple[float, float, list[float]]]
        looks = [(70, 70, first), (95, 5, []), (70, 70, [1]), (71, 69, [1]), (5, 69, [])]
        for number, (late, lately, expected) in enumerate(looks):
            # Its quota's periods go on, and it is stopped in none of them.
            of_quota = f"nr_periods {2000 + number}\nnr_throttled 990\nthrottled_usec 700250000\nusage_usec 12600000\n"
            fake.cgroup("", PATH, {f"{resource}.pressure": stalls(late, lately), "cpu.stat": of_quota})
            series = parsed(text_of(scrape.page()))
            told = {key for key in series if key[0] == "container_finding"}
            assert series_of(series, "container_finding", **WEB, code=f"{resource}-stalled") == expected, told


@pytest.mark.parametrize("throttled", [990, 1000])
def test_a_quota_in_it_explains_why_all_waits(tmp_path: Path, throttled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stopped by the quota of a cgroup in it is not short of CPUs, as in the document."""
    for name in ("scrape.APART_SECONDS", "families.findings.LEAST_SECONDS"):
        monkeypatch.setattr(f"exporter.{name}", 0.0)
    fake = machine(tmp_path)
    above = PATH.rpartition("/")[0]
    fake.cgroup("", above, {"cpu.pressure": stalls(95, 95), "cpu.stat": "usage_usec 5\n"})
    with fake.open() as host:
        scrape = scraper(host)
        scrape.page()
        later = f"nr_periods 1010\nnr_throttled {throttled}\nthrottled_usec 700250000\nusage_usec 12600000\n"
        fake.cgroup("", PATH, {"cpu.stat": later})
        series = parsed(text_of(scrape.page()))
    expected = [] if throttled == 1000 else [1]
    assert series_of(series, "container_finding", id=above, code="cpu-stalled") == expected


@pytest.mark.parametrize(("seconds", "told"), [(1.9, []), (2.0, [1]), (300.0, [1]), (300.1, [])])
def test_two_looks_that_a_share_of_periods_is_of(seconds: float, told: list[float]) -> None:
    """They are two seconds apart at least, and not so far that the share would be of times that are long gone."""
    first = observed("web")
    (key,) = [key for key in first.readings if key[0] == "cpu"]
    later = Cpu(quota_us=20000, period_us=100000, periods=15, throttled_periods=14, throttled_us=20)
    second = first._replace(monotonic=first.monotonic + seconds, readings={**first.readings, key: later})
    looks = iter([first, second])
    scrape = made(lambda: next(looks))
    scrape.page()
    assert series_of(parsed(text_of(scrape.page())), "container_finding", code="cpu-throttled") == told


def test_whose_network_it_is_cannot_be_told_from_inside() -> None:
    """From within a container the reader's own network is not the host's, and so the same one is no finding."""
    (one,) = observed("web").containers
    averages, throttled = (None,) * 6, (None,) * 3
    nothing = Basis(None, None, None, averages, None, None, throttled, is_timed=False, below=0.0, hollow=None)
    for inside, shared in ((False, True), (True, None)):
        own = parts.OWN._replace(inside_container=inside)
        assert evidence(one, nothing, own)["network"]["shared_with_host"] is shared
    alone = one._replace(leader=None)
    assert evidence(alone, nothing, parts.OWN)["network"]["shared_with_host"] is None
