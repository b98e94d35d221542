"""The JSON document: its contract, and what it says of limits and throttling along the ancestors."""

from __future__ import annotations

import json
import math
import types
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector import schema
from inspector.document import document
from inspector.kernel.controllers import Cpu, Cpuset, CpuUsage, Freezer, Io, Memory, Pids, Pressure, Reading
from inspector.model import Key, Tally
from inspector.observe import Observer
from inspector.schema import Document
from tests.fakehost import NET_DEV, FakeHost
from tests.unit.observing import ID, LIMITED, OTHER, limited, own
from tests.unit.parts import container, interface, observation

LAYOUTS = ("v1", "v2", "hybrid")
OVERLAY = "30 1 0:50 / / rw - overlay overlay rw,lowerdir=/l2:/l1,upperdir=/var/d/overlay2/x/diff,workdir=/w\n"
NUMBERS = st.none() | st.integers(0, 1 << 63)
PATH = "/docker/web"


def mismatches(value: object, kind: object, where: str = "document") -> list[str]:
    """Return where a value is not of a type of inspector.schema: a key missing or too many, a value of another type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        fits = any(not mismatches(value, one, where) for one in arguments)
        return [] if fits else [f"{where}: {value!r} is not {kind}"]
    if origin is Literal:
        return [] if value in arguments else [f"{where}: {value!r} is not {kind}"]
    if is_typeddict(kind):
        # Of one machine: what only a document of many tells is not there.
        hints = {key: hint for key, hint in get_type_hints(kind).items() if key in kind.__required_keys__}  # type: ignore[attr-defined]
        if not isinstance(value, dict) or value.keys() != hints.keys():
            return [f"{where}: {value}"]
        parts = [(value[key], inner, f"{where}.{key}") for key, inner in hints.items()]
    elif origin is list and isinstance(value, list):
        parts = [(one, arguments[0], f"{where}[{number}]") for number, one in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        parts = [(part, inner, where) for item in value.items() for part, inner in zip(item, arguments, strict=True)]
    else:
        fits = type(value) is kind or (kind is float and type(value) is int)
        return [] if fits else [f"{where}: {value!r} is not {kind}"]
    return [text for part in parts for text in mismatches(*part)]


def check(found: Document) -> None:
    """Hold a document against the contract: its keys and types, and that it is JSON."""
    assert mismatches(found, schema.Document) == []
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def two_looks(fake: FakeHost, changes: dict[str, dict[str, str]], path: str) -> Document:
    """Return the document of two looks at a machine, between which files of one cgroup change."""
    with fake.open() as host:
        observer = Observer(host, processes=True)
        before = observer.tick()
        for controller, files in changes.items():
            fake.cgroup(controller, path, files)
        return document(before, observer.tick())


def named(found: Document, name: str) -> schema.Container:
    """Return the one container with that id or name."""
    (one,) = [one for one in found["containers"] if name in (one["id"], one["name"])]
    return one


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_of_the_contract_and_no_other(tmp_path: Path, layout: str, looks: int) -> None:
    """A machine with a container, a service, a group and processes gives the contract's keys, as JSON."""
    fake = limited(tmp_path, layout, f"/docker/{ID}")
    fake.process(100, "nginx", cgroups=f"/docker/{ID}", namespaces=own(1), mountinfo=OVERLAY)
    fake.process(101, "helper", cgroups="/system.slice/a.service", namespaces={"mnt": 4026550009})
    fake.process(102, cgroups="/plain").process(103, namespaces=own(3, net=4026560001))
    with fake.open() as host:
        observer = Observer(host, processes=True)
        ticks = [observer.tick() for _ in range(looks)]
    found = document(ticks[0] if looks > 1 else None, ticks[-1])
    check(found)
    assert {one["kind"] for one in found["containers"]} == {"container", "service", "cgroup"}
    assert all(one["processes"] for one in found["containers"])


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from([0.0, 1e-9, 1.0]))
def test_any_figures_make_a_document(
    first: int | None, second: int | None, third: int | None, fourth: int | None, seconds: float
) -> None:
    """Whatever figures the kernel gives, the document is JSON by the contract, and no rate is negative."""
    sides = []
    for at, a, b in ((1000.0, first, second), (1000.0 + seconds, third, fourth)):
        readings: dict[Key, Reading] = {
            ("cpu", PATH): Cpu(a, b, a, b, a, b, a), ("cpuacct", PATH): CpuUsage(a, b, a),
            ("memory", PATH): Memory(usage_bytes=a, limit_bytes=b, inactive_file_bytes=b, locked_and_anon_bytes=a),
            ("pids", PATH): Pids(current=a, limit=b), ("io", PATH): Io(a, b), ("freezer", PATH): Freezer(None),
            ("pressure", PATH): Pressure(a, b, a, b, a), ("cpuset", PATH): Cpuset("0"),
        }  # fmt: skip
        tally = Tally({(100, 5000): (a or 0, b or 0)}, a, 1)
        sides.append(observation(at, containers=[container()], readings=readings, tallies={"web": tally}))
    found = document(*sides)
    check(found)
    (one,) = found["containers"]
    for part in (one["cpu"], one["memory"], one["io"], one["network"]):
        rates = [value for key, value in part.items() if key.endswith(("_ratio", "_cores", "_per_second"))]
        assert all(rate is None or (isinstance(rate, float | int) and 0 <= rate < math.inf) for rate in rates)


