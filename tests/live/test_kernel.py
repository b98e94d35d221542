"""Our reading of this machine's /proc and mounts beside psutil, lsns and findmnt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from inspector.kernel.cgroup_tree import walk
from inspector.kernel.cgroups import (
    Hierarchy,
    directory_of,
    locate,
    members_of,
    path_in,
    read_cgroup,
    read_hierarchies,
)
from inspector.kernel.host import Host
from inspector.kernel.mounts import read_mountinfo
from inspector.kernel.namespaces import read_namespaces
from inspector.kernel.network import parse_net_dev
from inspector.kernel.process import CLOCK_TICKS, list_pids, read_cmdline, read_stat, read_status
from inspector.kernel.system import read_system


@pytest.fixture
def host() -> Iterator[Host]:
    """Give this machine."""
    with Host() as host:
        yield host


def run(*command: str) -> str:
    """Return what a program of the system says, or skip when it is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def by_psutil(pid: int) -> tuple[int, int, float, list[str], tuple[int, ...]] | None:
    """Return parent, threads, start time, command line and user ids, or None when the process is ending."""
    try:
        oracle = psutil.Process(pid)
        return oracle.ppid(), oracle.num_threads(), oracle.create_time(), oracle.cmdline(), oracle.uids()
    except (psutil.NoSuchProcess, IndexError):  # psutil looks for lines that a process on its way out no longer has
        return None


def busy_by_psutil() -> float:
    """Return the seconds that all CPUs together were busy."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def test_the_uptime_is_that_of_the_clock_of_start_times(host: Host) -> None:
    """/proc/uptime tells a container's age where lxcfs is mounted, and its hundredths are too coarse for 0.1 s."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    uptime = read_system(host).uptime_seconds
    assert before < uptime < time.clock_gettime(time.CLOCK_BOOTTIME)


def test_every_process_as_psutil_reads_it(host: Host) -> None:
    """Name, parent, threads and start time agree for every process that is there before and after."""
    compared = 0
    for pid in list_pids(host):
        try:
            before, status, cmdline = read_stat(host, pid), read_status(host, pid), read_cmdline(host, pid)
            facts = by_psutil(pid)
            after = read_stat(host, pid)
            same = (status.uids, cmdline) == (read_status(host, pid).uids, read_cmdline(host, pid))
        except (ProcessLookupError, FileNotFoundError):
            continue
        if facts is None or not same or (before.starttime_ticks, before.comm, before.num_threads, before.ppid) != (
            after.starttime_ticks, after.comm, after.num_threads, after.ppid,
        ):  # fmt: skip
            continue
        assert (before.ppid, before.num_threads) == facts[:2]
        assert before.starttime_ticks / CLOCK_TICKS == pytest.approx(facts[2] - psutil.boot_time(), abs=0.02)
        if not before.comm.startswith("kworker/"):  # the kernel shows what it is at work on: "+kblockd", "-kblockd"
            assert status.name[:15] == before.comm[:15]
        assert status.uids[:3] == tuple(facts[4])
        if before.state != "Z" and len(cmdline) < 4000 and facts[3]:
            assert cmdline.split() == " ".join(facts[3]).split()
        compared += 1
    assert compared > 5


def test_the_machines_totals_as_psutil_reads_them(host: Host) -> None:
    """Memory, CPUs, boot time, load and busy time agree."""
    load_before, busy_before = os.getloadavg(), busy_by_psutil()
    system = read_system(host)
    load_after, busy_after = os.getloadavg(), busy_by_psutil()
    assert system.memory_bytes == psutil.virtual_memory().total
    assert system.cpus == psutil.cpu_count() == os.cpu_count()
    assert system.boot_time == psutil.boot_time()
    # The kernel reckons them anew every five seconds.
    assert system.load in (pytest.approx(load_before, abs=0.01), pytest.approx(load_after, abs=0.01))
    assert (system.hostname, system.kernel) == (os.uname().nodename, os.uname().release)
    assert busy_before - 0.1 <= system.cpu_busy_seconds <= busy_after + 0.1


