"""Which collectors run: --collector.NAME, --no-collector.NAME and what goes with them."""

from __future__ import annotations

import pytest

from exporter.collectors import COLLECTORS, DEFAULTS, selected
from exporter.options import parser
from exporter.sight import Options
from tests.fakehost import FakeHost
from tests.unit.exporting import machine


def chosen(*options: str) -> frozenset[str]:
    """Return the collectors that a command line selects."""
    return selected(parser().parse_args(options)).names


def test_collectors_are_turned_on_and_off() -> None:
    """Defaults run; a named one runs too, one named with no- does not; without defaults only those that are named."""
    assert chosen() == DEFAULTS
    assert chosen("--collector.tcp", "--no-collector.memory") == DEFAULTS - {"memory"} | {"tcp"}
    assert chosen("--collector.disable-defaults", "--collector.cpu") == {"cpu"}
    assert chosen("--collector.disable-defaults") == frozenset()


def test_labels_and_processes_are_bounded() -> None:
    """Labels are named one by one, and how many processes are shown is a small number."""
    arguments = parser().parse_args(["--collector.labels=com.docker.compose.service,team,team"])
    assert selected(arguments).options == Options(("com.docker.compose.service", "team"), 5)
    many = ",".join(f"l{number}" for number in range(40))
    for bad in ("--collector.labels=a b", f"--collector.labels={many}", "--collector.top.processes=0",
                "--collector.top.processes=1000", "--collector.labels=ä", "--collector.top.processes=x"):  # fmt: skip
        with pytest.raises(SystemExit) as error:
            parser().parse_args([bad])
        assert error.value.code == 2


def test_no_metric_is_told_by_two_collectors() -> None:
    """Each metric is one collector's, but the usage of filesystems: a container's is the size of its layer."""
    told = [metric for one in COLLECTORS.values() for metric in one.metrics]
    assert {metric for metric in told if told.count(metric) > 1} == {"container_fs_usage_bytes"}


def test_only_what_is_told_is_read(tmp_path: object) -> None:
    """Huge pages and processes are read only for the collectors that tell them; the rest of a tick is ctop's."""
    fake: FakeHost = machine(tmp_path)  # type: ignore[arg-type]
    fake.cgroup("", "/docker/" + "4f5e" * 16, {"hugetlb.2MB.current": "0\n", "hugetlb.2MB.max": "max\n"})
    with fake.open() as host:
        plain = selected(parser().parse_args([])).observer(host).tick()
        more = selected(parser().parse_args(["--collector.hugetlb", "--collector.top"])).observer(host).tick()
    assert not plain.processes
    assert not [key for key in plain.readings if key[0] == "hugetlb"]
    assert more.processes
    assert [key for key in more.readings if key[0] == "hugetlb"]