def parent_and_child(root: Path, layout: str, quota: int | None) -> FakeHost:
    """Return a machine whose group /p has a quota of 10000 and whose child /p/c has `quota`."""
    fake = limited(root, layout, "/p").process(100, cgroups="/p/c")
    if layout == "v2":
        files = {"cpu.max": f"{'max' if quota is None else quota} 100000\n", "cpu.stat": "usage_usec 5\nnr_periods 10\n"
                 "nr_throttled 0\nthrottled_usec 0\n"}  # fmt: skip
        return fake.cgroup("", "/p/c", files)
    files = {
        "cpu.cfs_quota_us": f"{-1 if quota is None else quota}\n", "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 10\nnr_throttled 0\nthrottled_time 0\n",
    }  # fmt: skip
    return fake.cgroup("cpu", "/p/c", files)


@pytest.mark.parametrize("quota", [None, 50000])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_parents_quota_throttles_the_child(tmp_path: Path, layout: str, quota: int | None) -> None:
    """A child of a group with quota 10000 has 0.1 cores, and the parent is named as what limits and throttles it."""
    fake = parent_and_child(tmp_path, layout, quota)
    controller, key = ("", "throttled_usec") if layout == "v2" else ("cpu", "throttled_time")
    stat = f"usage_usec 1\nnr_periods 20\nnr_throttled 13\n{key} 5000000\n"
    found = two_looks(fake, {controller: {"cpu.stat": stat}}, "/p")
    child, parent = named(found, "/p/c")["cpu"], named(found, "/p")["cpu"]
    assert (child["limit_cores"], child["limit_set_by"], child["throttled_by"]) == (0.1, "/p", "/p")
    assert (child["throttled_ratio"], child["inherited_throttled_ratio"]) == (None if quota is None else 0, 0.8)
    assert (child["quota_us"], child["throttled_periods"], child["throttled_seconds"]) == (quota, 0, 0)
    assert (parent["throttled_ratio"], parent["inherited_throttled_ratio"], parent["throttled_by"]) == (0.8, None, "/p")
    assert [one["code"] for one in named(found, "/p/c")["findings"]] == ["cpu-throttled-by-ancestor"]
    assert [one["code"] for one in named(found, "/p")["findings"]] == ["cpu-throttled"]


