"""inspector.kernel.cgroup_v1 and cgroup_v2: the same figures in the same units from both versions' files."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.controllers import (
    RESOURCES,
    ControlFile,
    Cpu,
    Cpuset,
    CpuUsage,
    Freezer,
    Hugetlb,
    Io,
    Memory,
    Pids,
    Pressure,
    Reading,
)
from inspector.kernel.figures import Keyed, number
from inspector.kernel.process import CLOCK_TICKS

FILES = {1: cgroup_v1.FILES, 2: cgroup_v2.FILES}
V1_UNLIMITED = "9223372036854771712\n"


def read(version: int, resource: str, contents: Mapping[str, str]) -> Reading:
    """Make a reading of a resource from the contents of its control files, as its reader does."""
    values: dict[str, object] = {}
    for file in FILES[version][resource]:
        if file.name in contents:
            values.update(file.parse(contents[file.name].encode()))
    return RESOURCES[resource](**values)  # type: ignore[arg-type]


V1_CPU = {
    "cpu.cfs_quota_us": "20000\n",
    "cpu.cfs_period_us": "100000\n",
    "cpu.cfs_burst_us": "5000\n",
    "cpu.shares": "1024\n",
    "cpu.stat": "nr_periods 51\nnr_throttled 50\nthrottled_time 3999400999\nnr_bursts 2\nburst_time 7000\n",
}
V2_CPU = {
    "cpu.max": "20000 100000\n",
    "cpu.max.burst": "5000\n",
    "cpu.weight": "100\n",
    "cpu.stat": (
        "usage_usec 1009213\nuser_usec 1001211\nsystem_usec 8002\nnr_periods 51\nnr_throttled 50\n"
        "throttled_usec 3999400\nnr_bursts 2\nburst_usec 7\n"
    ),
}


@pytest.mark.parametrize(("version", "contents"), [(1, V1_CPU), (2, V2_CPU)])
def test_cpu_bandwidth(version: int, contents: dict[str, str]) -> None:
    """Quota, period, burst, weight and throttling are the same from both versions, in microseconds."""
    assert read(version, "cpu", contents) == Cpu(
        quota_us=20000, period_us=100000, burst_us=5000, weight=100,
        periods=51, throttled_periods=50, throttled_us=3999400, bursts=2, bursted_us=7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "contents"), [(1, {"cpu.cfs_quota_us": "-1\n"}), (2, {"cpu.max": "max 100000\n"}), (1, {}), (2, {})]
)
def test_no_quota_is_none(version: int, contents: dict[str, str]) -> None:
    """Neither -1 nor "max" nor a missing file ever comes out as a number."""
    assert read(version, "cpu", contents).quota_us is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shares", "weight"), [(2, 1), (1, 1), (1024, 100), (262144, 10000), (1 << 40, 10000), (2048, 170)]
)
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    """The ends and the defaults of both scales meet; in between the weight grows with the shares."""
    assert cgroup_v1.shares_to_weight(shares) == pytest.approx(weight, rel=0.05)


def test_shares_keep_their_order() -> None:
    """More shares never give less weight."""
    weights = [cgroup_v1.shares_to_weight(shares) for shares in range(1, 5000)]
    assert weights == sorted(weights)


@pytest.mark.parametrize(
    ("version", "contents"),
    [
        (1, {"cpuacct.usage": "1009213999\n", "cpuacct.stat": f"user {CLOCK_TICKS}\nsystem {CLOCK_TICKS // 2}\n"}),
        (2, {"cpu.stat": "usage_usec 1009213\nuser_usec 1000000\nsystem_usec 500000\nnice_usec 3\n"}),
    ],
)
def test_cpu_usage(version: int, contents: dict[str, str]) -> None:
    """Nanoseconds and clock ticks become microseconds."""
    assert read(version, "cpuacct", contents) == CpuUsage(1009213, 1000000, 500000)


@pytest.mark.parametrize(("version", "name"), [(1, "cpuset.effective_{}"), (2, "cpuset.{}.effective")])
def test_cpuset(version: int, name: str) -> None:
    """The effective lists come as they are; an empty one is None."""
    contents = {name.format("cpus"): "0-3,8\n", name.format("mems"): "\n"}
    assert read(version, "cpuset", contents) == Cpuset("0-3,8", None)
    with pytest.raises(ParseError):
        read(version, "cpuset", {name.format("cpus"): "0-3 <b>\n"})


V1_MEMORY = {
    "memory.usage_in_bytes": "10000\n",
    "memory.max_usage_in_bytes": "20000\n",
    "memory.limit_in_bytes": "67108864\n",
    "memory.kmem.usage_in_bytes": "300\n",
    "memory.failcnt": "12\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory.stat": (
        "cache 1\nrss 1\ninactive_file 1\nhierarchical_memory_limit 33554432\n"
        "total_cache 5000\ntotal_rss 4000\ntotal_inactive_file 3000\ntotal_swap 7\n"
        "total_inactive_anon 1000\ntotal_active_anon 3000\ntotal_unevictable 50\n"
    ),
}
V2_MEMORY = {
    "memory.current": "10000\n",
    "memory.peak": "20000\n",
    "memory.max": "67108864\n",
    "memory.high": "max\n",
    "memory.swap.current": "7\n",
    "memory.swap.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n",
    "memory.stat": (
        "anon 4000\nfile 5000\nkernel 400\nslab_reclaimable 100\nsock 0\ninactive_file 3000\n"
        "inactive_anon 1000\nactive_anon 3000\nunevictable 50\n"
    ),
}


@pytest.mark.parametrize(("version", "contents"), [(1, V1_MEMORY), (2, V2_MEMORY)])
def test_memory(version: int, contents: dict[str, str]) -> None:
    """Usage, limit, its parts and its events are the same from both versions, in bytes, descendants included."""
    memory = read(version, "memory", contents)
    assert isinstance(memory, Memory)
    assert (memory.usage_bytes, memory.peak_bytes, memory.limit_bytes) == (10000, 20000, 67108864)
    assert (memory.anon_bytes, memory.file_bytes, memory.swap_bytes) == (4000, 5000, 7)
    assert (memory.limit_hits, memory.oom_kills) == (12, 2)
    assert memory.working_set_bytes == 7000
    assert memory.unreclaimable_bytes == 4050 + 300
    assert memory.high_bytes is memory.swap_limit_bytes is None


def test_v1_tells_the_least_limit_of_all_ancestors() -> None:
    """hierarchical_memory_limit is kept, or None where it is the page counter's maximum."""
    assert read(1, "memory", V1_MEMORY).hierarchical_limit_bytes == 33554432  # type: ignore[union-attr]
    values = cgroup_v1.parse_memory_stat(f"hierarchical_memory_limit {V1_UNLIMITED}".encode())
    assert values == {"hierarchical_limit_bytes": None}


