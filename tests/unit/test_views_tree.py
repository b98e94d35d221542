"""The tree: pods, containers in containers, cgroups by path."""

from __future__ import annotations

from inspector.schema import Container
from inspector.views.cells import name
from inspector.views.header import header
from inspector.views.scene import Scene
from inspector.views.selection import Selection
from inspector.views.tree import is_group, tree
from tests.unit.documents import container, document

BY_NAME = Selection(sort="name")


def lines(rows: list[Container], selection: Selection = BY_NAME, *folded: str) -> list[str]:
    """Return the names as the tree shows them; one that is dim is in brackets."""
    made = tree(rows, selection, Scene(), folded)
    shown = []
    for one in made.rows:
        stem = made.stems[one["id"]]
        text = one["name"].removeprefix(stem.above)
        assert name(one, Scene(stems=made.stems)) == (f"{stem.before}{text}{stem.behind}", "")
        text = f"{stem.before}{text}{stem.behind}"
        shown.append(f"[{text}]" if stem.dim else text)
    return shown


def at(path: str, name: str, **changes: object) -> Container:
    """Return a container in one cgroup."""
    return container(name, **changes) | {"cgroups": {"cpu": path}}


def ident(name: str) -> str:
    """Return the id of a container of that name."""
    return container(name)["id"]


def test_pods_containers_and_what_is_in_them() -> None:
    """A pod is above its containers, a container above those in it; siblings are in order."""
    rows = [
        container("web", pod="shop"), container("sidecar", pod="shop"), container("alone"),
        container("inner", parent=ident("alone")), container("innermost", parent=ident("inner"), pod="shop"),
    ]  # fmt: skip
    assert lines(rows) == ["alone", "└─ inner", "   └─ innermost", "shop", "├─ sidecar", "└─ web"]
    assert lines(rows, Selection(sort="name", reverse=True)) == [
        "shop", "├─ web", "└─ sidecar", "alone", "└─ inner", "   └─ innermost",
    ]  # fmt: skip


def test_a_pods_row_has_the_sums() -> None:
    """What is known below is added up; what nobody knows is unknown."""
    one = container("web", pod="shop", cpu={"usage_cores": 0.5}, memory={"swap_bytes": None}, findings=[])
    other = container("sidecar", pod="shop", cpu={"usage_cores": None}, memory={"swap_bytes": None})
    pod = tree([one, other], BY_NAME, Scene()).rows[0]
    assert is_group(pod)
    assert pod["cpu"]["usage_cores"] == 0.5
    assert pod["memory"]["swap_bytes"] is None
    assert pod["memory"]["working_set_bytes"] == 2 * (one["memory"]["working_set_bytes"] or 0)
    assert (pod["pid"], pod["cpu"]["limit_cores"], pod["members"]) == (None, None, 6)


def test_a_folded_row_says_how_many_it_hides() -> None:
    """Folding hides everything below."""
    rows = [container("web"), container("inner", parent=ident("web")), container("deep", parent=ident("inner"))]
    assert lines(rows, BY_NAME, ident("web")) == ["+ web (1)"]
    assert lines(rows, BY_NAME, ident("inner")) == ["web", "└─ + inner (1)"]


def test_the_filter_keeps_what_is_above_a_match() -> None:
    """A parent that does not match itself is there, dim."""
    rows = [container("web", pod="shop"), container("inner", parent=ident("web")), container("other")]
    assert lines(rows, Selection(words="name:inner", sort="name")) == ["[shop]", "[└─ web]", "   └─ inner"]
    assert lines(rows, Selection(words="nobody")) == []


def test_services_and_cgroups_by_path() -> None:
    """With every kind a row is below the next cgroup above it, and neighbours without one below their directory."""
    rows = [
        at("/system.slice/docker-1.scope", "web"), at("/system.slice/nginx.service", "nginx", kind="service"),
        at("/batch", "batch", kind="cgroup"), at("/batch/a/b", "job", kind="cgroup"),
    ]  # fmt: skip
    assert lines(rows) == ["web"]
    assert lines(rows, Selection(every=True, sort="name")) == [
        "/system.slice/", "├─ nginx", "└─ web", "batch", "└─ job",
    ]  # fmt: skip


def group(path: str, **others: str) -> Container:
    """Return a control group as it is called on a machine, with its paths in other hierarchies."""
    return container(path, kind="cgroup", id=path) | {"cgroups": {"cpu": path, **others}}


def test_a_path_is_not_said_twice() -> None:
    """Below a cgroup or a directory of them only the rest of a path is shown, and of a container its name."""
    rows = [group("/jobs"), group("/jobs/one"), group("/jobs/one/deep"), group("/apps/a"), group("/apps/b"),
            at("/jobs/one/c", "/jobs/one/web")]  # fmt: skip
    assert lines(rows, Selection(every=True, sort="name")) == [
        "/apps/", "├─ a", "└─ b", "/jobs", "└─ one", "   ├─ deep", "   └─ /jobs/one/web",
    ]  # fmt: skip


def test_hierarchies_that_differ() -> None:
    """The root of one hierarchy is no deeper than a path in another; a cgroup and a directory have not one name."""
    rows = [group("/api", cpu="/", memory="/api"), group("/api/x", cpu="/", memory="/api/x"),
            group("/api/y", cpu="/", memory="/api/y")]  # fmt: skip
    assert lines(rows, Selection(every=True, sort="name")) == ["/api", "├─ x", "└─ y"]
    rows = [group("/api", cpu="/elsewhere/deep", memory="/api"), group("/api/x"), group("/api/y")]
    assert lines(rows, Selection(every=True, sort="name")) == ["/api", "├─ x", "└─ y"]
    rows = [group("/api") | {"parent": ident("web")}, group("/api/x"), group("/apps/x"), group("/apps/y"),
            container("/apps", parent=ident("web")), at("/else", "web")]  # fmt: skip
    assert lines(rows, Selection(every=True, sort="name")) == [
        "/apps/", "├─ x", "└─ y", "web", "├─ /api", "│  └─ x", "└─ /apps",
    ]  # fmt: skip


def test_a_circle_loses_nobody() -> None:
    """Two containers that claim to be in each other, and one in itself, are all shown."""
    rows = [
        container("a", parent=ident("b")), container("b", parent=ident("a")), container("c", parent=ident("c")),
        container("d", parent="nowhere"),
    ]  # fmt: skip
    assert sorted(lines(rows)) == ["a", "b", "c", "d"]


def test_a_deep_tree() -> None:
    """A thousand containers in each other are no trouble."""
    rows = [container(f"c{depth:04}", parent=ident(f"c{depth - 1:04}")) for depth in range(1000)]
    assert len(lines(rows)) == 1000


def test_the_header_counts_containers() -> None:
    """A row that only the tree has is none of what there is."""
    rows = [container("web", pod="shop"), container("sidecar", pod="shop")]
    made = tree(rows, BY_NAME, Scene())
    assert len(made.rows) == 3
    last = header(document(*rows), Scene(), made.rows)[-1]
    assert last[0] == ("2 of 2 shown", "")
