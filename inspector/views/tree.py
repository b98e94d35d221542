"""Containers as a tree: pod > container > container in it, and with every kind what is where among the cgroups.

A pod, and a cgroup that is nothing by itself but holds others, is a row of its
own, made here: a `Container` whose figures are the sums of what is below it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from inspector.kernel.named import NamedTuple
from inspector.views.filters import filter_of
from inspector.views.scene import Scene, Stem
from inspector.views.selection import Selection, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from inspector.schema import Container

__all__ = ["POD", "SLICE", "Tree", "is_group", "tree"]

POD, SLICE = "pod ", "cgroup "
"""What the id of a row made here begins with."""
SUMS: Mapping[str, tuple[str, ...]] = {
    "cpu": ("usage_cores", "usage_seconds"),
    "memory": ("usage_bytes", "working_set_bytes", "anon_bytes", "unreclaimable_bytes", "swap_bytes", "oom_kills"),
    "pids": ("current",),
    "io": ("read_bytes_per_second", "write_bytes_per_second"),
    "network": ("receive_bytes_per_second", "transmit_bytes_per_second"),
}
Children = dict[str, list["Container"]]
ROOT = ""


class Tree(NamedTuple):
    """The rows from top to bottom, what stands beside their names, and which have something below them."""

    rows: list[Container]
    stems: Mapping[str, Stem]
    parents: Collection[str]


def is_group(container: Container) -> bool:
    """Tell whether a row is one that only a tree has."""
    return container["id"].startswith((POD, SLICE))


def tree(containers: Iterable[Container], selection: Selection, scene: Scene, folded: Collection[str] = ()) -> Tree:
    """Arrange what is selected; siblings are in its order. What only stands above a match of the filter is dim."""
    candidates = [one for one in containers if selection.every or one["kind"] == "container"]
    matching = filter_of(selection.words).matches
    matched = {one["id"] for one in candidates if matching(one)}
    children = _children(candidates, every=selection.every)
    wanted = _with_ancestors(children, matched)
    rows: list[Container] = []
    stems: dict[str, Stem] = {}
    for one, before, below, path in _walk(children, wanted, selection, scene, folded):
        rows.append(one)
        behind = f" ({below})" if one["id"] in folded and below else ""
        dim = bool(selection.words) and one["id"] not in matched
        stems[one["id"]] = Stem(before, behind, dim=dim, above=path if one["kind"] == "cgroup" else "")
    return Tree(rows, stems, children.keys())


def _children(candidates: list[Container], *, every: bool) -> Children:
    """Put everyone below its parent: the container around it, its pod, or the next cgroup above that is shown."""
    known = {one["id"]: one for one in candidates}
    paths = {_path(one): one["id"] for one in candidates if _path(one)} if every else {}
    above = {one["id"]: _parent(one, known, paths, every=every) for one in candidates}
    children: Children = {}
    for one in candidates:
        children.setdefault(ROOT if _in_circle(one["id"], above) else above[one["id"]], []).append(one)
    for group in [key for key in children if key.startswith(POD)]:
        children.setdefault(ROOT, []).append(_group(group, children[group], group.removeprefix(POD)))
    if every:
        _slices(children)
    return children


def _path(container: Container) -> str:
    """Return the path it is known by, or else the deepest of its cgroups, which says most. The root is ""."""
    paths = [path.rstrip("/") for path in container["cgroups"].values()]
    if container["id"] in paths:
        return container["id"]
    return max(paths, key=lambda path: path.count("/"), default="")


def _parent(one: Container, known: Mapping[str, Container], paths: Mapping[str, str], *, every: bool) -> str:
    if one["parent"] in known and one["parent"] != one["id"]:
        return one["parent"] or ROOT
    if one["pod"]:
        return POD + one["pod"]
    path = _path(one).rpartition("/")[0] if every else ""
    while path:
        if path in paths and paths[path] != one["id"]:
            return paths[path]
        path = path.rpartition("/")[0]
    return ROOT


def _in_circle(key: str, above: Mapping[str, str]) -> bool:
    """Tell whether someone is above itself, as only a document that lies can say."""
    seen = set()
    while key in above and key not in seen:
        seen.add(key)
        key = above[key]
    return key in seen


def _slices(children: Children) -> None:
    """Put what stands alone, and has neighbours in its directory, below a row for that directory.

    Its name ends with a slash, as no cgroup's does: one of the same path may be shown too, below what made it.
    """
    beside: Children = {}
    for one in children.get(ROOT, ()):
        beside.setdefault(_path(one).rpartition("/")[0] if not is_group(one) else "", []).append(one)
    alone = []
    for path, rows in beside.items():
        if path and len(rows) > 1:
            children[SLICE + path] = rows
            alone.append(_group(SLICE + path, rows, f"{path}/"))
        else:
            alone += rows
    children[ROOT] = alone


def _group(key: str, rows: Iterable[Any], name: str) -> Any:  # noqa: ANN401  mypy allows only literal keys
    """Return a row for a pod or a directory of cgroups, with the sums of `rows`."""
    rows = list(rows)
    blank: dict[str, Any] = {
        name: dict.fromkeys(value) if isinstance(value, dict) else None for name, value in rows[0].items()
    }
    for part, names in SUMS.items():
        for field in names:
            values = [value for one in rows if (value := one[part][field]) is not None]
            blank[part][field] = sum(values) if values else None
    blank["cpu"]["source"] = blank["memory"]["source"] = "cgroup"
    blank["rootfs"]["lower"], blank["network"]["shared_with"] = [], []
    blank |= {"id": key, "name": name, "kind": "cgroup", "runtime": key.partition(" ")[0], "image": "", "labels": {}}
    blank |= {"state": "", "members": sum(one["members"] for one in rows), "evidence": [], "cgroups": {}}
    blank |= {"namespaces": {}, "findings": []}
    return blank


def _with_ancestors(children: Children, matched: Collection[str]) -> set[str]:
    """Return the ids of the matched, and of everything above them."""
    above = {one["id"]: key for key, rows in children.items() for one in rows}
    wanted = set()
    for key in matched:
        while key and key not in wanted:
            wanted.add(key)
            key = above.get(key, ROOT)  # noqa: PLW2901  climbing is what the loop does
    return wanted


def _walk(
    children: Children, wanted: Collection[str], selection: Selection, scene: Scene, folded: Collection[str]
) -> Iterator[tuple[Container, str, int, str]]:
    """Yield the rows from top to bottom: what stands before each name, how many are right below it, where it is.

    The last is the path of the row above, if that is a cgroup's.
    """

    def below(key: str) -> list[Container]:
        rows = [one for one in children.get(key, ()) if one["id"] in wanted]
        return ordered(rows, selection, scene) if len(rows) > 1 else rows

    waiting = [(one, "", "", "") for one in reversed(below(ROOT))]
    while waiting:
        one, before, lead, above = waiting.pop()
        rows = below(one["id"])
        fold = "" if not rows else "+ " if one["id"] in folded else ""
        yield one, before + fold, len(rows), above
        if one["id"] not in folded:
            last = len(rows) - 1
            path = one["name"].rstrip("/") + "/" if one["kind"] == "cgroup" else ""
            waiting += reversed([
                (row, lead + ("└─ " if index == last else "├─ "), lead + ("   " if index == last else "│  "),
                 path)
                for index, row in enumerate(rows)
            ])  # fmt: skip
