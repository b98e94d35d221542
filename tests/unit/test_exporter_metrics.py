"""From a machine to metrics: the same series from either version of the cgroups."""

from __future__ import annotations

from mmap import PAGESIZE
from pathlib import Path

import pytest

from exporter.collectors import COLLECTORS, DEFAULTS, Selection
from exporter.families.lasting import Lasting
from exporter.scrape import Scraper
from inspector.kernel.controllers import Io
from inspector.kernel.host import Host
from inspector.model import Observation
from tests.fakehost import FakeHost
from tests.unit.exporting import (
    ID,
    MOUNTINFO,
    PATH,
    POD,
    WEB,
    Series,
    add,
    machine,
    more,
    names_of,
    parsed,
    pod,
    schedstat,
    scraper,
    series_of,
    text_of,
)

MIB = 1 << 20
EXPECTED = {
    "container_cpu_user_seconds_total": 8,
    "container_cpu_system_seconds_total": 4.5,
    "container_spec_cpu_quota": 20000,
    "container_spec_cpu_period": 100000,
    "container_spec_cpu_burst": 5000,
    "container_cpu_weight": 100,
    "container_cpu_cfs_periods_total": 1000,
    "container_cpu_cfs_throttled_periods_total": 990,
    "container_cpu_cfs_throttled_seconds_total": 700.25,
    "container_cpu_cfs_burst_periods_total": 3,
    "container_cpu_cfs_burst_seconds_total": 0.25,
    "container_cpu_limit_cores": 0.2,
    "container_memory_usage_bytes": 3 * MIB,
    "container_memory_working_set_bytes": 2 * MIB,
    "container_memory_rss": MIB,
    "container_memory_cache": 2 * MIB,
    "container_memory_swap": 0,
    "container_memory_mapped_file": 8192,
    "container_memory_file_dirty_bytes": 4096,
    "container_memory_kernel_usage": 4096,
    "container_memory_max_usage_bytes": 5 * MIB,
    "container_memory_total_active_file_bytes": MIB,
    "container_memory_total_inactive_file_bytes": MIB,
    "container_memory_unreclaimable_bytes": MIB + 4096,
    "container_memory_failcnt_total": 2,  # as prometheus_client's parser calls it; the server keeps the name
    "container_memory_limit_bytes": 64 * MIB,
    "container_spec_memory_limit_bytes": 64 * MIB,
    "container_spec_memory_reservation_limit_bytes": MIB,
    "container_spec_memory_swap_limit_bytes": 0,
    "container_oom_events_total": 1,
    "container_oom_kills_total": 1,
    "container_processes": 1,
    "container_threads": 3,
    "container_threads_max": 100,
    "container_threads_limit_hits_total": 4,
    "container_pids_limit": 100,
    "container_start_time_seconds": 1_700_000_050.01,
    "container_health_state": 1,
}


def scraped(root: Path, layout: str = "v2", *names: str, **options: object) -> Series:
    """Return the series of a machine with one container."""
    with machine(root, layout).open() as host:
        return parsed(text_of(scraper(host, *names, **options).page()))