@pytest.mark.parametrize("throttled", [0, 10])
def test_a_quota_further_down_explains_why_all_waits(tmp_path: Path, throttled: int) -> None:
    """What waits for a CPU in a group because a quota stops it further down is not short of CPUs; without, it is."""
    fake = limited(tmp_path, "v2", "/p/s/c").process(100, cgroups="/p/s/c")
    waits = "avg10=90.00 avg60=90.00 avg300=0.00 total=7\n"
    idle = "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"
    for path in ("/p", "/p/s", "/p/s/c"):
        files = {"cpu.max": "max 100000\n", "cpu.stat": idle, "cpu.pressure": f"some {waits}full {waits}"}
        fake.cgroup("", path, files)
    of_quota = "nr_periods {}\nnr_throttled {}\nthrottled_usec 5\n"
    fake.cgroup("", "/p/s/c", {"cpu.max": "10000 100000\n", "cpu.stat": idle + of_quota.format(10, 5)})
    stat = idle + of_quota.format(20, 5 + throttled)
    found = two_looks(fake, {"": {"cpu.stat": stat}}, "/p/s/c")
    code = "cpu-throttled" if throttled else "cpu-stalled"
    assert [one["code"] for one in named(found, "/p/s/c")["findings"]] == [code]
    above = [[each["code"] for each in named(found, path)["findings"]] for path in ("/p", "/p/s")]
    assert above == [[] if throttled else ["cpu-stalled"]] * 2