# Pages of 4 and 64 KiB; a kernel of 32 bits.
@pytest.mark.parametrize("most", [2**63 - 4096, 2**63 - 65536, (2**31 - 1) * 4096])
def test_no_limit_on_other_machines(most: int) -> None:
    """v1 shows the page counter's maximum for no limit: it depends on the size of a page, and of a word."""
    for file, name in (("limit_in_bytes", "limit_bytes"), ("stat", "hierarchical_limit_bytes")):
        text = f"{most}\n" if file != "stat" else f"{LEAST} {most}\ntotal_rss 5\n"
        assert getattr(read(1, "memory", {f"memory.{file}": text}), name) is None
    large = read(1, "memory", {"memory.limit_in_bytes": f"{7 << 40}\n"})
    assert isinstance(large, Memory)
    assert large.limit_bytes == 7 << 40


@pytest.mark.parametrize(
    ("version", "contents"), [(1, {"memory.limit_in_bytes": V1_UNLIMITED}), (2, {"memory.max": "max\n"})]
)
def test_no_memory_limit_is_none(version: int, contents: dict[str, str]) -> None:
    """The page counter's maximum and "max" both mean that there is no limit."""
    assert read(version, "memory", contents).limit_bytes is None  # type: ignore[union-attr]


def test_memory_stat_before_linux_5_18() -> None:
    """Without a "kernel" line the parts that cannot be reclaimed are summed."""
    values = cgroup_v2.parse_memory_stat(b"anon 1\nkernel_stack 10\npagetables 20\npercpu 30\nslab_unreclaimable 40\n")
    assert values["kernel_bytes"] == 100