@pytest.mark.parametrize("layout", ["v1", "v2", "hybrid"])
def test_a_limited_container_has_cadvisors_series(tmp_path: Path, layout: str) -> None:
    """CPU, quota, throttling, memory and pids carry cAdvisor's names and its labels id, name and image."""
    series = scraped(tmp_path, layout)
    who = frozenset(WEB.items())
    assert {name: series.get((name, who)) for name in EXPECTED} == EXPECTED
    assert series_of(series, "container_cpu_usage_seconds_total", **WEB, cpu="total") == [12.5]
    for kind, value in (("pgfault", 7), ("pgmajfault", 2)):
        for scope in ("container", "hierarchy"):
            found = series_of(series, "container_memory_failures_total", **WEB, failure_type=kind, scope=scope)
            assert found == [value]
    assert series_of(series, "container_memory_events_total", **WEB, event="oom_kill") == [1]
    for resource in ("cpu", "memory", "threads"):
        assert series_of(series, f"container_{resource}_limit_info", **WEB, set_by=PATH) == [1]


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_disks_and_filesystems_have_a_device(tmp_path: Path, layout: str) -> None:
    """A container's I/O by device; the machine's from /proc/diskstats, with times; size and inodes of a filesystem."""
    series = scraped(tmp_path, layout)
    disk = {**WEB, "device": "/dev/vda"}
    root = {"id": "/", "name": "", "device": "/dev/vda"}
    expected = {"reads_total": (1, 10), "writes_total": (2, 20), "reads_bytes_total": (4096, 80 * 512),
                "writes_bytes_total": (8192, 160 * 512)}  # fmt: skip
    for metric, (own, machines) in expected.items():
        assert series_of(series, f"container_fs_{metric}", **disk) == [own]
        assert series_of(series, f"container_fs_{metric}", **root) == [machines]
    assert series_of(series, "container_fs_io_time_seconds_total", **root) == [2.5]
    usage = series_of(series, "container_blkio_device_usage_total", **disk, major="254", minor="0", operation="Write")
    assert usage == [8192]
    assert not series_of(series, "container_fs_reads_total", device="/dev/loop0")
    for metric in ("limit_bytes", "inodes_total", "inodes_free", "usage_bytes"):
        assert len(series_of(series, f"container_fs_{metric}", **root)) == 1
    assert series_of(series, "container_fs_limit_bytes", **WEB)[0] > 0


def test_what_a_child_did_stays_counted(tmp_path: Path) -> None:
    """Of a v1 cgroup of which a child is removed: the kernel forgets what it did, and no counter goes down."""
    fake = machine(tmp_path, "v1")
    found = []
    with fake.open() as host:
        scrape = scraper(host)
        for written, writes in ((8192, 2), (2048, 1), (2048, 1), (4096, 3)):
            fake.cgroup("blkio", PATH, {
                "blkio.throttle.io_service_bytes_recursive": f"254:0 Read 4096\n254:0 Write {written}\n",
                "blkio.throttle.io_serviced_recursive": f"254:0 Read 1\n254:0 Write {writes}\n",
            })
            series = parsed(text_of(scrape.page()))
            names = "writes_bytes", "writes", "reads_bytes"
            found.append([series_of(series, f"container_fs_{name}_total", **WEB) for name in names])
    assert found == [[[8192], [2], [4096]], [[8192], [2], [4096]], [[8192], [2], [4096]], [[10240], [4], [4096]]]


def test_a_cgroup_that_is_made_anew_counts_from_the_beginning() -> None:
    """Nothing is added to what another cgroup says at the same path; a device that is gone stays counted."""
    key, lasting = ("io", "/ctr/c1"), Lasting()

    def shown(inode: int, **moved: tuple[int, int]) -> object:
        [io] = lasting.of([(key, Io(bytes_by_device=moved, operations_by_device={}))], {key: inode})
        return io and io.bytes_by_device

    assert shown(1, a=(5, 5), b=(7, 0)) == {"a": (5, 5), "b": (7, 0)}
    assert shown(1, a=(2, 6)) == {"a": (5, 6), "b": (7, 0)}
    assert shown(2, a=(1, 1)) == {"a": (1, 1)}
    assert shown(2, a=(0, 1)) == {"a": (1, 1)}
    assert lasting.of([(key, None)], {}) == [None]  # could not be read once
    assert shown(2, a=(1, 1)) == {"a": (2, 1)}
    lasting.of([], {})
    assert shown(2, a=(1, 1)) == {"a": (1, 1)}


def test_a_layer_is_weighed(tmp_path: Path) -> None:
    """What lies in a container's upper directory, with its age; links are neither followed nor doubled.

    Usage is that and, as in cAdvisor, what Docker keeps of it: its log first of all.
    """
    fake = machine(tmp_path)
    log = tmp_path / "var/lib/docker/containers" / ID / f"{ID}-json.log"
    log.write_bytes(b"x" * 200_000)
    kept = sum(one.stat().st_blocks * 512 for one in log.parent.iterdir())
    assert kept >= 200_000
    upper = tmp_path / "upper" / ID[:8]
    (upper / "a" / "b").mkdir(parents=True)
    (upper / "a" / "b" / "file").write_bytes(b"x" * 100_000)
    (upper / "again").hardlink_to(upper / "a" / "b" / "file")
    (upper / "out").symlink_to("/usr")
    with fake.open() as host:
        scrape = scraper(host)
        # A scrape takes only a few milliseconds for it: on a busy machine a later one ends what the first began.
        while not series_of(series := parsed(text_of(scrape.page())), "container_layer_bytes", **WEB):
            pass
    [used] = series_of(series, "container_layer_bytes", **WEB)
    assert 100_000 <= used <= 150_000
    assert series_of(series, "container_layer_inodes", **WEB) == [5]
    assert series_of(series, "container_fs_usage_bytes", **WEB) == [used + kept]
    assert 0 <= series_of(series, "container_layer_age_seconds", **WEB)[0] < 60


