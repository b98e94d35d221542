"""The document of many machines, made of the series that a Prometheus has of them. Pure.

The names are cAdvisor's, and those of ours that say more: with cAdvisor alone
limits are the containers' own, and the runtime and the ancestors' limits are
unknown. A container's `node` is the label of that name, or else `instance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast, get_args, get_type_hints

from inspector import schema
from inspector.ctop.remote.doubles import Doubles, Teller, node_of, teller_of
from inspector.ctop.remote.series import ABOVE, GAUGES, RATES, SET_BY
from inspector.findings import CODES, findings
from inspector.schema import Container, Document, Finding

__all__ = ["Sample", "document_of"]


class Sample(NamedTuple):
    """One series now: metric, labels, value."""

    metric: str
    labels: Mapping[str, str]
    value: float


GROUPS = {"cpu": schema.Cpu, "memory": schema.Memory, "pids": schema.Pids, "io": schema.Io, "network": schema.Network}
WHOLE = {"members", "own_pids_limit"} | {
    f"{group}.{key}"
    for group, kind in GROUPS.items()
    for key, hint in get_type_hints(kind).items()
    if int in get_args(hint)
}
KINDS, STATES = ("container", "service", "cgroup"), ("running", "paused", "hollow")
SEVERITIES = ("info", "warning", "critical")
LABEL = "container_label_"
PAUSE = "POD"  # the kubelet's name for a pod's own container


class _One:
    """The series of one container, gathered."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.teller = teller_of(labels)
        self.values: dict[str, float] = {}
        self.totals: dict[str, float] = {}
        self.infos: dict[str, Mapping[str, str]] = {}
        self.found: dict[str, str] = {}
        self.above: dict[str, dict[str, float]] = {}

    def add(self, field: str, sample: Sample) -> None:
        """Take a value; those of several devices, interfaces or CPUs are summed."""
        if sample.labels.get("cpu") == "total":
            self.totals[field] = sample.value
        else:
            self.values[field] = self.values.get(field, 0.0) + sample.value

    def add_rate(self, sample: Sample) -> None:
        """Take a rate: its own, or of a cgroup above it."""
        if sample.metric in RATES:
            self.add(RATES[sample.metric], sample)
        else:
            self.above.setdefault(sample.labels.get("set_by", ""), {})[sample.metric] = sample.value


def document_of(
    figures: Iterable[Sample], rates: Iterable[Sample], machines: Iterable[Sample], taken_at: float, name: str
) -> Document:
    """Return the document; `name` is that of the Prometheus."""
    ones, used = _collected(figures, rates)
    doubles = Doubles({one.teller for one in ones.values() if "container_info" in one.infos})
    same: dict[tuple[str, str], dict[Teller, _One]] = {}
    for one in ones.values():
        same.setdefault((one.teller.node, one.labels.get("id", "")), {})[one.teller] = one
    containers = [_container(tellers[doubles.best(tellers)]) for tellers in same.values()]
    jobs = {one.labels.get("job", "") for one in ones.values()}
    host, problems = _host(list(machines), used, jobs, doubles)
    nodes = {container["node"] for container in containers}
    host["hostname"] = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} by {name}"
    return {
        "schema": schema.SCHEMA,
        "taken_at": taken_at,
        "interval_seconds": None,
        "host": host,
        "viewpoint": {"inside_container": False, "hidden_ancestors": False, "self": None},
        "containers": containers,
        "problems": [*problems, *doubles.told()],
        "denied": 0,
        "denied_files": 0,
    }


