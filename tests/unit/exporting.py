"""A machine with one limited Docker container on it, scraped, for the tests of the exporter's metrics."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import FrameType

from prometheus_client import parser

from exporter.blocks import Page
from exporter.collectors import Selection
from exporter.scrape import Scraper
from inspector.kernel.controllers import Cpu, CpuUsage, Memory, Pids, Reading
from inspector.kernel.host import Host
from inspector.model import Observation
from tests.fakehost import FakeHost
from tests.unit import parts

__all__ = [
    "ID", "PATH", "POD", "READINGS", "V1_FILES", "V2_FILES", "WEB", "Series", "add", "machine", "made", "more",
    "names_of", "observed", "parsed", "pod", "schedstat", "scraper", "series_of", "sharing", "text_of", "weighed",
]  # fmt: skip

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

ID = "4f5e" * 16
PATH = f"/docker/{ID}"
POD = "/kubepods/pod3f2b7c1e-9d54-4e0a-8f6b-1a2b3c4d5e6f"
WEB = {"id": PATH, "name": "web", "image": "nginx:1.27"}
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={}\n"
MOUNTINFO = "500 1 0:99 / / rw - overlay overlay rw,lowerdir=/image,upperdir={upper},workdir=/work\n"
DISKSTATS = " 254 0 vda 10 1 80 500 20 2 160 1500 1 2500 2000\n 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n"
# The same figures in the files of either version, by controller.
V2_FILES = {
    "": {
        "cpu.max": "20000 100000\n", "cpu.max.burst": "5000\n", "cpu.weight": "100\n",
        "cpu.stat": "usage_usec 12500000\nuser_usec 8000000\nsystem_usec 4500000\nnr_periods 1000\nnr_throttled 990\n"
                    "throttled_usec 700250000\nnr_bursts 3\nburst_usec 250000\n",
        "cpuset.cpus.effective": "0-3\n",
        "memory.current": "3145728\n", "memory.peak": "5242880\n", "memory.max": "67108864\n", "memory.high": "max\n",
        "memory.low": "2097152\n", "memory.min": "1048576\n", "memory.swap.current": "0\n", "memory.swap.max": "max\n",
        "memory.stat": "anon 1048576\nfile 2097152\nkernel 4096\ninactive_anon 1048576\nactive_anon 0\n"
                       "inactive_file 1048576\nactive_file 1048576\nunevictable 0\nslab_reclaimable 0\nsock 0\n"
                       "file_mapped 8192\nfile_dirty 4096\nfile_writeback 0\npgfault 7\npgmajfault 2\npgscan 9\n"
                       "pgsteal 8\nworkingset_refault_anon 1\nworkingset_refault_file 2\n",
        "memory.events": "low 0\nhigh 5\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n",
        "pids.current": "3\n", "pids.max": "100\n", "pids.events": "max 4\n",
        "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
        "cpu.pressure": PRESSURE.format(650500000, 600000000),
        "memory.pressure": PRESSURE.format(500000, 250000),
        "io.pressure": PRESSURE.format(125000, 100000),
        "cgroup.events": "populated 1\nfrozen 0\n",
    },
}  # fmt: skip
V1_FILES = {
    "cpu": {
        "cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n", "cpu.cfs_burst_us": "5000\n",
        "cpu.shares": "1024\n",
        "cpu.stat": "nr_periods 1000\nnr_throttled 990\nthrottled_time 700250000000\nnr_bursts 3\n"
                    "burst_time 250000000\n",
        "cpuacct.usage": "12500000000\n", "cpuacct.stat": "user 800\nsystem 450\n",
    },
    "cpuset": {"cpuset.effective_cpus": "0-3\n"},
    "memory": {
        "memory.usage_in_bytes": "3145728\n", "memory.max_usage_in_bytes": "5242880\n",
        "memory.limit_in_bytes": "67108864\n", "memory.soft_limit_in_bytes": "1048576\n", "memory.failcnt": "2\n",
        "memory.kmem.usage_in_bytes": "4096\n", "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        "memory.stat": "pgfault 7\npgmajfault 2\nhierarchical_memory_limit 67108864\ntotal_rss 1048576\n"
                       "total_cache 2097152\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n"
                       "total_inactive_anon 1048576\ntotal_active_anon 0\ntotal_unevictable 0\ntotal_swap 0\n"
                       "total_mapped_file 8192\ntotal_dirty 4096\ntotal_writeback 0\ntotal_pgfault 7\n"
                       "total_pgmajfault 2\n",
    },
    "pids": {"pids.current": "3\n", "pids.max": "100\n", "pids.events": "max 4\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": "254:0 Read 4096\n254:0 Write 8192\nTotal 12288\n",
        "blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 2\nTotal 3\n",
    },
    "freezer": {"freezer.state": "THAWED\n"},
}  # fmt: skip


def add(
    fake: FakeHost, path: str = PATH, *, pid: int = 4242, name: str = "web", space: int = 1, own_network: bool = True
) -> None:
    """Add a Docker container in the cgroup `path`, with every figure that there is."""
    identifier = path.rpartition("/")[2]
    for controller, files in (V2_FILES if len(fake.hierarchies) == 1 else V1_FILES).items():
        fake.cgroup(controller, path, files)
    upper = f"/upper/{identifier[:8]}"
    Path(fake.root + upper).mkdir(parents=True)
    network = {"net": 4026532001 + 10 * space} if own_network else {}
    fake.process(
        pid, "nginx", cgroups=path, ns_pids=(pid, 1), mountinfo=MOUNTINFO.format(upper=upper), starttime=5000 + space,
        namespaces={"pid": 4026532002 + 10 * space, "mnt": 4026532003 + 10 * space, **network},
    )  # fmt: skip
    config = {
        "Name": f"/{name}", "Config": {"Image": "nginx:1.27", "Labels": {"com.example.team": "shop", "secret": "x"}},
        "State": {"Health": {"Status": "healthy"}}, "Created": "2023-11-14T22:13:30.5Z",
    }  # fmt: skip
    fake.file(f"/var/lib/docker/containers/{identifier}/config.v2.json", json.dumps(config))


def machine(root: Path, layout: str = "v2") -> FakeHost:
    """Return a machine with the container web on it, and a plain control group /ex1."""
    fake = FakeHost(root, layout)
    fake.file("/proc/diskstats", DISKSTATS)
    fake.file("/etc/machine-id", "abc\n").file("/proc/sys/kernel/random/boot_id", "5e1f\n")
    fake.file("/etc/os-release", 'NAME=x\nPRETTY_NAME="Fake Linux 1"\n')
    for hierarchy in fake.hierarchies:
        if hierarchy.version == 1:  # what only the real root cgroup has
            fake.file(f"{hierarchy.mountpoint}/release_agent", "")
    add(fake)
    fake.cgroup("" if layout == "v2" else "pids", "/ex1", {"pids.current": "1\n", "pids.max": "max\n"})
    fake.process(50, "idle", cgroups={"pids": "/ex1"} if layout != "v2" else "/ex1")
    return fake


def pod(fake: FakeHost) -> None:
    """Add a Kubernetes pod of one container and its sandbox, which was there first."""
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    for number, kind in enumerate(("sandbox", "container"), 2):
        identifier = f"{number}a" * 32
        add(fake, f"{POD}/{identifier}", pid=4300 + number, space=number)
        annotations = {
            "container-type": kind, "sandbox-name": "app-6f9c", "sandbox-namespace": "shop", "image-name": "app:2",
            **({"container-name": "app"} if kind == "container" else {}),
        }  # fmt: skip
        named = {f"io.kubernetes.cri.{key}": value for key, value in annotations.items()}
        fake.file(f"{tasks}/{identifier}/config.json", json.dumps({"annotations": named}))


def more(fake: FakeHost) -> None:
    """Add what only those collectors read that are off unless asked for."""
    fake.file("/proc/4242/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files        1024   4096   files\n")
    fake.link("/proc/4242/fd/0", "/dev/pts/0").link("/proc/4242/fd/3", "socket:[77]")
    fake.file("/proc/4242/task/4242/stat", "4242 (nginx) R 1 2\n")
    fake.file("/proc/4242/task/4243/stat", "4243 (a) b) S 1\n")
    line = " 0: 0100007F:2757 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52321 1 0 1\n"
    for name in ("tcp", "tcp6", "udp", "udp6"):
        fake.file(f"/proc/4242/net/{name}", f"  sl\n{line}")
    for name in ("core_id", "physical_package_id"):
        fake.file(f"/sys/devices/system/cpu/cpu0/topology/{name}", "0\n")
    for version, counters in (("snmp", "Tcp: RtoMin MaxConn\nTcp: 200 -1\n"), ("netstat", "TcpExt: TW\nTcpExt: 6\n")):
        fake.file(f"/proc/4242/net/{version}", f"Ip: Forwarding\nIp: 1\n{counters}")
    schedstat(fake, {4242: "2500000000 500000000 7\n", 4243: "500000000 0 1\n"})
    if len(fake.hierarchies) == 1:
        fake.cgroup("", PATH, {"memory.numa_stat": "anon N0=1048576 N1=8192\nfile N0=4096\nshmem N0=0\n"})
    else:
        numa = "total=9 N0=9\nanon=5 N0=3 N1=2\nhierarchical_anon=256 N0=254 N1=2\n"
        fake.cgroup("memory", PATH, {"memory.numa_stat": numa})
        fake.cgroup("cpuset", PATH, {"cpuset.memory_migrate": "1\n"})
    huge = {"hugetlb.2MB.current": "2097152\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 3\n"}
    fake.cgroup("", PATH, huge)


def schedstat(fake: FakeHost, threads: Mapping[int, str]) -> None:
    """Give the container's process these threads, each with what its schedstat says, in place of those it had."""
    tasks = Path(f"{fake.root}/proc/4242/task")
    for one in tasks.iterdir():
        if int(one.name) not in threads:
            shutil.rmtree(one)
    for tid, text in threads.items():
        fake.file(f"/proc/4242/task/{tid}/schedstat", text)


