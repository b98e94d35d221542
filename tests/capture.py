"""`python -m tests.capture FILE`: write this machine's kernel files as an archive for tests/hosts.

Bounded and redacted: some processes (those with namespaces or cgroups of
their own first), of a command line only the program, a neutral host name, no
interrupts, and whatever `--replace OLD=NEW` names. Look at the file before
you commit it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from inspector.errors import InspectorError
from inspector.kernel import cgroup_v1, cgroup_v2
from inspector.kernel.cgroups import Hierarchy, ancestors, path_in, read_cgroup, read_hierarchies
from inspector.kernel.host import Host
from inspector.kernel.namespaces import NAMESPACES, read_namespaces
from inspector.kernel.process import list_pids
from tests.archive import Archive, dumps

MACHINE = (
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/sys/kernel/osrelease",
    "/sys/devices/system/cpu/online",
)
OF_PROCESS = ("stat", "status", "cgroup", "mountinfo", "uid_map", "gid_map", "net/dev", "attr/current")
OF_CGROUP = ("cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "cgroup.type", "cgroup.freeze")


class Capture:
    """Collects an archive from a Host; what cannot be read is left out, as a reader would find it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.archive = Archive()

    def take(self, path: str) -> None:
        """Take one file, if it can be read."""
        try:
            self.archive.files[path] = self.host.read(path)
        except OSError:
            return

    def machine(self) -> None:
        """Take the machine's totals."""
        for path in MACHINE:
            self.take(path)
        lines = self.host.read("/proc/stat").splitlines(keepends=True)
        self.archive.files["/proc/stat"] = b"".join(line for line in lines if line.startswith((b"cpu", b"btime")))
        self.archive.files["/proc/sys/kernel/hostname"] = b"host\n"

    def process(self, pid: int) -> None:
        """Take one process; of its command line the program alone."""
        for name in OF_PROCESS:
            self.take(f"/proc/{pid}/{name}")
        try:
            program, more, _ = self.host.read_prefix(f"/proc/{pid}/cmdline", 256).partition(b"\0")
            self.archive.files[f"/proc/{pid}/cmdline"] = program + more
        except OSError:
            return
        for kind in NAMESPACES:
            path = f"/proc/{pid}/ns/{kind}"
            try:
                self.archive.links[path] = self.host.readlink(path)
            except OSError:
                continue

    def cgroup(self, hierarchy: Hierarchy, directory: str, pids: Iterable[int]) -> None:
        """Take the control files that the inspector reads of one cgroup."""
        files = cgroup_v1.FILES if hierarchy.version == 1 else cgroup_v2.FILES
        for name in (*OF_CGROUP, *(file.name for group in files.values() for file in group)):
            self.take(f"{directory}/{name}")
        procs = f"{directory}/cgroup.procs"
        members = self.archive.files.get(procs, b"").split()
        if members:
            taken = {str(pid).encode() for pid in pids}
            self.archive.files[procs] = b"".join(pid + b"\n" for pid in members if pid in taken)


def choose(host: Host, most: int) -> list[int]:
    """Choose processes: our own and the first, then those unlike the first ones, one of a kind before two."""
    me = os.getpid()
    chosen, rest, seen = [1, me], list[int](), set()
    for pid in sorted(list_pids(host)):
        try:
            kind = (tuple(read_cgroup(host, pid).paths.items()), tuple(read_namespaces(host, pid).items()))
        except (OSError, InspectorError):
            continue
        (rest if kind in seen else chosen).append(pid)
        seen.add(kind)
    return sorted({*(chosen + rest)[:most], me})


def capture(host: Host, pids: list[int]) -> Archive:
    """Take the machine, these processes, and every cgroup that one of them is in, with its ancestors."""
    take = Capture(host)
    take.machine()
    hierarchies = read_hierarchies(host)
    for pid in pids:
        take.process(pid)
        try:
            membership = read_cgroup(host, pid)
        except OSError:
            continue
        for hierarchy in hierarchies:
            path = path_in(hierarchy, membership)
            for above in ancestors(path, hierarchy.root) if path else ():
                directory = hierarchy.directory(above)
                if directory and f"{directory}/cgroup.procs" not in take.archive.files:
                    take.cgroup(hierarchy, directory, pids)
    take.archive.links["/proc/self"] = str(os.getpid())
    return take.archive


def replaced(archive: Archive, pairs: list[tuple[str, str]]) -> Archive:
    """Return the archive with texts replaced everywhere: in names, contents and links."""

    def text(value: str) -> str:
        for old, new in pairs:
            value = value.replace(old, new)
        return value

    def data(value: bytes) -> bytes:
        return os.fsencode(text(os.fsdecode(value)))

    return Archive(
        archive.remarks,
        {text(path): data(content) for path, content in archive.files.items()},
        {text(path): text(target) for path, target in archive.links.items()},
    )


def main(argv: list[str] | None = None) -> int:
    """Capture this machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.capture", description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--pids", help="which processes, separated by commas (else chosen)")
    parser.add_argument("--most", type=int, default=24, help="how many processes (24)")
    parser.add_argument("--runtime", default="none", help="what runs here, for the remarks")
    parser.add_argument("--replace", action="append", default=[], metavar="OLD=NEW")
    options = parser.parse_args(argv)
    with Host() as host:
        pids = [int(pid) for pid in re.findall(r"\d+", options.pids or "")]
        archive = capture(host, sorted({1, os.getpid(), *pids}) if pids else choose(host, options.most))
        release = host.read("/proc/sys/kernel/osrelease").decode().strip()
        versions = sorted({f"v{hierarchy.version}" for hierarchy in read_hierarchies(host)})
    archive.remarks = [f"kernel {release}, cgroup {' and '.join(versions)}, runtime: {options.runtime}"]
    pairs = [(os.path.realpath(os.curdir), "/src"), *(tuple(pair.split("=", 1)) for pair in options.replace)]
    options.file.write_text(dumps(replaced(archive, pairs)), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
