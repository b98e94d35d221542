"""The JSON document -> families of metrics, under cAdvisor's names and labels where cAdvisor has them.

Labels of a container: `id`, its cgroup's path as in cAdvisor ("/docker/<id>");
`name`; `image`. Dashboards tell containers from control groups by `image!=""`:
a container that has no image has its runtime's name there, and a plain control
group has neither name nor image.

A container without a cgroup of its own (nspawn, bubblewrap, unshare) shares
the path of others, so its `id` is "/<kind>/<its id in the document>". The
same is done should two of them claim one path: no two containers ever have
the same labels, because Prometheus rejects a scrape with a series in it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import cast

from exporter.text import Family, clean, labels
from inspector.fields import FIELDS, Field, field
from inspector.schema import Container, Document

__all__ = ["container_families", "identities", "machine_families"]



def _has_quota(container: Container) -> bool:
    return container["cpu"]["quota_us"] is not None


def _owns_cpu(container: Container) -> bool:
    return container["cpu"]["source"] == "cgroup"


def _owns_memory(container: Container) -> bool:
    return container["memory"]["source"] == "cgroup"


# Which containers have a series, where it is not all that have a value.
ONLY: dict[str, Callable[[Container], bool]] = {
    # As in cAdvisor: no quota and never throttled are two different things.
    "cpu.periods": _has_quota,
    "cpu.throttled_periods": _has_quota,
    "cpu.throttled_seconds": _has_quota,
    # A sum over living processes falls when one ends. Prometheus takes that for a counter's restart and adds the
    # whole sum to the rate, so it is a gauge of another name: container_cpu_members_seconds.
    "cpu.usage_seconds": _owns_cpu,
    "cpu.user_seconds": _owns_cpu,
    "cpu.system_seconds": _owns_cpu,
    "memory.own_limit_bytes": _owns_memory,
}
# Containers of one network namespace have one set of counters: only one of them may show it, or sums count it twice.
ONCE_A_NAMESPACE = {"network.receive_bytes", "network.transmit_bytes"}
INFOS = (
    ("container_cpu_limit_info", "cpu.limit_set_by", "The cgroup that sets the effective CPU limit."),
    ("container_memory_limit_info", "memory.limit_set_by", "The cgroup that sets the effective memory limit."),
)

Row = tuple[str, Container]


def machine_families(document: Document) -> Iterator[Family]:
    """Yield what is known of the machine, and how well it could be read."""
    host = document["host"]
    yield Family("machine_cpu_cores", "gauge", "CPUs of the machine.", [("", host["cpus"])])
    yield Family("machine_memory_bytes", "gauge", "Memory of the machine.", [("", host["memory_bytes"])])
    yield Family("machine_swap_bytes", "gauge", "Swap of the machine.", [("", host["swap_bytes"])])
    yield Family("cgscope_denied_reads", "gauge", "Reads refused for lack of a capability.", [("", document["denied"])])
    yield Family(
        "cgscope_problems", "gauge", "Kernel files that could not be understood.", [("", len(document["problems"]))]
    )


def container_families(document: Document) -> Iterator[Family]:
    """Yield one family for each row of the field table that has a metric, then the ones with labels of their own."""
    containers = document["containers"]
    ids = identities(containers)
    rows = [(_labels(id_, container), container) for id_, container in zip(ids, containers, strict=True)]
    with_network = list(_network_owners(rows))
    for column in FIELDS:
        chosen = with_network if column.name in ONCE_A_NAMESPACE else rows
        if only := ONLY.get(column.name):
            chosen = [row for row in rows if only(row[1])]
        if column.name == "cpu.usage_seconds":  # cAdvisor's label, for the sum over all CPUs
            chosen = [(f'{text[:-1]},cpu="total"}}', container) for text, container in chosen]
        if column.metric:
            yield _family(column, column.metric, chosen)
    yield _members_cpu(rows)
    for name, key, help_ in INFOS:
        yield Family(name, "info", help_, list(_info_samples(rows, field(key))))
    taken_at = document["taken_at"]
    yield Family("container_last_seen", "gauge", "When it was last seen.", [(text, taken_at) for text, _ in rows])


def identities(containers: Sequence[Container]) -> list[str]:
    """Return the `id` label of each container, no two alike even after cleaning."""
    taken: set[str] = set()
    ids = []
    for container in containers:
        id_ = next(name for name in map(clean, _candidates(container)) if name not in taken)
        taken.add(id_)
        ids.append(id_)
    return ids


def _candidates(container: Container) -> Iterator[str]:
    """Yield the names a container could have as its id, the best first: cleaning could make any two alike."""
    cgroups = container["cgroups"]
    if "cgroup" in (container["cpu"]["source"], container["memory"]["source"]):
        wanted = "cpu" if container["cpu"]["source"] == "cgroup" else "memory"
        path = cgroups.get(wanted) or cgroups.get("")
        if path:
            yield path
    if container["id"].startswith("/"):
        yield container["id"]
    own = f"/{container['kind']}/{container['id'].lstrip('/')}"
    yield own
    for number in count(2):
        yield f"/{number}{own}"


def _labels(id_: str, container: Container) -> str:
    kind = container["kind"]
    name = "" if kind == "cgroup" else container["name"]
    image = "" if kind == "cgroup" else container["image"]
    if kind == "container" and not image:
        image = container["runtime"] or "unknown"
    return labels(id=id_, name=name, image=image)


def _family(column: Field, metric: str, rows: Iterable[Row]) -> Family:
    # A row of the table that has a metric is a number (a test sees to it): looking again would double the time.
    get = cast("Callable[[Container], float | None]", column.get)
    if column.always:
        samples = [(text, get(container) or 0) for text, container in rows]
    else:
        samples = [(text, value) for text, container in rows if (value := get(container)) is not None]
    return Family(metric, column.kind, column.help, samples)


def _members_cpu(rows: Iterable[Row]) -> Family:
    samples = [
        (text, seconds)
        for text, container in rows
        if not _owns_cpu(container) and (seconds := container["cpu"]["usage_seconds"]) is not None
    ]
    help_ = "CPU time of the processes alive now, of a container without a cgroup that counts it; falls when one ends."
    return Family("container_cpu_members_seconds", "gauge", help_, samples)


def _info_samples(rows: Iterable[Row], column: Field) -> Iterator[tuple[str, float]]:
    for text, container in rows:
        value = column.get(container)
        if isinstance(value, str):
            yield f"{text[:-1]},{labels(set_by=value)[1:]}", 1


def _network_owners(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield, of the containers in one network namespace, the one that was there first (a pod's sandbox)."""
    owners: dict[object, Row] = {}
    for row in rows:
        inode = row[1]["namespaces"].get("net", row[0])
        first = owners.setdefault(inode, row)
        if _age(row) < _age(first):
            owners[inode] = row
    yield from owners.values()


def _age(row: Row) -> float:
    created_at = row[1]["created_at"]
    return float("inf") if created_at is None else created_at
