"""What a test run must not leave behind: mounts, cgroups, processes, namespaces, links, nft tables.

A Footprint is what there is of these now. `left(before, after)` names what
came since. Processes are ours when they carry this run's mark in their
environment or sit in a cgroup that came since; a container's cleared
environment takes the mark away, but not the cgroup.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields

MARK = "CGSCOPE_TEST_RUN"
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """The kernel objects there are, each as a line a person can act on."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]


# Filled when the run begins: our own cgroup by hierarchy, and the trees at the top that are not ours.
OWN_CGROUPS: dict[str, str] = {}
FOREIGN_TREES: set[str] = set()


@functools.cache
def before_this_run() -> Footprint:
    """Give this process, and so everything it starts, a mark of its own, and return what there is before it begins.

    A second call returns the same: where the last test is run again, so is all that was made for the whole run.
    """
    _mark_this_run()
    return take()


def _mark_this_run() -> None:
    """Mark this process; note which cgroups were there before."""
    os.environ.setdefault(MARK, uuid.uuid4().hex)
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        paths = {line.split(":", 2)[1]: line.rstrip("\n").split(":", 2)[2] for line in file}
    for mount in cgroup_mounts():
        names = [name for name in os.path.basename(mount).split(",") if name in paths]
        OWN_CGROUPS[mount] = paths[names[0]] if names else paths.get("", "/")
        with os.scandir(mount) as entries:
            FOREIGN_TREES.update(entry.path for entry in entries if entry.is_dir() and entry.name != "cgscope")


def take() -> Footprint:
    """Return what there is now."""
    return Footprint(
        mounts=frozenset(_mounts()),
        cgroups=frozenset(_cgroups()) | beside_hierarchies(),
        processes=frozenset(_marked_processes()),
        namespaces=frozenset(_namespaces()),
        links=frozenset(os.listdir("/sys/class/net")),
        tables=frozenset(_tables()),
    )


def left(before: Footprint, after: Footprint) -> list[str]:
    """Return what is in `after` and was not in `before`, a line each."""
    return [
        f"{field.name}: {line}"
        for field in fields(Footprint)
        for line in sorted(getattr(after, field.name) - getattr(before, field.name))
    ]


def wait_until_clean(before: Footprint, seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Return what is left; the kernel gets some time to reap what is already dying."""
    deadline = time.monotonic() + seconds
    while (rest := left(before, take())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return rest


def remove_cgroups(cgroups: Iterable[str], seconds: float = PATIENCE_SECONDS) -> None:
    """Remove these cgroups, those in others first, as soon as the last process has left them; or leave them."""
    deadline = time.monotonic() + seconds
    for cgroup in sorted(cgroups, reverse=True):
        while os.path.isdir(cgroup):
            with contextlib.suppress(OSError):
                os.rmdir(cgroup)
                break
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        # "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": where, and what kind
        lines = [line.split() for line in file]
    return [f"{line[4]} ({line[line.index('-') + 1]})" for line in lines]


def cgroup_mounts() -> list[str]:
    """Return where the cgroup hierarchies are mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.split() for line in file]
    return [line[4] for line in lines if line[line.index("-") + 1] in ("cgroup", "cgroup2")]


def _cgroups() -> list[str]:
    """Return the cgroups that can be ours: those in a tree that begins at the top, or below our own cgroup.

    Runtimes start their trees there. What a service manager makes meanwhile
    in a tree of its own that was there before (a slice) is its own business.
    """
    return [
        directory
        for mount in cgroup_mounts()
        for directory, _, _ in os.walk(mount)
        if directory != mount and _can_be_ours(mount, directory)
    ]


def beside_hierarchies() -> frozenset[str]:
    """Return what is no cgroup and stands where hierarchies are mounted: conmon makes some, with a file in each."""
    places = {os.path.dirname(mount) for mount in cgroup_mounts()}
    found: set[str] = set()
    for place in (place for place in places if f"{place} (tmpfs)" in _mounts()):
        for directory, names, files in os.walk(place):
            names[:] = [name for name in names if not os.path.ismount(f"{directory}/{name}")]
            found.update(f"{directory}/{name}" for name in (*names, *files))
    return frozenset(found)


def _can_be_ours(mount: str, directory: str) -> bool:
    top = directory[len(mount) :].split("/")[1]
    own = OWN_CGROUPS.get(mount, "/")
    return f"{mount}/{top}" not in FOREIGN_TREES or (own != "/" and directory.startswith(f"{mount}{own}/"))


def _marked_processes() -> list[str]:
    mark = f"{MARK}={os.environ[MARK]}".encode() if MARK in os.environ else None
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark is None or mark not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found.append(f"{pid} {file.read().replace(bytes(1), b' ')[:120]!r}")
    return found


def _namespaces() -> list[str]:
    """Return the namespaces our marked processes or named mounts cannot tell of: any that some process is in."""
    found = set()
    for pid in _pids():
        for kind in ("net", "mnt", "pid", "user"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return sorted(found)


def _pids() -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]


def _tables() -> list[str]:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        return []
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines()
