"""What a person should know about a container: each finding at its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from inspector.findings import CODES, DRAWN_FROM, WHETHER_KNOWN, findings, may_be_short_of_cpus
from inspector.kernel.namespaces import INITIAL
from inspector.limits import Above, Full
from inspector.schema import Finding
from tests.unit.documents import container

OWN = dict(INITIAL)
GROUPS = ("cpu", "memory", "pids", "io", "network")
QUIET: dict[str, dict[str, object]] = {
    "cpu": {"throttled_ratio": 0.0, "throttled_by": None, "inherited_throttled_ratio": None,
            "pressure_full_avg10": 0.0, "pressure_full_avg60": 0.0},
    "memory": {"limit_bytes": 1000, "unreclaimable_bytes": 0, "oom_kills": 0},
    "pids": {"current": 1, "limit": 1000},
    "io": {},
}


def stalled(late: float | None, lately: float | None = 1.0, **more: object) -> dict[str, object]:
    """Return a resource's part of which the kernel says that all waited: of the last 10 s, of the last minute."""
    return {"pressure_full_avg10": late, "pressure_full_avg60": lately, **more}


def found(**changes: object) -> list[Finding]:
    """Return the findings of a container that is quiet but for these changes."""
    parts = {
        key: {**QUIET.get(key, {}), **value} if isinstance(value, Mapping) else value for key, value in changes.items()
    }
    return findings(container("web", **{**QUIET, **parts}), OWN)


def codes(**changes: object) -> list[tuple[str, str]]:
    """Return the codes and severities alone."""
    return [(one["code"], one["severity"]) for one in found(**changes)]


def test_a_quiet_container_has_no_findings() -> None:
    """A container that is well within its limits and in namespaces of its own has none."""
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cpu": {"throttled_ratio": 0.0499}}, None),
        ({"cpu": {"throttled_ratio": 0.05}}, ("cpu-throttled", "warning")),
        ({"cpu": {"throttled_ratio": 0.499}}, ("cpu-throttled", "warning")),
        ({"cpu": {"throttled_ratio": 0.5}}, ("cpu-throttled", "critical")),
        ({"cpu": {"throttled_ratio": None}}, None),
        ({"cpu": {"inherited_throttled_ratio": 0.0499}}, None),
        ({"cpu": {"inherited_throttled_ratio": 0.05}}, ("cpu-throttled-by-ancestor", "warning")),
        ({"cpu": {"inherited_throttled_ratio": 0.499}}, ("cpu-throttled-by-ancestor", "warning")),
        ({"cpu": {"inherited_throttled_ratio": 0.5}}, ("cpu-throttled-by-ancestor", "critical")),
        ({"cpu": {"throttled_ratio": None, "inherited_throttled_ratio": 1.0}},
         ("cpu-throttled-by-ancestor", "critical")),
        ({"memory": {"unreclaimable_bytes": 899}}, None),
        ({"memory": {"unreclaimable_bytes": 900}}, ("memory-near-limit", "warning")),
        ({"memory": {"unreclaimable_bytes": 969}}, ("memory-near-limit", "warning")),
        ({"memory": {"unreclaimable_bytes": 970}}, ("memory-near-limit", "critical")),
        ({"memory": {"unreclaimable_bytes": 2000}}, ("memory-near-limit", "critical")),
        ({"memory": {"unreclaimable_bytes": None}}, None),
        ({"memory": {"unreclaimable_bytes": 970, "limit_bytes": None}}, None),
        ({"memory": {"unreclaimable_bytes": 970, "limit_bytes": 0}}, None),
        ({"memory": {"oom_kills": None}}, None),
        ({"memory": {"oom_kills": 1}}, ("oom-killed", "critical")),
        ({"cpu": stalled(0.5999)}, None),
        ({"cpu": stalled(0.6)}, ("cpu-stalled", "warning")),
        ({"cpu": stalled(1.0, 0.5999)}, None),
        ({"cpu": stalled(1.0, 0.6)}, ("cpu-stalled", "warning")),
        ({"cpu": stalled(0.8999)}, ("cpu-stalled", "warning")),
        ({"cpu": stalled(0.9, 0.9)}, ("cpu-stalled", "critical")),
        ({"cpu": stalled(None)}, None),
        ({"cpu": stalled(1.0, usage_cores=None)}, None),  # one look: a quota may have stopped it
        ({"cpu": stalled(1.0, None)}, None),
        ({"cpu": stalled(1.0, throttled_ratio=0.0499)}, ("cpu-stalled", "critical")),
        ({"memory": stalled(0.0999)}, None),
        ({"memory": stalled(1.0, 0.0999)}, None),
        ({"memory": stalled(0.1, 0.1)}, ("memory-stalled", "warning")),
        ({"memory": stalled(0.5999)}, ("memory-stalled", "warning")),
        ({"memory": stalled(0.6, 0.6)}, ("memory-stalled", "critical")),
        ({"memory": stalled(None, None)}, None),
        ({"io": stalled(0.2999)}, None),
        ({"io": stalled(1.0, 0.2999)}, None),
        ({"io": stalled(0.3, 0.3)}, ("io-stalled", "warning")),
        ({"io": stalled(1.0, 1.0)}, ("io-stalled", "warning")),
        ({"io": stalled(None, None)}, None),
        ({"pids": {"current": 899}}, None),
        ({"pids": {"current": 900}}, ("pids-near-limit", "warning")),
        ({"pids": {"current": 900, "limit": None}}, None),
        ({"pids": {"current": 900, "limit": 0}}, None),
        ({"pids": {"current": None}}, None),
        ({"network": {"shared_with_host": True}}, ("host-network", "warning")),
        ({"network": {"shared_with_host": True}, "kind": "service"}, None),
        ({"network": {"shared_with_host": None}}, None),
        ({"namespaces": {"pid": INITIAL["pid"]}}, ("host-pid", "warning")),
        ({"namespaces": {"pid": INITIAL["pid"]}, "kind": "cgroup"}, None),
        ({"namespaces": {"pid": INITIAL["pid"]}, "network": {"shared_with_host": None}}, ("host-pid", "warning")),
    ],
)  # fmt: skip
def test_just_below_and_at_each_threshold(changes: dict[str, object], expected: tuple[str, str] | None) -> None:
    """Each code appears from its threshold on and not below, with the severity of how bad it is."""
    got = codes(**changes)
    assert got == ([] if expected is None else [expected])
    assert {code for code, _ in got} <= CODES.keys()