def scraper(host: Host, *names: str, **options: object) -> Scraper:
    """Return a scraper of the default collectors and those named, without the exporter's own metrics."""
    default = Selection()
    selection = Selection(default.names | set(names), default.options.__class__(**options))  # type: ignore[arg-type]
    return Scraper(host, selection.observer(host).tick, selection, own=False)


NOWHERE = Host("/nonexistent")
READINGS: dict[str, Reading] = {
    "cpu": Cpu(quota_us=20000, period_us=100000, periods=5, throttled_periods=4, throttled_us=10),
    "cpuacct": CpuUsage(12_500_000, 8_000_000, 4_500_000),
    "memory": Memory(usage_bytes=5, limit_bytes=9, limit_hits=2, oom_kills=0),
    "pids": Pids(current=3),
}


def observed(*names: str) -> Observation:
    """Return an observation of containers with these names, each with figures of its own."""
    containers = [parts.container(f"c{number}")._replace(name=name, image="nginx") for number, name in enumerate(names)]
    readings = {
        (resource, one.cgroups[resource]): reading for one in containers for resource, reading in READINGS.items()
    }
    return parts.observation(100.0, containers=containers, readings=readings)


def made(look: Callable[[], Observation], *, own: bool = True, labels: tuple[str, ...] = ()) -> Scraper:
    """Return a scraper of those collectors that read nothing beside the observation."""
    selection = Selection(frozenset({"cpu", "memory", "processes", "limits", "info", "namespaces", "findings"}))
    selection = Selection(selection.names, selection.options.__class__(labels=labels))
    return Scraper(NOWHERE, look, selection, own=own)


