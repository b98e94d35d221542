"""Which containers are shown, and in what order."""

from __future__ import annotations

import pytest

from inspector.views.cells import Scene
from inspector.views.selection import SORTS, Selection, matches, select, sort_key
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
    assert matches(container("web"), words) is found