def test_the_namespace_of_who_looks_from_inside_is_not_the_hosts() -> None:
    """That both are in the same one says nothing there; by its number the host's is known."""
    inside = container("web", **{**QUIET, "namespaces": {"pid": 4026532002}, "network": {"shared_with_host": None}})
    assert findings(inside, {"pid": 4026532002}) == []


@pytest.mark.parametrize("whose", ["throttled_ratio", "inherited_throttled_ratio"])
def test_what_a_quota_stops_is_not_short_of_cpus(whose: str) -> None:
    """Under a quota, the own or one above, everything waits for a CPU too: then that is what is told, and alone."""
    assert [code for code, _ in codes(cpu=stalled(1.0, **{whose: 0.05}))] == [
        "cpu-throttled" if whose == "throttled_ratio" else "cpu-throttled-by-ancestor"
    ]
    both = codes(cpu=stalled(1.0, **{whose: 0.05}), memory=stalled(1.0), io=stalled(1.0))
    assert [code for code, _ in both[1:]] == ["memory-stalled", "io-stalled"]


@pytest.mark.parametrize(("below", "expected"), [(0.0499, ["cpu-stalled"]), (0.05, []), (1.0, [])])
def test_what_a_quota_further_down_stops_is_not_short_of_cpus(below: float, expected: list[str]) -> None:
    """Nor is what the quota of a cgroup within it stopped in as many periods as would be a finding there."""
    told = findings(container("web", **{**QUIET, "cpu": {**QUIET["cpu"], **stalled(1.0)}}), OWN, below=below)
    assert [one["code"] for one in told] == expected


@pytest.mark.parametrize(
    ("late", "lately", "matters"),
    [(0.6, 0.6, True), (0.59, 1.0, False), (1.0, 0.59, False), (None, 1.0, False), (1.0, None, False)],
)
def test_when_it_matters_what_stops_the_cgroups_below(late: float | None, lately: float | None, matters: bool) -> None:
    """From where lacking CPUs would be a finding on, and where the kernel tells both averages."""
    assert may_be_short_of_cpus(late, lately) is matters


def test_a_hollow_container() -> None:
    """The evidence that the application is gone comes first, as it is."""
    (one,) = findings(container("web", **QUIET), OWN, "its last child ended 5 s ago")
    assert (one["code"], one["severity"], one["text"]) == ("hollow", "critical", "its last child ended 5 s ago")


def test_usage_that_can_be_reclaimed_is_no_danger() -> None:
    """A container full to its limit with page cache is not near an OOM kill."""
    full = {"usage_bytes": 1000, "working_set_bytes": 1000, "limit_ratio": 1.0, "unreclaimable_bytes": 10}
    assert found(memory=full) == []


def test_of_own_and_ancestors_throttling_the_worse_is_told() -> None:
    """An ancestor's throttling is told beside the own only where it is the worse of the two."""
    own = {"throttled_ratio": 0.6, "inherited_throttled_ratio": 0.6}
    assert codes(cpu=own) == [("cpu-throttled", "critical")]
    both = {"throttled_ratio": 0.1, "inherited_throttled_ratio": 0.6}
    assert codes(cpu=both) == [("cpu-throttled", "warning"), ("cpu-throttled-by-ancestor", "critical")]