def text_of(page: Page) -> str:
    """Return a page as text."""
    return b"".join(page.pieces()).decode()


def weighed(scrape: Scraper) -> str:
    """Return a page that tells what a layer takes, which is so within a few scrapes."""
    while "container_layer_bytes{" not in (text := text_of(scrape.page())):
        pass
    return text


def parsed(text: str) -> Series:
    """Return what Prometheus would store; a series that is there twice fails."""
    series: Series = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value))
            assert key not in series, f"twice: {key}"
            series[key] = sample.value
    return series


def series_of(series: Series, metric: str, **labels: str) -> list[float]:
    """Return the values of one metric whose labels include those given; a given "" is a label that is not there."""
    wanted = {pair for pair in labels.items() if pair[1]}
    absent = {name for name, value in labels.items() if not value}
    return [
        value
        for (name, have), value in series.items()
        if name == metric and wanted <= have and not absent & {key for key, _ in have}
    ]


def sharing() -> int:
    """Return how many threads wait for what another one is about to have (exporter.shared)."""
    tops = sys._current_frames().values()  # noqa: SLF001  the only way to see that a thread waits
    return sum(any(one.f_code is Future.result.__code__ for one in _stack(top)) for top in tops)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def names_of(series: Iterable[tuple[str, object]]) -> set[str]:
    """Return the names of all metrics."""
    return {name for name, _ in series}
