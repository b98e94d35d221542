"""Block devices, limits of processes and socket tables: what the exporter reads beside the cgroups."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from inspector.errors import ParseError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroup_in_full import IN_FULL
from inspector.kernel.controllers import RESOURCES, Hugetlb, Io
from inspector.kernel.disks import parse_diskstats, read_space, with_devices
from inspector.kernel.host import Host
from inspector.kernel.mounts import parse_mountinfo
from inspector.kernel.rlimits import parse_limits, read_descriptors, read_thread_states
from inspector.kernel.schedstat import read_thread_schedstats
from inspector.kernel.sockets import parse_tcp, parse_tcp_counters, parse_udp, read_tcp, read_tcp_counters

TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2757 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 52321 1 0 100 0 0 10 0
   1: 0100007F:2757 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 52322 1 0 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:2757 06 00000000:00000000 03:00000A5F 00000000     0        0 0 3 0
"""
UDP = b"""\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  409: 00000000:0044 00000000:0000 07 00000000:00000010 00:00000000 00000000     0        0 9182 2 000000001 3
  410: 0100007F:0044 0100007F:0045 01 00000002:00000000 00:00000000 00000000     0        0 9183 2 000000001 4
"""


def read_in_full(version: int, resource: str, contents: dict[str, str]) -> object:
    """Make a reading of a resource in full from the contents of its control files."""
    values: dict[str, object] = {}
    for file in IN_FULL[version][resource]:
        if file.name in contents:
            values.update(file.parse(contents[file.name].encode()))
    return RESOURCES[resource](**values)  # type: ignore[arg-type]


def test_in_full_is_more_of_the_same() -> None:
    """Every file of an ordinary tick is read in full too, and its parser gives at least what the ordinary one gives."""
    texts = {"memory.stat": b"anon 5\ntotal_rss 6\nkernel 3\n", "io.stat": b"8:0 rbytes=1 wbytes=2 rios=3 wios=4\n"}
    for version, files in ((1, cgroup_v1.FILES), (2, cgroup_v2.FILES)):
        for resource, ordinary in files.items():
            full = {file.name: file.parse for file in IN_FULL[version][resource]}
            assert [file.name for file in ordinary if file.name not in full] == []
            for file in ordinary:
                if file.name in texts:
                    text = texts[file.name]
                    assert file.parse(text).items() <= full[file.name](text).items()


def test_io_by_device_is_the_same_from_both_versions() -> None:
    """Bytes and operations of each device; a device without figures is left out, the sums are as without devices."""
    bytes_, operations = {"254:0": (4096, 8192), "8:0": (0, 1)}, {"254:0": (1, 2), "8:0": (0, 1)}
    expected = Io(4096, 8193, 1, 3, bytes_, operations)
    text = "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0\n7:0\n8:0 rbytes=0 wbytes=1 rios=0 wios=1\n"
    assert read_in_full(2, "io", {"io.stat": text}) == expected
    v1 = {
        "blkio.throttle.io_service_bytes_recursive": (
            "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 1\n8:0 Read 0\n8:0 Write 1\nTotal 12289\n"
        ),
        "blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 2\n8:0 Read 0\n8:0 Write 1\nTotal 4\n",
    }
    assert read_in_full(1, "io", v1) == expected
    assert next(iter(expected.devices())) == ("254:0", 4096, 8192, 1, 2)
    assert list(Io().devices()) == []


def test_huge_pages_by_size() -> None:
    """A size is there when its usage can be read; v2 tells no peak."""
    reading = read_in_full(2, "hugetlb", {"hugetlb.2MB.current": "2097152\n", "hugetlb.2MB.events": "max 4\n"})
    assert isinstance(reading, Hugetlb)
    assert reading.sizes() == {"2MB": (2097152, None, 4)}


def test_a_weight_in_shares_is_cadvisors() -> None:
    """Both versions tell v1's shares: v1 as they are, v2 on cAdvisor's line from 1 as 2 to 10000 as 262144."""
    found = [read_in_full(2, "cpu", {"cpu.weight": str(weight)}) for weight in (1, 100, 10000)]
    assert [reading.shares for reading in found] == [2, 2597, 262144]  # type: ignore[attr-defined]
    assert read_in_full(1, "cpu", {"cpu.shares": "512\n"}).shares == 512  # type: ignore[attr-defined]


