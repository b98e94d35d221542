"""Whom the metrics are about, and the labels that all their series share.

Labels of a container: `id`, its cgroup's path as in cAdvisor ("/docker/<id>");
`name`; `image`; in Kubernetes `container`, `pod` and `namespace`; and those of
the runtime's labels that are asked for, as `container_label_<name>`.
Dashboards tell containers from control groups by `image!=""`: a container that
has no image has its runtime's name there, and a plain control group has
neither name nor image. The machine's own root cgroup is `id="/"`.

A container without a cgroup of its own (nspawn, bubblewrap, unshare) shares
the path of others, so its `id` is "/<kind>/<its id in the document>". The
same is done should two of them claim one path: no two subjects ever have the
same labels, because Prometheus rejects a scrape with a series in it twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from exporter.text import clean, pairs
from inspector.kernel.controllers import Reading
from inspector.model import Container, Key, Observation
from inspector.runtimes import pod_uid

__all__ = ["Roll", "Subject", "Subjects", "identities"]

T = TypeVar("T")
NO_LABEL_CHARACTER = re.compile(r"[^a-zA-Z0-9_]", re.ASCII)
SANDBOX = "POD"  # what a pod's own container is called: the kubelet gives it no `container`
NOWHERE: Key = ("", "")
# What of a container its labels are made from; and its id, which tells it from others.
NAMED = attrgetter("kind", "name", "image", "runtime", "pod", "labels")


class Subject(NamedTuple):
    """One container, control group or the machine itself (`container` None).

    `labels` is the text that all its series share, without braces; `owned` are
    the resources for which the cgroup in `paths` is its own.
    """

    id: str
    labels: str
    container: Container | None
    paths: Mapping[str, str]
    owned: Collection[str]

    def key(self, resource: str) -> Key | None:
        """Return where its own reading of a resource is; None where it has none."""
        return (resource, self.paths[resource]) if resource in self.owned else None


class Roll(tuple[Subject, ...]):  # noqa: SLOT001  it keeps what is looked up
    """All subjects of a look: the same object for as long as they stay as they are.

    What is looked up for each of them gives a list in their order, so that all of it is compared at once with
    what was there before.
    """

    @cached_property
    def _made(self) -> dict[object, tuple[Any, Any]]:
        return {}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of each."""
        return tuple(one.labels for one in self)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each one's container, "" for the machine."""
        return [one.container.id if one.container else "" for one in self]

    def keys(self, resource: str) -> list[Key]:
        """Return where the own reading of each is, NOWHERE without one."""
        return self.each(("keys", resource), None, lambda one: one.key(resource) or NOWHERE)

    def read(self, readings: Mapping[Key, Reading], resource: str) -> list[Reading | None]:
        """Return each one's own reading of a resource at one look, which several collectors ask for."""
        known = self._made.get(("read", resource))
        if known is None or known[0] is not readings:
            found = [*map(readings.get, self.keys(resource))]
            known = self._made["read", resource] = readings, found
        looked_up: list[Reading | None] = known[1]
        return looked_up

    def once(self, name: object, basis: object, make: Callable[[], T]) -> T:
        """Return what `make` makes; made anew only when all that it rests on, `basis`, is not what it was."""
        known = self._made.get(name)
        if known is None or (known[0] is not basis and known[0] != basis):
            known = self._made[name] = basis, make()
        found: T = known[1]
        return found

    def each(self, name: object, basis: object, find: Callable[[Subject], T]) -> list[T]:
        """Return what `find` finds of each, anew only when `basis` is not what it was."""
        return self.once(name, basis, lambda: [find(one) for one in self])


class Subjects:
    """Makes the subjects of an observation; a container's are made once for as long as it stays as it is."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._allowed = {name: "container_label_" + NO_LABEL_CHARACTER.sub("_", name) for name in allowed}
        self._containers: tuple[Container, ...] | None = None
        self._pods: dict[str, str] = {}
        self._roll = Roll()

    def of(self, observation: Observation) -> Roll:
        """Return the subjects, the machine first where its root cgroup can be seen."""
        containers = observation.containers
        if self._containers is None or containers is not self._containers:
            root = _root(observation)
            pods = _pods(containers)
            before = {one.container.id: one for one in self._roll if one.container} if pods == self._pods else {}
            ids = identities(containers, [one.id for one in root])
            made = zip(ids, containers, strict=True)
            self._roll = Roll((*root, *(self._subject(id_, one, before.get(one.id), pods) for id_, one in made)))
            self._containers, self._pods = containers, pods
        return self._roll

    def of_one_gone(self, one: Container) -> Subject:
        """Return the subject of a container that was gone before it was seen: the labels that it would have had."""
        id_ = next(_candidates(one))
        return Subject(id_, self._labels(id_, one, {}), None, one.cgroups, one.owned)

    def _subject(self, id_: str, one: Container, before: Subject | None, pods: Mapping[str, str]) -> Subject:
        same = before is not None and before.id == id_ and before.container and NAMED(before.container) == NAMED(one)
        labels = before.labels if before and same else self._labels(id_, one, pods)
        return Subject(id_, labels, one, one.cgroups, one.owned)

    def _labels(self, id_: str, one: Container, pods: Mapping[str, str]) -> str:
        plain = one.kind == "cgroup"
        image = "" if plain else one.image
        if one.kind == "container" and not image:
            image = one.runtime or "unknown"
        named = {"id": id_, "name": "" if plain else one.name, "image": image}
        pod = one.pod if not plain else pods.get(pod_uid(f"{one.id}/") or "")
        if pod and "/" in pod:
            namespace, _, name = pod.partition("/")
            container = {} if plain or one.name == SANDBOX else {"container": one.name}
            named |= {**container, "pod": name, "namespace": namespace}
        for name, label in self._allowed.items():
            if name in one.labels:
                named.setdefault(label, one.labels[name])
        return pairs(named)


def _root(observation: Observation) -> tuple[Subject, ...]:
    """Return the machine itself: the readings of the root cgroups, where they are the true ones."""
    true = observation.own.true_roots
    paths = {name: "/" for name, (_, index) in observation.located.items() if index in true}
    return (Subject("/", pairs({"id": "/", "name": "", "image": ""}), None, paths, paths),) if paths else ()


def _pods(containers: Iterable[Container]) -> dict[str, str]:
    """Map the uid of each Kubernetes pod to "namespace/name", as its containers tell it."""
    found = {}
    for one in containers:
        if one.pod and "/" in one.pod and (uid := pod_uid(one.path or "")):
            found[uid] = one.pod
    return found


def identities(containers: Iterable[Container], taken: Iterable[str] = ()) -> list[str]:
    """Return the `id` label of each container, no two alike even after cleaning."""
    seen = set(taken)
    ids = []
    for container in containers:
        id_ = next(name for name in map(clean, _candidates(container)) if name not in seen)
        seen.add(id_)
        ids.append(id_)
    return ids


def _candidates(container: Container) -> Iterator[str]:
    """Yield the names a container could have as its id, the best first: cleaning could make any two alike."""
    if container.path:
        yield container.path
    if container.id.startswith("/"):
        yield container.id
    own = f"/{container.kind}/{container.id.lstrip('/')}"
    yield own
    for number in count(2):
        yield f"/{number}{own}"