@pytest.mark.parametrize(
    ("above", "changes", "expected"),
    [
        (Above(), {}, []),
        (Above(pids=Full("/pod", 19, 20)), {}, [("warning", "19 of 20 tasks of /pod, above it: fork will fail")]),
        (Above(pids=Full("/pod", 19, 20)), {"pids": {"limit": None}}, [("warning", "19 of 20 tasks of /pod, above")]),
        (Above(pids=Full("/pod", 19, 20)), {"pids": {"current": 960}}, [("warning", "960 of 1000 tasks: fork")]),
        (Above(memory=Full("/pod", 90 << 20, 100 << 20)), {},
         [("warning", "90% of the memory limit of /pod, above it, cannot be reclaimed: 10MiB to an OOM kill")]),
        (Above(memory=Full("/pod", 99, 100)), {"memory": {"limit_bytes": None}}, [("critical", "99% of the memory ")]),
        (Above(memory=Full("/pod", 90, 100)), {"memory": {"unreclaimable_bytes": 980}}, [("critical", "98% of its ")]),
    ],
)  # fmt: skip
def test_what_others_have_used_of_a_limit_above(
    above: Above, changes: dict[str, dict[str, object]], expected: list[tuple[str, str]]
) -> None:
    """That a cgroup above has nearly used what it may is told, unless the container is nearer to its own limit."""
    parts = {name: {**QUIET[name], **changes.get(name, {})} for name in QUIET}
    told = findings(container("web", **parts), OWN, above=above)
    assert [one["severity"] for one in told] == [severity for severity, _ in expected]
    assert all(one["text"].startswith(text) for one, (_, text) in zip(told, expected, strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu": {"throttled_ratio": 0.42, "quota_us": 20000, "period_us": 100000}}, ("42%", "20000 of 100000 us")),
        ({"cpu": {"inherited_throttled_ratio": 0.8, "throttled_by": "/parent"}}, ("80%", "/parent")),
        ({"cpu": stalled(0.67, 0.612)}, ("67% of the last 10 s", "61% of the last minute")),
        ({"memory": stalled(0.35, 0.2)}, ("35% of the last 10 s", "20% of the last minute")),
        ({"io": stalled(0.8, 0.31)}, ("80% of the last 10 s", "31% of the last minute")),
        ({"memory": {"limit_bytes": 100 << 10, "unreclaimable_bytes": 95 << 10}}, ("95%", ": 5KiB to an OOM kill")),
        ({"memory": {"limit_bytes": 64 << 20, "unreclaimable_bytes": (64 << 20) - (5588 << 10)}}, (": 5.46MiB to",)),
        ({"memory": {"limit_bytes": 1000, "unreclaimable_bytes": 2000}}, ("200%", ": 0B to")),
        ({"memory": {"oom_kills": 1}}, ("1 process killed",)),
        ({"memory": {"oom_kills": 3}}, ("3 processes killed",)),
        ({"pids": {"current": 95, "limit": 100}}, ("95 of 100 tasks",)),
        ({"network": {"shared_with_host": True}}, ("host's network namespace",)),
        ({"namespaces": {"pid": INITIAL["pid"]}}, ("host's PID namespace",)),
    ],
)
def test_the_text_has_its_evidence(changes: dict[str, object], words: tuple[str, ...]) -> None:
    """The sentence names the figures and the cgroup that it rests on."""
    (one,) = found(**changes)
    assert all(word in one["text"] for word in words), one["text"]
    assert "\n" not in one["text"]


class Noted(dict[str, Any]):
    """A part of a document that notes in `seen` which of its values are asked for."""

    def __init__(self, values: Mapping[str, Any], seen: set[str], before: str = "") -> None:
        parts = {key: Noted(value, seen, f"{key}.") for key, value in values.items() if key in GROUPS}
        super().__init__({**values, **parts})
        self._seen, self._before = seen, before

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        self._seen.add(self._before + key)
        return super().__getitem__(key)


def test_what_findings_are_drawn_from() -> None:
    """Findings look at no other values of a container than they say."""
    seen: set[str] = set()
    worst: Any = container(
        "web", cpu={"inherited_throttled_ratio": 1.0},
        memory={"unreclaimable_bytes": 64 << 20, "oom_kills": 2, **stalled(1.0)},
        pids={"current": 100}, namespaces=OWN, network={"shared_with_host": True}, io=stalled(1.0),
    )  # fmt: skip
    throttled = container("web", cpu={"throttled_ratio": 1.0})
    waits = container("web", cpu={"throttled_ratio": 0.0, "inherited_throttled_ratio": None, **stalled(1.0)})
    told: set[str] = set()
    for values in (worst, throttled, waits, container("web", kind="cgroup")):
        told.update(one["code"] for one in findings(Noted(values, seen), OWN))  # type: ignore[arg-type]  # a dict too
    assert told == CODES.keys() - {"hollow"}
    assert seen - set(GROUPS) == {*DRAWN_FROM, WHETHER_KNOWN}
