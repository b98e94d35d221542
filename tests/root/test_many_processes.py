"""One container of ten thousand processes, beside what the kernel's own links and lsns say of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.live.test_lsns import flat
from tests.testbed.commands import NSINSPECT, ctop_document, run
from tests.testbed.processes import children, until
from tests.testbed.tools import need

pytestmark = pytest.mark.root

MANY = 10_000
NEEDED_BYTES = 6 << 30  # a forked perl takes about 250 KiB, the kernel's part included
FORKS = f'for (1..{MANY}) {{ defined($p = fork) or die "fork: $!"; $p or sleep }} syswrite STDOUT, "."; sleep'


def available_bytes() -> int:
    """Return the memory that can be used without swapping."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture(scope="module")
def main() -> Iterator[int]:
    """Give the first process of a PID namespace of ten thousand more, which all end with it."""
    need("perl", "unshare")
    if available_bytes() < NEEDED_BYTES:
        pytest.skip("less than 6 GiB of memory to spare")
    command = ["unshare", "-pmf", "--mount-proc", "--kill-child=KILL", "perl", "-e", FORKS]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        try:
            assert launcher.stdout.read(1) == b"."
            yield children(launcher.pid)[0]
        finally:
            launcher.kill()
            launcher.wait()
            until(lambda: sum(map(str.isdigit, os.listdir("/proc"))) < MANY, "the ten thousand to end", 180)


def inside(kind: str, main: int) -> set[int]:
    """Return the processes in a namespace of `main`, from their links."""
    namespace = os.readlink(f"/proc/{main}/ns/{kind}")
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/{kind}") == namespace:
                found.add(int(pid))
    return found


def test_ten_thousand_processes_are_one_container(main: int) -> None:
    """It is there once, with every process in it once, the launcher that shares its mounts too; none is elsewhere."""
    members = inside("mnt", main)
    assert len(members) == MANY + 2
    document = ctop_document("--once", "--processes", "-d", "0.2")
    (one,) = (one for one in document["containers"] if one["pid"] == main)
    assert one["id"] == f"pid-{os.stat(f'/proc/{main}/ns/pid').st_ino}"
    assert one["runtime"] == "unshare"
    assert one["pids"]["current"] == len(members)
    listed = [process["pid"] for process in one["processes"] or ()]
    assert len(listed) == len(members)
    assert set(listed) == members
    within = inside("pid", main)
    inner = sorted(process["inner_pid"] or 0 for process in one["processes"] or () if process["pid"] in within)
    assert inner == list(range(1, MANY + 2))
    elsewhere = (other["processes"] or () for other in document["containers"] if other is not one)
    others = {process["pid"] for processes in elsewhere for process in processes}
    assert not others & members
    assert document["problems"] == []


def test_the_table_of_containers_needs_no_processes(main: int) -> None:
    """Without --processes the count is the same, and the document stays small."""
    document = ctop_document("--once", "-d", "0.2")
    (one,) = (one for one in document["containers"] if one["pid"] == main)
    assert one["pids"]["current"] == MANY + 2
    assert len(json.dumps(one)) < 10_000


def test_lsns_counts_the_same(main: int) -> None:
    """`nsinspect --namespaces` gives its PID and mount namespaces the processes and the lowest PID that lsns does."""
    need("lsns")
    inodes = {os.stat(f"/proc/{main}/ns/{kind}").st_ino for kind in ("pid", "mnt")}
    theirs = flat(json.loads(run(["lsns", "-J", "-t", "pid", "-t", "mnt"]).stdout)["namespaces"])
    rows = json.loads(run([*NSINSPECT, "--namespaces", "--json"]).stdout)["namespaces"]
    ours = {row["inode"]: (row["type"], row["processes"], row["pid"]) for row in rows}
    assert {inode: ours[inode] for inode in inodes} == {inode: theirs[inode] for inode in inodes}
    assert {count for _, count, _ in (ours[inode] for inode in inodes)} == {MANY + 1, MANY + 2}