def _collected(
    figures: Iterable[Sample], rates: Iterable[Sample]
) -> tuple[dict[tuple[str, ...], _One], dict[str, dict[Teller, float]]]:
    """Return what is told of each container, by teller and id, and of each machine, by metric and teller."""
    ones: dict[tuple[str, ...], _One] = {}
    used: dict[str, dict[Teller, float]] = {}
    for sample in figures:
        one = _one(ones, sample)
        if sample.metric in GAUGES:
            one.add(GAUGES[sample.metric], sample)
        elif sample.metric == "container_finding":
            if sample.value > 0:
                one.found[sample.labels.get("code", "")] = sample.labels.get("severity", "")
        else:
            one.infos[sample.metric] = sample.labels
    for sample in rates:
        if sample.metric in RATES or sample.metric in ABOVE:
            # A rate outlives its container by the window it is taken over: those without a figure now are gone.
            if (there := ones.get(_key(sample))) is not None:
                there.add_rate(sample)
        elif sample.labels.get("cpu", "total") == "total":
            _add(used, sample)
    return ones, used


def _add(sums: dict[str, dict[Teller, float]], sample: Sample) -> None:
    told, teller = sums.setdefault(sample.metric, {}), teller_of(sample.labels)
    told[teller] = told.get(teller, 0.0) + sample.value


def _key(sample: Sample) -> tuple[str, ...]:
    return (*teller_of(sample.labels), sample.labels.get("id", ""))


def _one(ones: dict[tuple[str, ...], _One], sample: Sample) -> _One:
    key = _key(sample)
    one = ones.get(key)
    if one is None:
        one = ones[key] = _One(sample.labels)
    return one


def _host(
    samples: list[Sample], used: Mapping[str, Mapping[Teller, float]], jobs: set[str], doubles: Doubles
) -> tuple[schema.Machine, list[str]]:
    """Return the machines' sums, and which of the scraped ones are down."""
    told: dict[str, dict[Teller, float]] = {}
    down = []
    for sample in samples:
        if sample.labels.get("job", "") not in jobs and jobs:
            continue
        if sample.metric != "up":
            _add(told, sample)
        elif not sample.value:
            down.append(node_of(sample.labels))
    sums = {metric: doubles.sum(values) for metric, values in told.items()}
    of_roots = {metric: doubles.sum(values) for metric, values in used.items()}
    total, available = int(sums.get("machine_memory_bytes", 0)), sums.get("machine_memory_available_bytes")
    used_bytes = total - int(available) if available is not None else of_roots.get("used_bytes")
    machine: schema.Machine = {
        "hostname": "",
        "kernel": "",
        "cpus": int(sums.get("machine_cpu_cores", 0)),
        "memory_bytes": total,
        "memory_available_bytes": None if available is None else int(available),
        "swap_bytes": int(sums.get("machine_swap_bytes", 0)),
        "boot_time": None,
        "load": [],
        "usage_cores": of_roots.get("used_cores"),
        "memory_used_bytes": None if used_bytes is None else int(used_bytes),
    }
    return machine, [f"Prometheus cannot scrape {node}" for node in sorted(down)]


def _container(one: _One) -> Container:
    values: dict[str, Any] = {**one.values, **one.totals}
    values.update({field: int(values[field]) for field in WHOLE & values.keys()})
    made: dict[str, Any] = {group: dict.fromkeys(kind.__annotations__) for group, kind in GROUPS.items()}
    made["cpu"]["source"] = made["memory"]["source"] = "cgroup"
    made["network"]["shared_with"] = []
    for field, value in values.items():
        group, _, key = field.partition(".")
        if key:
            made[group][key] = value
    for metric, group in SET_BY.items():
        made[group]["limit_set_by"] = one.infos.get(metric, {}).get("set_by")
    _limits(made, values, one.labels.get("id", ""))
    _throttling_above(made["cpu"], one.above)
    made |= {
        **_who(one),
        "created_at": values.get("started_at"),
        "started_at": values.get("started_at"),
        "members": values.get("members", 0),
        "namespaces": {},
        "rootfs": {**dict.fromkeys(schema.Rootfs.__annotations__), "lower": []},
        "processes": None,
        "findings": [],
    }
    container = cast("Container", made)
    container["findings"] = _findings(container, one.found)
    return container


