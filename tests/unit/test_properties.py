"""Every parser of a kernel file: whatever the bytes, it returns or raises ParseError, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspector.errors import ParseError
from inspector.kernel import (
    cgroup_tree,
    cgroup_v1,
    cgroup_v2,
    cgroups,
    disks,
    mounts,
    namespaces,
    network,
    numa,
    process,
    rlimits,
    schedstat,
    sockets,
    system,
)
from inspector.kernel.cgroup_in_full import IN_FULL
from inspector.kernel.cgroup_on_demand import ON_DEMAND, parse_devices, parse_recent_pressure
from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.mounts import overlay_layers
from tests.archive import Archive, dumps, loads

Parser = Callable[[bytes], object]


def _of_text(parse: Callable[[str], object]) -> Parser:
    return lambda data: parse(data.decode(errors="surrogateescape"))


# Each with a text that it understands: bytes near a good text reach further into a parser than random ones.
PARSERS: dict[str, tuple[Parser, bytes]] = {
    "stat": (process.parse_stat, b"410 (cat) R 408 408 30705 0 -1 4194304 1 0 0 0 31 42 0 0 20 0 3 0 90588 3 418 1\n"),
    "status": (
        process.parse_status,
        (b"Name:\ta\\n\nTgid:\t4\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nNSpid:\t4\t1\nRssAnon:\t 1 kB\nThreads:\t1\n"
        b"CapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t0\n"),
    ),
    "cmdline": (process.parse_cmdline, b"a\0b\0"),
    "uid_map": (process.parse_id_map, b"         0     100000      65536\n"),
    "timens_offsets": (namespaces.parse_timens_offsets, b"monotonic   5  0\nboottime  -100  500000000\n"),
    "ns": (_of_text(namespaces.parse_namespace), b"mnt:[4026531832]"),
    "mountinfo": (
        mounts.parse_mountinfo,
        b"36 35 98:0 /a\\040b /m rw master:1 - overlay o rw,lowerdir=/a\\134:b:/c,upperdir=/u,workdir=/w\n",
    ),
    "root mount": (
        mounts.parse_root_mount,
        b"36 35 98:0 /a / rw master:1 - ext4 o rw\n37 36 98:0 /kept/hostname /etc/hostname rw - ext4 o rw\n",
    ),
    "layers": (
        lambda data: [overlay_layers(mount) for mount in mounts.parse_mountinfo(data)],
        b"36 35 98:0 / /m rw - overlay o rw,lowerdir+=/a,lowerdir+=/b\\134\n",
    ),
    "cgroup": (cgroups.parse_cgroup, b"4:cpu,cpuacct:/docker/ab\n1:name=systemd:/\n0::/\n"),
    "cgroup.stat": (cgroup_tree.parse_descendants, b"nr_descendants 3\nnr_dying_descendants 0\n"),
    "/proc/cgroups": (cgroup_tree.parse_cgroup_counts, b"#subsys_name\thierarchy\tnum\tenabled\ncpu\t1\t203\t1\n"),
    "cgroup.controllers": (cgroups.parse_controllers, b"cpuset cpu io\n"),
    "cgroup.procs": (cgroups.parse_pids, b"1\n22\n"),
    "net/dev": (network.parse_net_dev, b"I|\n f|b\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
    "diskstats": (disks.parse_diskstats, b" 254 0 vda 1 2 3 4 5 6 7 8 9 10 11\n"),
    "limits": (
        rlimits.parse_limits,
        b"Limit    Soft Limit   Hard Limit   Units\nMax open files   1024  unlimited  files\n",
    ),
    "net/tcp": (sockets.parse_tcp, b"  sl\n   0: 0100007F:2757 00000000:0000 0A 00000000:00000000 00:0 0 0\n"),
    "net/udp": (sockets.parse_udp, b"  sl\n 1: 0:0 0:0 07 00000000:00000001 00:0 0 0 0 1 2 3 4\n"),
    "net/netstat": (sockets.parse_tcp_counters, b"TcpExt: TW PAWSActive\nTcpExt: 6 -1\nIpExt: A\nIpExt: 1\n"),
    "schedstat": (schedstat.parse_schedstat, b"2057128 11254 12\n"),
    "memory.numa_stat": (numa.parse_numa_stat, b"total=9 N0=9\nanon N0=5 N1=4\n"),
    "listeners": (
        lambda data: sockets.parse_listeners("tcp6", data),
        b"  sl\n 0: 00000000000000000000000001000000:0050 0:0 0A 0:0 00:0 0 0 0 4242 1\n",
    ),
    "cpu list": (_of_text(system.parse_cpu_list), b"0-3,8\n"),
    "meminfo": (system.parse_meminfo, b"MemTotal:  24684084 kB\nHugePages_Total: 0\n"),
    "/proc/stat": (system.parse_cpu_totals, b"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\nbtime 1700000000\n"),
    "loadavg": (lambda data: system.parse_floats("loadavg", data, 3), b"0.08 0.03 0.01 2/207 30705\n"),
}
CONTROL_TEXTS = (b"max", b"20000 100000\n", b"nr_periods 5\ntotal_rss 6\nanon 7\n", b"8:0 rbytes=1\n", b"-1\n", b"1\n")
for _version, _files in ((1, cgroup_v1.FILES), (2, cgroup_v2.FILES)):
    for _resource, _group in _files.items():
        for _file in _group:
            PARSERS[f"v{_version} {_resource} {_file.name}"] = (_file.parse, b"\n".join(CONTROL_TEXTS))
for _version, _files in ON_DEMAND.items():
    for _resource, _group in _files.items():
        for _file in _group:
            _good = b"8:0 rbps=1 wbps=max\n" if _file.name == "io.max" else b"8:0 4096\n"
            PARSERS[f"v{_version} {_resource} {_file.name} on demand"] = (_file.parse, _good)
for _version, _full in IN_FULL.items():
    for _resource, _group in _full.items():
        for _file in _group:
            PARSERS[f"v{_version} {_resource} {_file.name} in full"] = (_file.parse, b"\n".join(CONTROL_TEXTS))
PARSERS["devices.list"] = (parse_devices, b"c 1:3 rwm\nb *:* m\n")
PARSERS["recent pressure"] = (parse_recent_pressure, b"some avg10=1.53 avg60=0.87 avg300=0.22 total=5\n")


@st.composite
def near(draw: st.DrawFn, text: bytes) -> bytes:
    """Bytes near a good text: a part of it replaced, doubled or cut out."""
    first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    middle = draw(st.one_of(st.binary(max_size=8), st.just(text[first:last] * 2), st.sampled_from((b"9" * 5000, b"-"))))
    return text[:first] + middle + text[last:]


@pytest.mark.parametrize("name", PARSERS)
def test_only_parse_errors(name: str) -> None:
    """The parser raises nothing but ParseError, on any bytes and on bytes near those it expects."""
    parse, good = PARSERS[name]
    # Python converts no text of more than 4,300 digits.
    numbers = [good[: found.start()] + b"9" * 5000 + good[found.end() :] for found in re.finditer(rb"\d+", good)]

    @settings(max_examples=60, database=None, deadline=None)
    @given(st.one_of(st.binary(max_size=200), near(good), st.sampled_from(CONTROL_TEXTS).flatmap(near)))
    def check(data: bytes) -> None:
        try:
            parse(data)
        except ParseError as error:
            assert len(str(error)) < 2000  # noqa: PT017  the message of whatever was raised stays short

    for data in numbers:
        example(data)(check)
    check()


@pytest.mark.parametrize("name", [name for name in PARSERS if not name.startswith("v")])
def test_the_samples_are_understood(name: str) -> None:
    """Each sample text is one that its parser accepts: the property above starts from the right place."""
    parse, good = PARSERS[name]
    parse(good)


PATHS = st.lists(st.sampled_from(("a", "b", "..", "..c", "x y")), max_size=4).map(lambda names: "/" + "/".join(names))


@settings(max_examples=300, database=None, deadline=None)
@given(root=PATHS, path=PATHS)
def test_no_cgroup_path_leads_out_of_its_mount(root: str, path: str) -> None:
    """Whatever path a process is in, its directory is below the mountpoint or there is none."""
    directory = Hierarchy(2, frozenset(), "/m", root).directory(path)
    if directory is not None:
        assert directory == "/m" or directory.startswith("/m/")
        if root == "/":
            assert directory == ("/m" if path == "/" else f"/m{path}")


@settings(max_examples=100, database=None, deadline=None)
@given(
    files=st.dictionaries(st.text(min_size=1).map(lambda name: f"/{name}"), st.binary()),
    links=st.dictionaries(st.text(min_size=1).map(lambda name: f"/{name}"), st.text()),
)
def test_an_archive_survives_its_text(files: dict[str, bytes], links: dict[str, str]) -> None:
    """What was written is what is read, whatever bytes are in names and contents."""
    encodable = {
        "files": {name: data for name, data in files.items() if _encodable(name)},
        "links": {name: target for name, target in links.items() if _encodable(name) and _encodable(target)},
    }
    archive = Archive(["a remark"], encodable["files"], encodable["links"])  # type: ignore[arg-type]
    assert loads(dumps(archive)) == archive


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_the_repository_has_every_parser_here() -> None:
    """A parse_ function that is added to a kernel module must be added to the table above, or to FILES."""
    source = Path(__file__).read_text()
    for module in (cgroups, disks, mounts, namespaces, network, process, rlimits, sockets, system):
        for name in module.__all__:
            if name.startswith("parse_"):
                assert f".{name}" in source, f"{module.__name__}.{name} has no property test"