def test_the_interfaces_as_psutil_reads_them(host: Host) -> None:
    """Every interface is there, with counters that only grow."""
    before = {one.name: one for one in parse_net_dev(host.read("/proc/self/net/dev"))}
    oracle = psutil.net_io_counters(pernic=True)
    assert before.keys() == oracle.keys()
    for name, one in before.items():
        assert one.receive_bytes <= oracle[name].bytes_recv
        assert one.transmit_packets <= oracle[name].packets_sent


def test_namespaces_as_lsns_lists_them(host: Host) -> None:
    """For each namespace that lsns lists, the process it names is in it by our reading too."""
    listed = json.loads(run("lsns", "-J", "-o", "NS,TYPE,PID"))["namespaces"]
    compared = 0
    for entry in listed:
        try:
            assert read_namespaces(host, int(entry["pid"]))[entry["type"]] == int(entry["ns"])
        except OSError:
            continue
        compared += 1
    assert compared >= 7


def test_namespaces_of_ourselves_by_stat(host: Host) -> None:
    """The inode in a link's text is the one that stat(2) gives for what it leads to."""
    for kind, inode in read_namespaces(host, "self").items():
        assert os.stat(f"/proc/self/ns/{kind}").st_ino == inode


def _flatten(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from _flatten(node.get("children", []))


def test_mounts_as_findmnt_lists_them(host: Host) -> None:
    """Mountpoint, type, source and id agree for each mount."""
    ours = {mount.mount_id: mount for mount in read_mountinfo(host, "self")}
    text = run("findmnt", "-J", "-o", "ID,TARGET,FSTYPE,SOURCE,FSROOT", "--list", "--submounts", "/")
    theirs = {int(node["id"]): node for node in _flatten(json.loads(text)["filesystems"])}
    common = ours.keys() & theirs.keys()
    assert len(common) >= 3
    for number in common:
        ours_one, node = ours[number], theirs[number]
        assert (ours_one.mountpoint, ours_one.fstype, ours_one.root) == (
            node["target"], node["fstype"], node["fsroot"],
        )  # fmt: skip


def members(host: Host, hierarchy: Hierarchy, path: str) -> tuple[int, ...]:
    """Return who is in one cgroup."""
    (found,) = members_of(host, hierarchy, [path])
    assert isinstance(found, tuple)
    return found


def test_cgroups_as_the_files_say(host: Host) -> None:
    """For each hierarchy we find ourselves among the members of the directory our membership leads to."""
    hierarchies = read_hierarchies(host)
    membership = read_cgroup(host, "self")
    assert hierarchies
    for hierarchy in hierarchies:
        path = path_in(hierarchy, membership)
        assert path is not None
        directory = hierarchy.directory(path)
        assert directory is not None
        with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
            assert str(os.getpid()) in file.read().split()
        assert os.getpid() in members(host, hierarchy, path)
        assert path in set(walk(host, hierarchy))


def test_memory_is_located(host: Host) -> None:
    """The control files of our own memory cgroup are where we say."""
    hierarchies = read_hierarchies(host)
    if locate(hierarchies, "memory") is None:
        pytest.skip("this kernel has no memory controller mounted")
    directory = directory_of(hierarchies, "memory", read_cgroup(host, "self"))
    assert any(name.startswith("memory.") for name in os.listdir(str(directory)))


def test_a_kept_file_tells_of_a_new_member(host: Host) -> None:
    """A process that starts between two ticks is among the members at once, although files are kept open."""
    hierarchy = read_hierarchies(host)[0]
    path = path_in(hierarchy, read_cgroup(host, "self")) or "/"
    before = members(host, hierarchy, path)
    host.end_tick()
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert child.pid in members(host, hierarchy, path)
            assert child.pid not in before
        finally:
            child.kill()