def _who(one: _One) -> dict[str, Any]:
    """Return what the labels say: which container it is, of what kind, where it stands."""
    labels, info = one.labels, one.infos.get("container_info", {})
    path, node = labels.get("id", ""), one.teller.node
    kind = "container" if labels.get("image") else "service" if labels.get("name") else "cgroup"
    called = labels.get("container", "")
    return {
        "id": node + path,
        "name": (called if called != PAUSE else "") or labels.get("name") or path.rsplit("/", 1)[-1] or path,
        "kind": info.get("kind") if info.get("kind") in KINDS else kind,
        "runtime": info.get("runtime") or None,
        "image": labels.get("image", ""),
        "labels": {name.removeprefix(LABEL): value for name, value in labels.items() if name.startswith(LABEL)},
        "parent": node + info["parent"] if info.get("parent") else None,
        "pod": f"{labels['namespace']}/{labels['pod']}" if labels.get("namespace") and labels.get("pod") else None,
        "state": info.get("state") if info.get("state") in STATES else "running",
        "pid": int(info["pid"]) if info.get("pid", "").isascii() and info.get("pid", "").isdigit() else None,
        "evidence": [f"Prometheus has it from {node}"],
        "cgroups": dict.fromkeys(("cpu", "memory", "pids"), path),
        "node": node,
    }


def _limits(made: dict[str, Any], values: Mapping[str, Any], path: str) -> None:
    """Fill in what follows: with cAdvisor alone, the limits that are the container's own."""
    cpu, memory, pids = made["cpu"], made["memory"], made["pids"]
    quota, period = cpu["quota_us"], cpu["period_us"]
    if quota is not None and quota <= 0:
        cpu["quota_us"] = quota = None
    if cpu["limit_cores"] is None and quota and period:
        cpu["limit_cores"], cpu["limit_set_by"] = quota / period, path
    if memory["limit_bytes"] is None and memory["own_limit_bytes"]:
        memory["limit_bytes"], memory["limit_set_by"] = memory["own_limit_bytes"], path
    if pids["limit"] is None and values.get("own_pids_limit"):
        pids["limit"], pids["limit_set_by"] = values["own_pids_limit"], path
    if cpu["usage_cores"] is not None and cpu["limit_cores"]:
        cpu["limit_ratio"] = cpu["usage_cores"] / cpu["limit_cores"]
    used = memory["working_set_bytes"]
    if used is not None and memory["limit_bytes"]:
        memory["limit_ratio"] = used / memory["limit_bytes"]
    periods, throttled = values.get("periods_per_second"), values.get("throttled_per_second")
    if periods is not None and throttled is not None:
        cpu["throttled_ratio"] = min(1.0, throttled / periods) if periods else 0.0
        cpu["throttled_by"] = path if throttled else None
    for group, key in (("cpu", "some"), ("memory", "some"), ("memory", "full"), ("io", "some")):
        ratio = made[group][f"pressure_{key}_ratio"]
        made[group][f"pressure_{key}_ratio"] = None if ratio is None else min(1.0, ratio)


def _throttling_above(cpu: dict[str, Any], above: Mapping[str, Mapping[str, float]]) -> None:
    """Fill in how much the quota of a cgroup above throttles it, the worst of them."""
    periods, throttled = ABOVE
    shares = {by: told.get(throttled, 0.0) / told[periods] for by, told in above.items() if told.get(periods)}
    worst = max(shares, key=lambda by: shares[by], default=None)
    if worst is not None:
        cpu["inherited_throttled_ratio"] = min(1.0, shares[worst])
        if shares[worst] > (cpu["throttled_ratio"] or 0.0):
            cpu["throttled_by"] = worst


def _findings(container: Container, found: Mapping[str, str]) -> list[Finding]:
    """Return what the figures say, and what the exporter has found besides."""
    said = findings(container, {})
    known = {one["code"] for one in said}
    for code, severity in sorted(found.items()):
        if code not in known and severity in SEVERITIES:
            text = CODES.get(code, "found by its exporter")
            said.append(cast("Finding", {"code": code, "severity": severity, "text": text}))
    return said