def test_a_layer_beside_its_log_is_weighed_once(tmp_path: Path) -> None:
    """Our sandbox keeps both in one directory; a list of all containers' does not stand for what one keeps."""
    identifier, pods = "5a" * 32, f"/libpod-{'6b' * 32}"
    own, state = f"/cgscope/{identifier}", f"/var/lib/cgscope/containers/{identifier}"
    fake = machine(tmp_path)
    add(fake, own, pid=4300, name="own", space=2)
    fake.file("/proc/4300/mountinfo", MOUNTINFO.format(upper=f"{state}/upper"))
    fake.file(f"{state}/upper/file", "x" * 300_000).file(f"{state}/log.jsonl", "x" * 50_000)
    fake.file(f"{state}/state.json", "{}")
    add(fake, pods, pid=4400, name="pod", space=3)
    fake.file("/var/lib/containers/storage/overlay-containers/containers.json", "[]" + " " * 700_000)
    with fake.open() as host:
        scrape = scraper(host)
        while len(series_of(series := parsed(text_of(scrape.page())), "container_layer_bytes")) < 3:
            pass
    layers, usages = ([*(series_of(series, metric, id=path)[0] for path in (own, pods))]
                      for metric in ("container_layer_bytes", "container_fs_usage_bytes"))  # fmt: skip
    assert 300_000 <= layers[0] < 350_000
    assert 50_000 <= usages[0] - layers[0] < 100_000
    assert usages[1] == layers[1]


def test_pressure_is_some_and_full(tmp_path: Path) -> None:
    """PSI's some is cAdvisor's waiting, full its stalled, in seconds."""
    series = scraped(tmp_path)
    expected = {
        "cpu": (650.5, 600), "memory": (0.5, 0.25), "io": (0.125, 0.1),
    }  # fmt: skip
    for resource, (some, full) in expected.items():
        assert series_of(series, f"container_pressure_{resource}_waiting_seconds_total", **WEB) == [some]
        assert series_of(series, f"container_pressure_{resource}_stalled_seconds_total", **WEB) == [full]


def test_what_is_unknown_or_unlimited_has_no_series(tmp_path: Path) -> None:
    """A group without limits has none of quota, throttling and limit, except where cAdvisor has 0."""
    series = scraped(tmp_path)
    group = {name for name, labels in series if ("id", "/ex1") in labels}
    assert {name for name in group if "cfs" in name or "quota" in name or "limit" in name} == {
        "container_threads_limit_hits_total"
    } & group
    assert series_of(series, "container_threads_max", id="/ex1") == [0]
    assert not series_of(series, "container_memory_events_total", id="/ex1")


def test_a_sum_over_processes_is_no_counter(tmp_path: Path) -> None:
    """Without a cgroup that counts CPU time, the figure may fall: it is a gauge, and the counter has no series."""
    fake = machine(tmp_path)
    spaces = {"pid": 4026539001, "mnt": 4026539002}
    fake.process(777, "sh", namespaces=spaces, utime=500, stime=50, rss_anon_kb=8, threads=2)
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    shell = {"id": "/container/pid-4026539001"}
    assert series_of(series, "container_cpu_members_seconds", **shell) == [5.5]
    assert series_of(series, "container_memory_rss", **shell) == [8192]
    assert series_of(series, "container_threads", **shell) == [2]
    assert not series_of(series, "container_cpu_usage_seconds_total", **shell)
    assert not series_of(series, "container_cpu_members_seconds", **WEB)