def test_huge_pages_are_not_reclaimed() -> None:
    """Where huge pages are charged to memory (memory_hugetlb_accounting) they stay when all else has been dropped."""
    told = "inactive_anon 10\nactive_anon 20\nunevictable 30\nhugetlb 4194304\nkernel 0\n"
    memory = read(2, "memory", {"memory.stat": told})
    assert isinstance(memory, Memory)
    assert memory.unreclaimable_bytes == 60 + 4194304


LEAST = "hierarchical_memory_limit"


@pytest.mark.parametrize(("text", "found"), [
    (f"cache 1\n{LEAST} {V1_UNLIMITED}\nhierarchical_memsw_limit {V1_UNLIMITED}\ntotal_cache 1\n", False),
    (f"cache 1\n{LEAST} {V1_UNLIMITED}\nhierarchical_memsw_limit 4096\ntotal_cache 1\n", True),
    (f"{LEAST} 4096\ntotal_cache 1\nhierarchical_memsw_limit {V1_UNLIMITED}", True),
    (f"{LEAST} {V1_UNLIMITED}", False),
    (f"{LEAST} x\nhierarchical_memsw_limit\n", True),
    (f"{LEAST} {'9' * 5000}\n", True),  # more digits than Python makes a number of
    ("cache 1\n", True),
    ("", True),
])  # fmt: skip
def test_whether_memory_may_be_limited(text: str, found: bool) -> None:
    """It may be unless every limit that memory.stat tells of is none: where it tells of none at all, nobody knows."""
    assert cgroup_v1.has_limit(text.encode()) is found


def test_working_set_is_never_negative() -> None:
    """The two figures are read one after the other, so their difference may fall below zero: it is cut at 0."""
    assert Memory(usage_bytes=10, inactive_file_bytes=20).working_set_bytes == 0
    assert Memory(usage_bytes=10).working_set_bytes == 10
    assert Memory().working_set_bytes is None


@pytest.mark.parametrize("version", [1, 2])
def test_pids(version: int) -> None:
    """Tasks, their limit and how often it was hit; "max" is no limit."""
    contents = {"pids.current": "7\n", "pids.max": "50\n", "pids.events": "max 3\n"}
    assert read(version, "pids", contents) == Pids(current=7, limit=50, limit_hits=3)
    assert read(version, "pids", {"pids.max": "max\n"}) == Pids()


def test_io_is_summed_over_devices() -> None:
    """Bytes and operations of all devices; lines without figures and other policies' keys do no harm."""
    v1 = {
        "blkio.throttle.io_service_bytes_recursive": (
            "254:0 Read 4096\n254:0 Write 100\n254:0 Sync 1\n8:0 Read 1\n8:0 Total 1\nTotal 4197\n"
        ),
        "blkio.throttle.io_serviced_recursive": "254:0 Read 2\n254:0 Write 3\nTotal 5\n",
    }
    v2 = {"io.stat": "254:0 rbytes=4096 wbytes=100 rios=2 wios=3 dbytes=0 dios=0 cost.usage=9\n8:0 rbytes=1\n7:0 \n"}
    assert read(1, "io", v1) == read(2, "io", v2) == Io(4097, 100, 2, 3)
    assert read(1, "io", {"blkio.throttle.io_serviced_recursive": "Total 0\n"}) == Io(reads=0, writes=0)


def test_pressure() -> None:
    """Totals of "some" and "full" in microseconds, and "full" of late as shares; cpu had none before Linux 5.13."""
    full = "some avg10=9.90 avg60=9.90 avg300=9.90 total=1234\nfull avg10=1.05 avg60=99.00 avg300=0.00 total=1000\n"
    some = full.split("\n", maxsplit=1)[0]
    contents = {"cpu.pressure": f"{some}\n", "memory.pressure": full, "io.pressure": full}
    late = 0.0105, 0.99
    found = read(2, "pressure", contents)
    assert found == Pressure(1234, 1234, 1000, 1234, 1000, None, None, None, *late, *late)
    assert isinstance(found, Pressure)
    assert found.averages == (None, None, *late, *late)
    newer = read(2, "pressure", {**contents, "cpu.pressure": full.replace("1.05", "100.00")})
    assert newer == Pressure(1234, 1234, 1000, 1234, 1000, 1000, 1.0, 0.99, *late, *late)