def test_sockets_are_counted_by_state() -> None:
    """The states of TCP have cAdvisor's names, and of UDP drops and queued bytes are summed."""
    assert {name: count for name, count in parse_tcp(TCP).items() if count} == {
        "listen": 1, "established": 1, "timewait": 1,
    }  # fmt: skip
    assert parse_udp(UDP) == {"listen": 1, "dropped": 7, "rxqueued": 16, "txqueued": 2}
    for parse in (parse_tcp, parse_udp):
        with pytest.raises(ParseError):
            parse(b"title\nnonsense\n")


def test_a_real_listening_socket_is_seen() -> None:
    """A socket of this process shows in the kernel's own table."""
    with Host() as host:
        before = read_tcp(host, os.getpid())["listen"]
        with socket.create_server(("127.0.0.1", 0)):
            assert read_tcp(host, os.getpid())["listen"] >= 1
        assert before >= 0


def test_limits_of_a_process() -> None:
    """Soft limits by the kernel's name; "unlimited" is None."""
    text = b"""\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max open files            1024                 1048576              files
Max nice priority         0                    0
"""
    assert parse_limits(text) == {"Max cpu time": None, "Max open files": 1024, "Max nice priority": 0}


def test_open_files_and_threads_of_this_process() -> None:
    """One more socket is one more descriptor that is a socket, and a thread that runs is counted as running."""
    with Host() as host:
        before = read_descriptors(host, os.getpid())
        with socket.socket():
            after = read_descriptors(host, os.getpid())
        assert (after.files, after.sockets) == (before.files + 1, before.sockets + 1)
        assert read_thread_states(host, os.getpid())["R"] >= 1


def test_disks_and_what_only_looks_like_one() -> None:
    """A device that has done something is a disk, a loop device is not; its number is as in control files."""
    text = (
        b" 7 0 loop0 9 0 0 0 0 0 0 0 0 0 0\n 254 0 vda 5 1 80 7 6 2 96 8 1 9 15 1 2 3 4 5 6\n"
        b" 8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n"
    )
    disks = parse_diskstats(text)
    assert [disk.name for disk in disks if disk.is_disk] == ["vda"]
    assert (disks[1].number, disks[1].sectors_read, disks[1].io_ms) == ("254:0", 80, 9)


def test_a_device_has_one_place() -> None:
    """Of a device's mounts the highest that shows all of it; what is no block device is left out."""
    mounts = parse_mountinfo(
        b"1 0 8:1 /a /bound rw - ext4 /dev/sda1 rw\n2 0 8:1 / /data/x rw - ext4 /dev/sda1 rw\n"
        b"3 0 8:1 / /data rw - ext4 /dev/sda1 rw\n4 0 0:5 / /proc rw - proc proc rw\n"
    )
    assert {device: mount.mountpoint for device, mount in with_devices(mounts).items()} == {"/dev/sda1": "/data"}


def test_space_is_what_the_kernel_says(tmp_path: Path) -> None:
    """The figures are statvfs's, in bytes."""
    got = os.statvfs(tmp_path)
    with Host() as host:
        space = read_space(host, str(tmp_path))
    assert (space.total_bytes, space.inodes) == (got.f_blocks * got.f_frsize, got.f_files)


def test_counters_of_tcp() -> None:
    """Names and values stand on two lines; other protocols are left out, and a value too few is an error."""
    text = b"Ip: Forwarding\nIp: 1\nTcp: RtoMin MaxConn\nTcp: 200 -1\n"
    assert parse_tcp_counters(text) == {"RtoMin": 200, "MaxConn": -1}
    with pytest.raises(ParseError):
        parse_tcp_counters(b"TcpExt: TW TWKilled\nTcpExt: 6\n")
    with pytest.raises(ParseError):
        parse_tcp_counters(b"TcpExt: TW\n\n")
    assert parse_tcp_counters(b"\n\nTcpExt: TW\nTcpExt: 6\n") == {"TW": 6}
    with Host() as host:
        told = read_tcp_counters(host, os.getpid())
        assert {"ActiveOpens", "TCPTimeouts", "ListenDrops"} <= told.keys()


def test_a_thread_that_runs_has_run() -> None:
    """The kernel's own figures of this thread: its time on a CPU grows, and is about what the process has used."""
    me = threading.get_native_id()
    with Host() as host:
        before = read_thread_schedstats(host, os.getpid())[me]
        end = time.thread_time_ns() + 20_000_000
        while time.thread_time_ns() < end:
            pass
        after = read_thread_schedstats(host, os.getpid())[me]
    assert after.run_ns - before.run_ns >= 15_000_000
    assert after.timeslices >= before.timeslices > 0