def test_who_the_series_are_about(tmp_path: Path) -> None:
    """`image!=""` selects containers: a plain control group and the machine have neither name nor image."""
    series = scraped(tmp_path)
    assert len(series_of(series, "container_last_seen", id="/ex1", name="", image="")) == 1
    assert len(series_of(series, "container_last_seen", id="/", name="", image="")) == 1
    with_image = {labels for name, labels in series if name == "container_last_seen" and "image" in dict(labels)}
    assert [dict(labels)["name"] for labels in with_image] == ["web"]


def test_container_info_and_namespaces(tmp_path: Path) -> None:
    """Who made it, since when, and its state; of each namespace whether it is the host's."""
    series = scraped(tmp_path)
    assert series_of(series, "container_info", **WEB, runtime="docker", kind="container", state="running") == [1]
    started, made = 1_700_000_000 + 5001 / 100, 1_700_000_010.5  # the second one is Docker's
    assert series_of(series, "container_start_time_seconds", **WEB) == [started]
    assert series_of(series, "container_creation_time_seconds", **WEB) == [made]
    assert series_of(series, "container_creation_time_seconds", id="/ex1") == [1_700_000_050]
    namespace = {**WEB, "kind": "net", "inode": "4026532011", "shared_with_host": "false"}
    assert series_of(series, "container_namespace_info", **namespace) == [1]
    assert series_of(series, "container_namespace_info", **WEB, kind="user", shared_with_host="true") == [1]
    assert not series_of(series, "container_namespace_info", id="/ex1")


def test_one_network_namespace_is_counted_once(tmp_path: Path) -> None:
    """Of containers that share one only the oldest shows the traffic; the host's own is the machine's."""
    fake = machine(tmp_path)
    other = f"/docker/{'ab' * 32}"
    add(fake, other, pid=5000, name="other", space=1)
    add(fake, f"/docker/{'cd' * 32}", pid=6000, name="onhost", space=3, own_network=False)
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    received = {dict(labels)["id"]: value for (name, labels), value in series.items()
                if name == "container_network_receive_bytes_total"}  # fmt: skip
    assert len(received) == 2
    assert received["/"] == 1000
    assert {PATH, other} & received.keys()
    assert series_of(series, "container_network_transmit_packets_dropped_total", id="/", interface="eth0") == [4]
    assert not series_of(series, "container_network_receive_bytes_total", interface="lo")


def test_interfaces_are_bounded(tmp_path: Path) -> None:
    """Loopback, the host's ends of containers' links and Docker's bridge are left out; of many only some are told."""
    fake = machine(tmp_path)
    names = ["lo", "veth12", "docker0", *(f"dummy{number}" for number in range(1000))]
    lines = "".join(f"{name}: {' '.join(['1'] * 16)}\n" for name in names)
    fake.file("/proc/4242/net/dev", f"a|b\n a|b\n{lines}")
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    told = [dict(labels)["interface"] for name, labels in series
            if name == "container_network_receive_bytes_total" and WEB.items() <= labels]  # fmt: skip
    assert sorted(told) == sorted(names[3:67])


def test_interfaces_that_cannot_be_told_apart(tmp_path: Path) -> None:
    """Interfaces may be called by control characters: of those that look alike one is told, not a series twice.

    Prometheus warns at each scrape of a series that is there twice.
    """
    fake = machine(tmp_path)
    lines = "".join(f"e{character}: {' '.join(['1'] * 16)}\n" for character in "\1\2x")
    fake.file("/proc/4242/net/dev", f"a|b\n a|b\n{lines}")
    with fake.open() as host:
        told = text_of(scraper(host).page()).splitlines()
    ours = [line for line in told if line.startswith("container_network_receive_bytes_total{") and WEB["id"] in line]
    assert [line.partition("interface=")[2] for line in ours] == ['"e\ufffd"} 1', '"ex"} 1']