@pytest.mark.parametrize(
    ("version", "contents", "frozen"),
    [
        (1, {"freezer.state": "THAWED\n"}, False),
        (1, {"freezer.state": "FREEZING\n"}, False),
        (1, {"freezer.state": "FROZEN\n"}, True),
        (2, {"cgroup.events": "populated 1\nfrozen 0\n"}, False),
        (2, {"cgroup.events": "populated 1\nfrozen 1\n"}, True),
        (2, {"cgroup.events": "populated 1\n"}, None),
    ],
)
def test_freezer(version: int, contents: dict[str, str], frozen: bool | None) -> None:
    """Frozen only when all tasks are; a kernel that does not say (before 5.2) is unknown."""
    assert read(version, "freezer", contents) == Freezer(frozen)


def test_hugetlb() -> None:
    """Both page sizes, whose maximum is no limit."""
    v1 = {"hugetlb.2MB.usage_in_bytes": "2097152\n", "hugetlb.1GB.limit_in_bytes": V1_UNLIMITED}
    assert read(1, "hugetlb", v1) == Hugetlb(2097152)
    for none in ("max\n", V1_UNLIMITED):  # a group that was given no limit has the second, on Linux 6.18
        v2 = {"hugetlb.2MB.current": "2097152\n", "hugetlb.1GB.max": none}
        assert read(2, "hugetlb", v2) == Hugetlb(2097152)


EVERY_FILE = [(version, file) for version, files in FILES.items() for group in files.values() for file in group]


@pytest.mark.parametrize(("version", "file"), EVERY_FILE, ids=lambda value: getattr(value, "name", str(value)))
@pytest.mark.parametrize("garbage", [b"garbage\n", b"<b>hi</b> x y\n", b"\xff\xfe\n", b"1 2 3\n"])
def test_garbage_is_a_parse_error_or_nothing(version: int, file: ControlFile, garbage: bytes) -> None:
    """Garbage in a control file is refused, or holds none of the keys looked for: it never becomes a figure."""
    try:
        values = file.parse(garbage)
    except ParseError:
        return
    assert version in (1, 2)
    assert not any(values.values())


def test_numbers_and_keys() -> None:
    """A number is decimal, not negative and at most 2^64; keys come in pairs."""
    assert number("x", b" 42\n") == 42
    for data in (b"", b"-1", b"1 2", b"0x1", b"1_0", b"9" * 21, "٣".encode()):
        with pytest.raises(ParseError):
            number("x", data)
    for keyed, found in ((Keyed("x", {b"a": "one", b"c": "three"}), {"one": 1, "three": 3}),
                         (Keyed("x", {b"c": "three"}), {"three": 3}), (Keyed("x", {b"d": "four"}), {})):  # fmt: skip
        # The same places, others of the same keys, other keys in as many lines, fewer lines, twice the same key.
        assert keyed(b"a 1\nb x\nc 3\n") == keyed(b"c 3\nb x\na 1\n") == keyed(b"a 1\nx y\nc 3\n") == found
        assert keyed(b"b 2\n") == keyed(b"") == {}
        assert keyed(b"c 2\nc 3\na 1\n") == found
    # As many lines as one that lacked a key, which stands behind all that was there; and none of all.
    keyed = Keyed("x", {b"a": "one", b"c": "three"})
    assert keyed(b"") == keyed(b"b 2\nb 3\n") == {}
    assert keyed(b"a 1\nb 2\n") == {"one": 1}
    assert keyed(b"a 1\nc 3\n") == {"one": 1, "three": 3}
    assert keyed(b"a 1") == {"one": 1}
    with pytest.raises(ParseError):
        keyed(b"a 1\nb 2\nc")  # cut off, with as many lines as one that was whole
    for data in (b"a 1\nb\n", b"a 1\nb 2\nc x\n", b"a 1\nb 2\nc %b\n" % (b"9" * 21), b"a -1\nb 2\nc 3\n"):
        with pytest.raises(ParseError):
            Keyed("x", {b"a": "one", b"c": "three"})(data)
