"""From a document to families of metrics."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser

from exporter.metrics import container_families, identities, machine_families
from exporter.text import write
from inspector.fields import FIELDS
from inspector.schema import Container, Document
from tests.unit.exporter_documents import TAKEN_AT, busy, container, document

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(made: Document) -> Series:
    """Return what Prometheus would store; a series that is there twice fails."""
    series: Series = {}
    text = write([*container_families(made), *machine_families(made)])
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in series, f"twice: {key}"
            series[key] = sample.value
    return series


def values(made: Document, metric: str, **labels: str) -> list[float]:
    """Return the values of one metric whose labels include those given."""
    wanted = labels.items()
    return [value for (name, have), value in scrape(made).items() if name == metric and wanted <= have]


def names(made: Document) -> set[str]:
    """Return the names of all metrics."""
    return {name for name, _ in scrape(made)}


def test_a_limited_container_has_cadvisors_series() -> None:
    """CPU, quota, throttling, memory and pids carry cAdvisor's names and its labels id, name and image."""
    made = document(busy())
    who = {"id": "/docker/4f5e", "name": "web", "image": "nginx"}
    expected = {
        "container_cpu_user_seconds_total": 8,
        "container_cpu_system_seconds_total": 4.5,
        "container_spec_cpu_quota": 20000,
        "container_spec_cpu_period": 100000,
        "container_cpu_cfs_periods_total": 1000,
        "container_cpu_cfs_throttled_periods_total": 990,
        "container_cpu_cfs_throttled_seconds_total": 700.25,
        "container_cpu_limit_cores": 0.2,
        "container_memory_usage_bytes": 3 << 20,
        "container_memory_working_set_bytes": 2 << 20,
        "container_memory_rss": 1 << 20,
        "container_memory_cache": 1 << 20,
        "container_memory_failcnt_total": 2,  # as prometheus_client's parser calls it; the server keeps the name
        "container_memory_limit_bytes": 64 << 20,
        "container_oom_events_total": 1,
        "container_threads": 3,
        "container_processes": 3,
        "container_pids_limit": 100,
        "container_pressure_cpu_waiting_seconds_total": 650.5,
        "container_pressure_memory_stalled_seconds_total": 0.25,
        "container_pressure_io_waiting_seconds_total": 0.125,
        "container_network_receive_bytes_total": 1000,
        "container_network_transmit_bytes_total": 500,
        "container_start_time_seconds": 1_789_999_000.25,
        "container_last_seen": TAKEN_AT,
    }
    series = scrape(made)
    assert {name: series.get((name, frozenset(who.items()))) for name in expected} == expected
    usage = ("container_cpu_usage_seconds_total", frozenset((who | {"cpu": "total"}).items()))
    assert series[usage] == 12.5
    assert values(made, "container_cpu_limit_info", set_by="/docker/4f5e", **who) == [1]
    assert values(made, "container_memory_limit_info", set_by="/docker", **who) == [1]


def test_what_is_unknown_or_unlimited_has_no_series() -> None:
    """No quota: no quota and throttling series, even where the kernel counts periods; no memory limit: cAdvisor's 0."""
    made = document(container(cpu={"periods": 0, "throttled_periods": 0, "throttled_seconds": 0}))
    assert {name for name in names(made) if "cfs" in name or "quota" in name or "limit" in name} == {
        "container_spec_memory_limit_bytes"
    }
    assert values(made, "container_spec_memory_limit_bytes") == [0]
    assert "container_network_receive_bytes_total" not in names(made)


def test_a_sum_over_processes_is_no_counter() -> None:
    """Without a cgroup that counts CPU time, the figure may fall: it is a gauge, and the counter has no series."""
    shell = container(cgroups={}, cpu={"source": "processes", "usage_seconds": 5.5, "user_seconds": 5.0},
                      memory={"source": "processes"})  # fmt: skip
    made = document(shell)
    assert values(made, "container_cpu_members_seconds", id="/container/4f5e") == [5.5]
    absent = {"container_cpu_usage_seconds_total", "container_cpu_user_seconds_total"}
    assert not names(made) & (absent | {"container_spec_memory_limit_bytes"})
    assert values(document(busy()), "container_cpu_members_seconds") == []


def test_control_groups_have_no_name_and_no_image() -> None:
    """`image!=""` selects containers: a plain control group has neither, a container never lacks an image."""
    group = container(id="/ex1", kind="cgroup", name="ex1", image="x", runtime=None, cgroups={"cpu": "/ex1"})
    shell = container(id="u1", name="shell", image="", runtime="unshare", cgroups={}, cpu={"source": "processes"},
                      memory={"source": "processes"})  # fmt: skip
    service = container(id="ssh", kind="service", name="ssh.service", image="", cgroups={"cpu": "/system.slice/ssh"})
    made = document(group, shell, service)
    assert values(made, "container_processes", id="/ex1", name="", image="") == [3]
    assert values(made, "container_processes", id="/container/u1", name="shell", image="unshare") == [3]
    assert values(made, "container_processes", id="/system.slice/ssh", name="ssh.service", image="") == [3]