def test_throttling_by_an_ancestor(tmp_path: Path) -> None:
    """A quota above is told on the child, whose own counters stay 0, with the cgroup that has it."""
    fake = FakeHost(tmp_path, "v2")
    fake.file("/proc/diskstats", "")
    add(fake, f"/slice{PATH}")
    fake.cgroup("", "/slice", {"cpu.max": "50000 100000\n", "cpu.stat": "nr_periods 9\nnr_throttled 7\n"})
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    who = {"id": f"/slice{PATH}", "set_by": "/slice"}
    assert series_of(series, "container_cpu_inherited_throttled_periods_total", **who) == [7]
    assert series_of(series, "container_cpu_inherited_periods_total", **who) == [9]
    assert not series_of(series, "container_cpu_inherited_periods_total", id="/slice")


def test_the_machine_is_told(tmp_path: Path) -> None:
    """CPUs, memory and system of the machine, its totals as `id="/"`, and how well it could be read."""
    fake = machine(tmp_path, "v1")
    fake.cgroup("cpu", "/", {"cpuacct.usage": "5000000000\n"})
    fake.cgroup("memory", "/", {"memory.usage_in_bytes": "77\n"})
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    who = {"machine_id": "abc", "system_uuid": "abc", "boot_id": "5e1f"}  # the UUID is root's to read, as in cAdvisor
    assert series["machine_cpu_cores", frozenset(who.items())] == 4
    assert series["machine_memory_bytes", frozenset(who.items())] == 8000000 * 1024
    assert series["container_scrape_error", frozenset()] == series["machine_scrape_error", frozenset()] == 0
    assert series["cgscope_denied_reads", frozenset()] == 0
    assert series["cgscope_problems", frozenset()] == 0
    assert len(series_of(series, "cadvisor_version_info", osVersion="Fake Linux 1", kernelVersion="6.1.0-fake")) == 1


def test_the_machines_root_cgroup(tmp_path: Path) -> None:
    """`id="/"` has the root cgroup's CPU time; v2's root has no sum of memory, so it is made of the parts."""
    fake = machine(tmp_path)
    fake.cgroup("", "/", {"cpu.stat": "usage_usec 5000000\nuser_usec 1\nsystem_usec 2\n",
                          "memory.stat": "anon 100\nfile 50\ninactive_file 20\n"})  # fmt: skip
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    root = {"id": "/", "name": "", "image": ""}
    assert series_of(series, "container_cpu_usage_seconds_total", **root, cpu="total") == [5]
    assert series_of(series, "container_memory_usage_bytes", **root) == [150]
    assert series_of(series, "container_memory_working_set_bytes", **root) == [130]
    assert series_of(series, "container_memory_swap", **root) == [100000 * 1024]


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_the_machines_limits_are_its_memory_and_its_swap(tmp_path: Path, layout: str) -> None:
    """As in cAdvisor: a dashboard divides the use of `id="/"` by them, and the root cgroup itself has none."""
    fake = machine(tmp_path, layout)
    fake.cgroup("memory", "/", {"memory.limit_in_bytes": "9223372036854771712\n", "memory.stat": "anon 1\nfile 5\n"})
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    assert series_of(series, "container_spec_memory_limit_bytes", id="/") == [8000000 * 1024]
    assert series_of(series, "container_spec_memory_swap_limit_bytes", id="/") == [1000000 * 1024]
    assert series_of(series, "container_spec_memory_limit_bytes", **WEB) == [64 * MIB]


def test_labels_of_the_runtime_are_told_when_asked_for(tmp_path: Path) -> None:
    """Only a label that is named becomes one of ours, on every series of its container."""
    series = scraped(tmp_path, labels=("com.example.team", "none"))
    assert series_of(series, "container_threads", **WEB, container_label_com_example_team="shop") == [3]
    assert not [labels for _, labels in series if "x" in dict(labels).values()]
    assert not [labels for _, labels in scraped(tmp_path / "b") if "container_label_com_example_team" in dict(labels)]