@pytest.mark.parametrize(("told", "earlier"), [(None, 0.0), (-3600.0, 3600.0), (3600.0, 0.0), (0.875, -0.875)])
def test_it_was_created_before_it_started(told: float | None, earlier: float) -> None:
    """What its runtime wrote down is believed, unless it lies after the start of its first process.

    The kernel tells its boot in whole seconds: up to one later than the start it may have been created all the same,
    and the start stays the kernel's, by which `ctop` knows the process again.
    """
    started = document(None, observation(5.0, containers=[container()]))["containers"][0]["started_at"]
    assert started is not None
    written = container(created_at=None if told is None else started + told)
    [found] = document(None, observation(5.0, containers=[written]))["containers"]
    assert (found["created_at"], found["started_at"]) == (started - earlier, started)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_quota_that_stops_nobody(tmp_path: Path, layout: str) -> None:
    """Where no period was throttled between the looks, nobody is named for it."""
    found = two_looks(parent_and_child(tmp_path, layout, 50000), {}, "/p")
    cpu = named(found, "/p/c")["cpu"]
    assert (cpu["throttled_ratio"], cpu["inherited_throttled_ratio"], cpu["throttled_by"]) == (0, 0, None)
    assert named(found, "/p/c")["findings"] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_parents_limits_of_memory_and_tasks(tmp_path: Path, layout: str) -> None:
    """Memory and task limits of a parent are the child's too, with the parent's name, and none are its own."""
    fake = limited(tmp_path, layout, "/p").process(100, cgroups="/p/c")
    for controller, files in LIMITED[layout].items():
        fake.cgroup(controller, "/p/c", files)
    v1 = layout != "v2"
    fake.cgroup("pids" if v1 else "", "/p", {"pids.max": "7\n"})
    fake.cgroup(*("memory", "/p/c", {"memory.limit_in_bytes": "9223372036854771712\n"}) if v1
                else ("", "/p/c", {"memory.max": "max\n"}))  # fmt: skip
    child = named(two_looks(fake, {}, "/p"), "/p/c")
    assert (child["memory"]["limit_bytes"], child["memory"]["limit_set_by"]) == (4096, "/p")
    assert (child["memory"]["own_limit_bytes"], child["memory"]["limit_ratio"]) == (None, 900 / 4096)
    assert child["pids"] == {"current": 3, "limit": 7, "limit_set_by": "/p"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hostile_text_is_data(tmp_path: Path, layout: str) -> None:
    """Escape sequences, quotes and broken UTF-8 in names and command lines come through JSON as they are."""
    comm, words = "\x1b[31m)\udcff", ("a\x1b]0;title\x07", "\udcfe\u202e", '"\n\\')
    fake = limited(tmp_path, layout, "/\x1b[2J\udcfd")
    fake.process(100, comm, cgroups="/\x1b[2J\udcfd", cmdline="\0".join(words) + "\0")
    fake.process(101, comm, namespaces=own(1))
    found = two_looks(fake, {}, "/\x1b[2J\udcfd")
    check(found)
    (row,) = named(found, "/\x1b[2J\udcfd")["processes"] or []
    assert (row["comm"], row["cmdline"]) == (comm, " ".join(words))
    assert named(found, "pid-4026540001")["name"] == f"{comm}-101"
    assert json.dumps(found).isprintable()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_self_is_the_container_we_run_in(tmp_path: Path, layout: str) -> None:
    """From inside, `self` is the container around us, not one that was made within it; from the host it is null."""
    fake = limited(tmp_path / "in", layout, "/")
    mine = own(1, cgroup=4026530001)
    fake.process(1, ppid=0, namespaces=mine, mountinfo=fake.mounts())
    fake.process(7, "ctop", namespaces=mine, mountinfo=fake.mounts()).viewer(7)
    fake.process(9, "inner", ppid=1, namespaces=own(2, cgroup=4026530001), mountinfo=OVERLAY, cgroups="/inner")
    for hierarchy in fake.hierarchies:
        if hierarchy.version == 2:
            fake.file(f"{hierarchy.mountpoint}/cgroup.type", "domain\n")
    found = two_looks(fake, {}, "/")
    check(found)
    me, inner = named(found, "fake"), named(found, "pid-4026540002")
    assert found["viewpoint"] == {"inside_container": True, "hidden_ancestors": True, "self": me["id"]}
    assert (me["parent"], inner["parent"]) == (None, me["id"])
    assert (me["network"]["shared_with_host"], me["members"]) == (None, 2)
    path = f"/docker/{ID}"
    outside = limited(tmp_path / "out", layout, path).process(100, cgroups=path, namespaces=own(1))
    viewpoint = two_looks(outside, {}, "/")["viewpoint"]
    assert (viewpoint["inside_container"], viewpoint["self"]) == (False, None)


def test_many_in_one_network_namespace_are_counted(tmp_path: Path) -> None:
    """Of many containers in one network namespace each names some others, never itself, and says how many there are."""
    fake = FakeHost(tmp_path, "v2")
    for number in range(30):
        fake.process(100 + number, namespaces=own(number, net=4026560001))
    with fake.open() as host:
        rows = document(None, Observer(host).tick())["containers"]
    assert len(rows) == 30
    for row in rows:
        assert len(set(row["network"]["shared_with"])) == 20
        assert row["name"] not in row["network"]["shared_with"]
        assert row["network"]["shared_with_count"] == 29


def test_network_of_the_host_of_others_and_its_own(tmp_path: Path) -> None:
    """Who shares a network namespace is named, the host's traffic is nobody's, and loopback is no traffic."""
    fake = FakeHost(tmp_path, "v2").process(100, cgroups=f"/docker/{ID}", namespaces=own(1))
    pod = {"net": 4026560001}
    fake.process(200, cgroups=f"/docker/{OTHER}", namespaces=own(2, **pod))
    fake.process(300, "side", namespaces=own(3, **pod))
    fake.process(400, cgroups="/system.slice/cron.service")
    with fake.open() as host:
        observer = Observer(host)
        before = observer.tick()
        for pid in (100, 200, 300):
            fake.file(f"/proc/{pid}/net/dev", NET_DEV.replace(" 3193 ", " 9999 ").replace("1000 ", "3000 "))
        found = document(before, observer.tick())
    host_net, first, second = (named(found, name)["network"] for name in (ID, OTHER, "side-300"))
    assert (host_net["shared_with_host"], host_net["receive_bytes"], host_net["shared_with"]) == (True, None, [])
    assert (first["shared_with_host"], first["shared_with"]) == (False, ["side-300"])
    assert second["shared_with"] == [OTHER[:12]]
    assert (host_net["shared_with_count"], first["shared_with_count"]) == (0, 1)
    service = named(found, "/system.slice/cron.service")["network"]  # no container: not among those counted
    assert (service["shared_with"], service["shared_with_count"]) == ([ID[:12]], 1)
    assert (first["receive_bytes"], first["transmit_bytes"], first["transmit_bytes_per_second"]) == (3000, 2000, 0)
    assert first["receive_bytes_per_second"] == pytest.approx(2000 / (found["interval_seconds"] or 0))
    assert {"host-network"} == {one["code"] for one in named(found, ID)["findings"]}


def test_rates_and_totals_of_one_container() -> None:
    """Rates are of the interval, totals of the last look; pressure and shares never exceed the whole."""
    sides = [
        observation(
            1000 + n * 2,
            containers=[container()],
            readings={
                ("cpuacct", PATH): CpuUsage(n * 400_000, n * 300_000, n * 100_000),
                ("cpu", PATH): Cpu(20000, 100000, periods=n * 20, throttled_periods=n * 30),
                ("io", PATH): Io(n * 100, n * 50), ("pressure", PATH): Pressure(n * 1_000_000, 0, 0, n * 9_000_000),
            },
        )
        for n in (0, 1)
    ]  # fmt: skip
    (one,) = document(*sides)["containers"]
    cpu, io = one["cpu"], one["io"]
    assert [cpu["usage_cores"], cpu["user_cores"], cpu["system_cores"]] == pytest.approx([0.2, 0.15, 0.05])
    assert (cpu["usage_seconds"], cpu["limit_ratio"], cpu["throttled_ratio"]) == (0.4, 1.0, 1.0)
    assert (io["read_bytes_per_second"], io["write_bytes_per_second"], io["read_bytes"]) == (50, 25, 100)
    assert (cpu["pressure_some_ratio"], io["pressure_some_ratio"], io["pressure_some_seconds"]) == (0.5, 1.0, 9.0)


def test_with_one_look_every_rate_is_null() -> None:
    """A single look has totals, and null for everything that is of an interval."""
    readings: dict[Key, Reading] = {
        ("cpuacct", PATH): CpuUsage(5, 5, 5), ("io", PATH): Io(1, 1), ("cpu", PATH): Cpu(20000, 100000, 0, 1, 9, 9),
    }  # fmt: skip
    found = document(None, observation(1000, containers=[container()], readings=readings,
                                       interfaces={4026531833: (interface("eth0", 1, 1),)}))  # fmt: skip
    (one,) = found["containers"]
    cpu, io = one["cpu"], one["io"]
    assert (found["interval_seconds"], found["host"]["usage_cores"]) == (None, None)
    assert [cpu["usage_cores"], cpu["user_cores"], cpu["throttled_ratio"], cpu["limit_ratio"]] == [None] * 4
    assert (io["read_bytes_per_second"], one["memory"]["pressure_some_ratio"]) == (None, None)
    assert (cpu["limit_cores"], cpu["usage_seconds"], io["read_bytes"]) == (0.2, 5e-6, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_paused_container(tmp_path: Path, layout: str) -> None:
    """A frozen cgroup is a paused container, whichever file says so."""
    fake = limited(tmp_path, layout, f"/docker/{ID}").process(100, cgroups=f"/docker/{ID}", namespaces=own(1))
    if layout == "v2":
        fake.cgroup("", f"/docker/{ID}", {"cgroup.events": "populated 1\nfrozen 1\n"})
    else:
        fake.cgroup("freezer", f"/docker/{ID}", {"freezer.state": "FROZEN\n"})
    assert named(two_looks(fake, {}, "/"), ID)["state"] == "paused"


def test_the_root_filesystem_of_an_overlay(tmp_path: Path) -> None:
    """Layers come from top to bottom; what the container sees merged lies beside its writable layer."""
    fake = limited(tmp_path, "v2", f"/docker/{ID}")
    fake.process(100, cgroups=f"/docker/{ID}", namespaces=own(1), mountinfo=OVERLAY)
    assert named(two_looks(fake, {}, "/"), ID)["rootfs"] == {
        "type": "overlay", "source": "overlay", "read_only": False, "lower": ["/l2", "/l1"],
        "upper": "/var/d/overlay2/x/diff", "work": "/w", "merged": "/var/d/overlay2/x/merged",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, str), (None, int), (True, int), ("x", Literal["y"]), ("x", int | None), ([1], list[str]),
        ({"a": 1}, dict[str, str]), ({1: "a"}, dict[str, str]), ({}, schema.Io),
        ({"current": 1, "limit": 1, "limit_set_by": "", "more": 1}, schema.Pids),
    ],
)  # fmt: skip
def test_the_check_sees_a_mismatch(value: object, kind: object) -> None:
    """The comparison with the contract that these tests rest on finds a wrong type and a missing key."""
    assert mismatches(value, kind)
