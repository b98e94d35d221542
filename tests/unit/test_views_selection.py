"""Which containers are shown, and in what order."""

from __future__ import annotations

import signal

import pytest

from inspector.ctop.patience import TooSlow, at_most
from inspector.views.columns import COLUMNS
from inspector.views.filters import filter_of
from inspector.views.scene import Scene
from inspector.views.selection import SORTS, Selection, select, sort_key
from tests.unit.documents import container

SCENE = Scene(cpus=2)


def names(selection: Selection, *containers: object) -> list[str]:
    """Return the names shown, in order."""
    return [row["name"] for row in select(containers, selection, SCENE)]  # type: ignore[arg-type]


def test_services_and_control_groups_only_with_all() -> None:
    """Containers are shown, and everything else when it is asked for."""
    rows = (container("web"), container("nginx.service", kind="service"), container("/batch", kind="cgroup"))
    assert names(Selection(), *rows) == ["web"]
    assert names(Selection(every=True, sort="name"), *rows) == ["/batch", "nginx.service", "web"]


def test_unknown_values_are_last_in_both_directions() -> None:
    """A container whose CPU is not known comes after those with 0, also when the order is reversed."""
    rows = (container("new", cpu={"usage_cores": None}), container("idle", cpu={"usage_cores": 0.0}), container("busy"))
    assert names(Selection(), *rows) == ["busy", "idle", "new"]
    assert names(Selection(reverse=True), *rows) == ["idle", "busy", "new"]


def test_cpu_sorts_by_what_is_shown() -> None:
    """When CPU % is of the limit, a small container at its limit is above a large one far from it."""
    rows = [container("small", cpu={"usage_cores": 0.1, "limit_ratio": 1.0}),
            container("large", cpu={"usage_cores": 1.0, "limit_ratio": 0.5})]  # fmt: skip
    assert [row["name"] for row in select(rows, Selection(), Scene(cpu="core"))] == ["large", "small"]
    assert [row["name"] for row in select(rows, Selection(), Scene(cpu="limit"))] == ["small", "large"]


def test_throttled_by_an_ancestor_counts_as_throttled() -> None:
    """The order by throttling takes the larger of the own and the inherited share."""
    child = container("child", cpu={"throttled_ratio": 0.0, "inherited_throttled_ratio": 0.9})
    assert names(Selection(sort="throttled"), container("own", cpu={"throttled_ratio": 0.5}), child) == ["child", "own"]


@pytest.mark.parametrize("name", [*SORTS, "memory.usage_bytes", "cpu.limit_set_by"])
def test_every_field_sorts(name: str) -> None:
    """Each short name and any field of the document gives an order of all containers."""
    assert len(names(Selection(sort=name), container("a"), container("b", runtime=None, pid=None))) == 2


def test_an_unknown_field_is_refused() -> None:
    """There is no order by a field that does not exist."""
    with pytest.raises(KeyError):
        sort_key("memory.nonsense")


@pytest.mark.parametrize(
    ("words", "found"),
    [("", True), ("WEB", True),
     ("nginx:1.25", True), ("docker", True), ("runtime:docker", True), ("name:docker", False), ("web docker", True),
     ("web podman", False), ("label:team=shop", True), ("id:web-0123", True),
     ("kind:service", False),
     ("[", False), ("name:", False)],
)  # fmt: skip
def test_filter(words: str, found: bool) -> None:
    """All words must be found; KEY:WORD looks at one value; an unknown key is an ordinary word."""
    assert filter_of(words).matches(container("web")) is found


FOUND = {"code": "cpu-throttled", "severity": "critical", "text": "throttled"}


@pytest.mark.parametrize(
    ("words", "found"),
    [("runtime:podman|runtime:docker", True), ("runtime:docker|runtime:podman", True), ("runtime:lxc|name:web", True),
     ("podman|runtime:docker", True), ("runtime:podman|name:db", False), ("name:db|docker", False),
     ("name:db|image:/^nginx/", True),
     ("web|db", True), ("db|cache", False), ("db|web podman|docker", True), ("runtime:podman|docker", True),
     ("name:docker|podman", False), ("/^WEB$/", True), ("/^eb/", False), (r"/^we\w$/", True), ("image:/^nginx/", True),
     ("name:/nginx/", False), ("finding:throttled", True), ("finding:critical", True), ("finding:warning", False),
     ("FINDING:/./", True), ("|", False), ("//", False), ("/", False), ("/web|db/", True)],
)  # fmt: skip
def test_alternatives_patterns_and_findings(words: str, found: bool) -> None:
    """A|b is either, /x/ is a pattern, finding: looks at codes and severities; as on the exporter's page."""
    assert bool(filter_of(words).matches(container("web", findings=[FOUND]))) is found
    assert filter_of(words).problem is None


@pytest.mark.parametrize("words", ["/[/", "name:/(/", "/" + "a" * 201 + "/", "/a{99999999999}/", "/*/"])
def test_a_bad_pattern_is_named_and_shuts_nobody_out(words: str) -> None:
    """What is wrong is said; the other words still count."""
    assert words.removeprefix("name:") in (filter_of(words).problem or "")
    assert filter_of(words).matches(container("web"))
    assert not filter_of(words + " nobody").matches(container("web"))


def test_a_pattern_for_the_ages_is_given_up() -> None:
    """A pattern that would take years ends after the time it is given; a quick one is not disturbed."""
    rows = [container("a" * 64 + "b")]
    before = signal.getsignal(signal.SIGVTALRM)
    with at_most(0.1), pytest.raises(TooSlow):
        select(rows, Selection(words="/(a+)+$/"), SCENE)
    with at_most(60):
        assert select(rows, Selection(words="/a+b$/"), SCENE) == rows
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_memory_has_four_meanings() -> None:
    """Memory sorts by the meaning that is chosen."""
    keys = ("usage_bytes", "working_set_bytes", "anon_bytes", "unreclaimable_bytes")
    large = container("cache", memory=dict(zip(keys, (9, 1, 5, 2), strict=True)))
    other = container("heap", memory=dict(zip(keys, (8, 2, 4, 3), strict=True)))
    first = {
        mode: select([large, other], Selection(sort="mem"), Scene(memory=mode))[0]["name"]
        for mode in ("working-set", "usage", "anon", "fixed")
    }
    assert first == {"working-set": "heap", "usage": "cache", "anon": "cache", "fixed": "heap"}


def test_findings_sort_by_how_bad_they_are() -> None:
    """The worst finding first, then how many; without any last, the column's mark and its note alike."""
    info = {**FOUND, "severity": "info"}
    rows = [container("none"), container("infos", findings=[info, info]), container("bad", findings=[FOUND])]
    for name in ("note", "mark"):
        assert [one["name"] for one in select(rows, Selection(sort=name), SCENE)] == ["bad", "infos", "none"]


def test_every_column_sorts() -> None:
    """Whatever is shown, there is an order by it."""
    assert all(callable(sort_key(column.name)) for column in COLUMNS)