def test_collectors_that_are_off_unless_asked_for(tmp_path: Path) -> None:
    """Open files, limits, states, sockets, huge pages and the busiest processes have series only on request."""
    fake = machine(tmp_path)
    more(fake)
    extra = [name for name in COLLECTORS if name not in DEFAULTS]
    with fake.open() as host:
        plain, full = parsed(text_of(scraper(host).page())), parsed(text_of(scraper(host, *extra, top=1).page()))
    expected = {
        ("container_file_descriptors",): 2,
        ("container_sockets",): 1,
        ("container_ulimits_soft", "ulimit", "max_open_files"): 1024,
        ("container_tasks_state", "state", "running"): 1,
        ("container_tasks_state", "state", "sleeping"): 1,
        ("container_network_tcp_usage_total", "tcp_state", "listen"): 1,
        ("container_network_tcp6_usage_total", "tcp_state", "listen"): 1,
        ("container_network_udp_usage_total", "udp_state", "dropped"): 1,
        ("container_hugetlb_usage_bytes", "pagesize", "2MB"): 2 * MIB,
        ("container_network_advance_tcp_stats_total", "tcp_state", "maxconn"): -1,
        ("container_network_advance_tcp_stats_total", "tcp_state", "tw"): 6,
        ("container_cpu_schedstat_run_seconds_total",): 3,
        ("container_cpu_schedstat_runqueue_seconds_total",): 0.5,
        ("container_cpu_schedstat_run_periods_total",): 8,
        ("container_process_cpu_seconds_total", "comm", "nginx"): 0,
        ("container_process_resident_memory_bytes", "pid", "4242"): 418 * 4096,
    }
    for (metric, *label), value in expected.items():
        labels = dict([label]) if label else {}
        assert series_of(full, metric, **WEB, **labels) == [value], metric
        assert not series_of(plain, metric), metric
    assert {name for one in extra for name in COLLECTORS[one].metrics} - names_of(full) == {
        "container_hugetlb_max_usage_bytes", "container_hugetlb_failcnt",  # as prometheus_client's parser calls it
        "container_memory_migrate",
    }  # fmt: skip


def test_sockets_of_a_machine_without_ipv6_and_of_the_machine_itself(tmp_path: Path) -> None:
    """Without IPv6 (ipv6.disable=1) there are those of IPv4; the host's own, and its counters, are the machine's."""
    fake = machine(tmp_path)
    more(fake)
    for name in ("tcp", "udp", "snmp", "netstat"):
        fake.file(f"/proc/1/net/{name}", Path(f"{fake.root}/proc/4242/net/{name}").read_text())
    for name in ("tcp6", "udp6"):
        Path(f"{fake.root}/proc/4242/net/{name}").unlink()
    with fake.open() as host:
        series = parsed(text_of(scraper(host, "tcp", "udp", "advtcp").page()))
    for who in (WEB, {"id": "/"}):
        assert series_of(series, "container_network_tcp_usage_total", **who, tcp_state="listen") == [1]
        assert series_of(series, "container_network_udp_usage_total", **who, udp_state="dropped") == [1]
        assert series_of(series, "container_network_advance_tcp_stats_total", **who, tcp_state="tw") == [6]
    assert not {name for name in names_of(series) if "6_usage" in name}