def test_the_id_is_the_containers_own_cgroup() -> None:
    """The path of a controller that is the container's own; a path shared with others is never its id."""
    processes: dict[str, Any] = {"source": "processes"}
    cases = [
        (container(cgroups={"cpu": "/a", "memory": "/b"}), "/a"),
        (container(cgroups={"cpu": "/", "memory": "/b"}, cpu=processes), "/b"),
        (container(cgroups={"": "/v2"}), "/v2"),
        (container(cgroups={"cpu": "/", "memory": "/"}, cpu=processes, memory=processes), "/container/4f5e"),
        (container(id="/pids-only", kind="cgroup", cgroups={}, cpu=processes, memory=processes), "/pids-only"),
        (container(id="/", kind="cgroup", cgroups={"cpu": "/"}), "/"),
    ]
    assert [identities([made]) for made, _ in cases] == [[expected] for _, expected in cases]


def test_two_containers_that_look_the_same_stay_apart() -> None:
    """The same id, name and path twice or three times gives each its own series, and none is lost."""
    assert identities([container(), container(), container()]) == [
        "/docker/4f5e",
        "/container/4f5e",
        "/2/container/4f5e",
    ]
    assert sorted(values(document(busy(), busy(), busy()), "container_processes")) == [3, 3, 3]


def test_paths_that_differ_only_in_what_is_cleaned_stay_apart() -> None:
    """Two cgroups whose names differ in a control character, or after the length limit, are two series."""
    long = "/" + "x" * 1000
    made = [container(id=name, cgroups={"cpu": name}) for name in ("/a\x01", "/a\x02", long, long + "y")]
    assert len(set(identities(made))) == 4
    assert len(values(document(*made), "container_processes")) == 4


TEXT = st.text(st.sampled_from('ab/\\"\n\x00\x1b\udcff2'), max_size=4)
CONTAINERS = st.builds(
    lambda id_, name, image, kind, path, source, inode: busy(
        id=id_, name=name, image=image, kind=kind, cgroups={"cpu": path, "memory": path},
        cpu={"source": source, "limit_set_by": name, "usage_seconds": 1, "quota_us": 1}, memory={"source": source},
        namespaces={"net": inode},
    ),
    TEXT, TEXT, TEXT, st.sampled_from(["container", "service", "cgroup"]), TEXT,
    st.sampled_from(["cgroup", "processes"]), st.integers(1, 3),
)  # fmt: skip


@given(st.lists(CONTAINERS, max_size=6))
def test_no_series_is_ever_there_twice(containers: list[Container]) -> None:
    """Whatever the containers are called, each has its series once (scrape() fails otherwise)."""
    assert len(values(document(*containers), "container_processes")) == len(containers)


def test_one_network_namespace_is_counted_once() -> None:
    """Of a pod's containers only the oldest shows the traffic, as the kubelet does: a sum counts it once."""
    traffic = {"receive_bytes": 1000, "transmit_bytes": 1}
    app = container(id="app", name="app", cgroups={"cpu": "/app"}, created_at=20.0, network=traffic)
    pause = container(id="pause", name="pause", cgroups={"cpu": "/pause"}, created_at=10.0, network=traffic)
    other = container(id="o", name="o", cgroups={"cpu": "/o"}, namespaces={"net": 7}, created_at=None, network=traffic)
    made = document(app, pause, other)
    assert values(made, "container_network_receive_bytes_total") == [1000, 1000]
    assert values(made, "container_network_receive_bytes_total", name="pause") == [1000]


def test_the_machine_is_told() -> None:
    """CPUs and memory of the machine, and how much could not be read, are series without labels."""
    series = scrape(document(problems=["x"], denied=41))
    assert series[("machine_cpu_cores", frozenset())] == 2
    assert series[("machine_memory_bytes", frozenset())] == 4 << 30
    assert series[("cgscope_denied_reads", frozenset())] == 41
    assert series[("cgscope_problems", frozenset())] == 1


def test_the_field_table_is_fit_for_prometheus() -> None:
    """Every metric of the table has one row, a legal name, a number, a help of one line; a gauge is no _total."""
    rows = [row for row in FIELDS if row.metric]
    metrics = [str(row.metric) for row in rows]
    assert len(set(metrics)) == len(metrics)
    assert all(metric.replace("_", "").isalnum() and metric.startswith("container_") for metric in metrics)
    assert not [row.metric for row in rows if row.unit == "text"]
    assert not [row.metric for row in rows if set(row.help) & set('\\\n"')]
    assert not [row.metric for row in rows if row.kind == "gauge" and str(row.metric).endswith("_total")]
    unnamed = [row.metric for row in rows if row.kind == "counter" and not str(row.metric).endswith("_total")]
    assert unnamed == ["container_memory_failcnt"]