@pytest.mark.parametrize("layout", ["hybrid", "v2"])
def test_memory_by_node_is_in_pages(tmp_path: Path, layout: str) -> None:
    """v1 tells pages without and with the cgroups below, v2 bytes with them alone; memory_migrate is v1's."""
    fake = machine(tmp_path, layout)
    more(fake)
    with fake.open() as host:
        series = parsed(text_of(scraper(host, "memory_numa", "cpuset").page()))
    pages = {
        (one["scope"], one["type"], one["node"]): value
        for (name, labels), value in series.items()
        if name == "container_memory_numa_pages" and (one := dict(labels))["id"] == PATH
    }
    below = {("hierarchy", "anon", "0"): MIB // PAGESIZE, ("hierarchy", "anon", "1"): 8192 // PAGESIZE}
    expected = {"v2": below | {("hierarchy", "file", "0"): 4096 // PAGESIZE}}
    expected["hybrid"] = {
        ("container", "anon", "0"): 3, ("container", "anon", "1"): 2,
        ("hierarchy", "anon", "0"): 254, ("hierarchy", "anon", "1"): 2,
    }  # fmt: skip
    assert pages == expected[layout]
    assert series_of(series, "container_memory_migrate", **WEB) == ([1] if layout == "hybrid" else [])


def test_threads_that_have_ended_go_on_being_counted(tmp_path: Path) -> None:
    """Time on a CPU does not fall when a thread ends, nor when another one gets its number."""
    fake = machine(tmp_path)
    more(fake)  # 2.5 s and 0.5 s
    with fake.open() as host:
        scrape = scraper(host, "sched")

        def ran() -> list[float]:
            return series_of(parsed(text_of(scrape.page())), "container_cpu_schedstat_run_seconds_total", **WEB)

        assert ran() == [3]
        schedstat(fake, {4242: "2600000000 0 8\n"})
        assert ran() == [3.1]
        schedstat(fake, {4242: "2600000000 0 8\n", 4243: "100000000 0 1\n"})
        assert ran() == [3.2]
        schedstat(fake, {4242: "2600000000 0 8\n", 4243: "50000000 0 1\n"})
        assert ran() == [3.25]


def test_kubernetes_adds_its_labels(tmp_path: Path) -> None:
    """A pod's container has container, pod and namespace, its sandbox and the pod's cgroup no container."""
    fake = FakeHost(tmp_path, "v2")
    pod(fake)
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    where = {"pod": "app-6f9c", "namespace": "shop"}
    assert series_of(series, "container_threads", container="app", image="app:2", **where) == [3]
    assert len(series_of(series, "container_last_seen", container="", name="POD", **where)) == 1
    assert len(series_of(series, "container_last_seen", container="", name="", image="", id=POD, **where)) == 1


def test_health_is_read_at_every_scrape(tmp_path: Path) -> None:
    """Docker's file is read again each time: 1 healthy, 0 unhealthy or starting, -1 without a check."""
    fake = machine(tmp_path)
    config = f"/var/lib/docker/containers/{ID}/config.v2.json"
    with fake.open() as host:
        scrape = scraper(host)
        assert series_of(parsed(text_of(scrape.page())), "container_health_state", **WEB) == [1]
        state = '"State": {"Health": {"Status": "starting"}}'
        fake.file(config, f'{{"Name": "/web", "Config": {{"Image": "nginx:1.27"}}, {state}}}')
        assert series_of(parsed(text_of(scrape.page())), "container_health_state", **WEB) == [0]
        assert series_of(parsed(text_of(scrape.page())), "container_health_state", id="/ex1") == [-1]


def test_a_health_check_that_may_not_be_read_is_not_said_to_be_none(tmp_path: Path) -> None:
    """Without Docker's file of a container, as for an ordinary user, its health has no series."""
    fake = machine(tmp_path)
    Path(f"{fake.root}/var/lib/docker/containers/{ID}/config.v2.json").unlink()
    with fake.open() as host:
        series = parsed(text_of(scraper(host).page()))
    assert series_of(series, "container_info", id=PATH, runtime="docker") == [1]
    assert not series_of(series, "container_health_state", id=PATH)
    assert series_of(series, "container_health_state", id="/ex1") == [-1]


def test_a_collector_that_fails_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a /proc/diskstats of nonsense the disk collector says 0 and why; the others are as they were."""
    fake = machine(tmp_path)
    fake.file("/proc/diskstats", "nonsense\n")
    with fake.open() as host:
        page = scraper(host).page()
    assert not page.ok
    series = parsed(text_of(page))
    assert series_of(series, "cgscope_scrape_collector_success", collector="disk") == [0]
    assert series_of(series, "cgscope_scrape_collector_success", collector="memory") == [1]
    assert series["container_scrape_error", frozenset()] == 1
    assert series["machine_scrape_error", frozenset()] == 0
    assert series_of(series, "container_threads", **WEB) == [3]
    assert not series_of(series, "container_fs_reads_total")
    assert "diskstats" in caplog.text


def test_a_changed_value_is_written_anew_and_the_rest_kept(tmp_path: Path) -> None:
    """A second scrape has what the files say then, whatever was remembered of the first."""
    fake = machine(tmp_path)
    with fake.open() as host:
        scrape = scraper(host)
        scrape.page()
        fake.cgroup("", PATH, {"memory.current": "4194304\n", "pids.current": "2\n", "memory.swap.current": "1\n"})
        second = parsed(text_of(scrape.page()))
        fresh = parsed(text_of(scraper(host).page()))
    changing = ("cgscope_", "container_last_seen", "container_layer_", "container_fs_")
    assert {key: value for key, value in second.items() if not key[0].startswith(changing)} == {
        key: value for key, value in fresh.items() if not key[0].startswith(changing)
    }
    assert series_of(second, "container_memory_usage_bytes", **WEB) == [4 * MIB]


def test_a_limit_that_changes_is_told_at_the_next_scrape(tmp_path: Path) -> None:
    """Its own, and that of a cgroup above it, with who sets it; what it uses changes none."""
    fake = machine(tmp_path)
    above = PATH.rpartition("/")[0]
    fake.cgroup("", above, {"memory.max": "max\n", "cpu.max": "max 100000\n"})
    own, whole = {"memory.max": f"{64 * MIB}\n"}, {"memory.max": "max\n"}
    changes: list[tuple[str, dict[str, str], int, str]] = [
        (PATH, own, 64, PATH),
        (PATH, {"memory.current": f"{5 * MIB}\n"}, 64, PATH),
        (PATH, {"memory.max": f"{32 * MIB}\n"}, 32, PATH),
        (above, {"memory.max": f"{16 * MIB}\n"}, 16, above),
        (above, whole, 32, PATH),
    ]
    with fake.open() as host:
        scrape = scraper(host)
        for path, files, mebibytes, setter in changes:
            fake.cgroup("", path, files)
            series = parsed(text_of(scrape.page()))
            assert series_of(series, "container_memory_limit_bytes", **WEB) == [mebibytes * MIB]
            assert series_of(series, "container_memory_limit_info", **WEB, set_by=setter) == [1]


def test_a_container_that_ends_has_no_series(tmp_path: Path) -> None:
    """After a container has gone nothing of it is told, except that it was killed for lack of memory."""
    fake = machine(tmp_path)
    with fake.open() as host:
        scrape = scraper(host)
        assert series_of(parsed(text_of(scrape.page())), "container_threads", **WEB) == [3]
        for place in ("proc/4242", f"sys/fs/cgroup{PATH}"):
            _remove(tmp_path / place)
        left = {name for name, labels in parsed(text_of(scrape.page())) if WEB.items() <= dict(labels).items()}
    assert left == {"container_oom_kills_total"}


@pytest.mark.parametrize("scrapes_before", [0, 1])
def test_a_container_that_dies_in_mid_scrape(tmp_path: Path, scrapes_before: int) -> None:
    """Gone between the look and what collectors read on top, its first or a later one: none of them fails.

    The others are whole, nothing is there twice, and the next scrape tells nothing of it but how it was killed.
    """
    fake = machine(tmp_path)
    more(fake)
    other = f"/docker/{'5a6b' * 16}"
    add(fake, other, pid=4343, name="db", space=2)
    with fake.open() as host:
        selection = Selection(frozenset(COLLECTORS))
        observer = selection.observer(host)
        dies: list[str] = []

        def look() -> Observation:
            seen = observer.tick()
            while dies:
                _remove(tmp_path / dies.pop())
            return seen

        scrape = Scraper(host, look, selection, own=False)
        for _ in range(scrapes_before):
            scrape.page()
        dies += ["proc/4242", f"sys/fs/cgroup{PATH}", "upper/4f5e4f5e", f"var/lib/docker/containers/{ID}"]
        amid, after = scrape.page(), scrape.page()
    assert (amid.ok, after.ok) == (True, True)
    for page in (amid, after):
        series = parsed(text_of(page))
        assert series_of(series, "container_cpu_usage_seconds_total", id=other) == [12.5]
    left = {name for name, labels in parsed(text_of(after)) if WEB.items() <= dict(labels).items()}
    assert left == {"container_oom_kills_total"}


def _remove(directory: Path) -> None:
    for entry in sorted(directory.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    directory.rmdir()


def test_making_a_scraper_looks_not_at_all(tmp_path: Path) -> None:
    """Every scrape is one look, and none is made before."""
    fake, looks = machine(tmp_path), []
    with fake.open() as host:
        observer = Selection().observer(host)

        def look() -> object:
            looks.append(1)
            return observer.tick()

        made = Scraper(host, look, own=False)  # type: ignore[arg-type]
        assert not looks
        made.page()
        made.page()
    assert len(looks) == 2
    assert isinstance(host, Host)
