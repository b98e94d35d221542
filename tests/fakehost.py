"""A small machine in a directory: processes, mounts and cgroups written where a Host looks for them.

    host = (
        FakeHost(tmp_path, "v1")
        .process(4242, "nginx", cgroups={"memory": "/docker/ab"}, namespaces={"net": 4026532001})
        .cgroup("memory", "/docker/ab", {"memory.limit_in_bytes": "67108864"})
        .open()
    )

The layout is "v1", "v2" or "hybrid" (v1 beside a v2 tree that carries hugetlb,
as on a machine booted by an old systemd). Process 1 is there from the start,
and "self" is process 1 until viewer() says otherwise. Namespaces are dangling
links, as in /proc.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from inspector.kernel.cgroups import Hierarchy
from inspector.kernel.host import Host
from inspector.kernel.namespaces import INITIAL

__all__ = ["LAYOUTS", "FakeHost"]

CGROUP = "/sys/fs/cgroup"
V1 = tuple(
    Hierarchy(1, frozenset(names.split(",")), f"{CGROUP}/{names}")
    for names in ("cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "freezer", "devices")
)
NAMED = Hierarchy(1, frozenset({"name=systemd"}), f"{CGROUP}/systemd")
V2 = Hierarchy(2, frozenset({"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}), CGROUP)
LAYOUTS = {
    "v1": (*V1, NAMED),
    "v2": (V2,),
    "hybrid": (*V1, NAMED, Hierarchy(2, frozenset({"hugetlb"}), f"{CGROUP}/unified")),
}

STATUS = """\
Name:\t{name}
Umask:\t0022
State:\tS (sleeping)
Tgid:\t{pid}
Ngid:\t0
Pid:\t{pid}
PPid:\t{ppid}
Uid:\t{uid}\t{uid}\t{uid}\t{uid}
Gid:\t{uid}\t{uid}\t{uid}\t{uid}
Groups:\t
NSpid:\t{ns_pids}
VmRSS:\t    1780 kB
RssAnon:\t{rss_anon_kb:>8} kB
Threads:\t{threads}
CapInh:\t0000000000000000
CapPrm:\t{caps:016x}
CapEff:\t{caps:016x}
CapBnd:\t{caps:016x}
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t{seccomp}
Seccomp_filters:\t{seccomp}
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
"""  # noqa: E501  as the kernel writes it
MEMINFO = """\
MemTotal:        8000000 kB
MemFree:         6000000 kB
MemAvailable:    7000000 kB
Buffers:           10000 kB
Cached:           900000 kB
Active:           300000 kB
Inactive:         600000 kB
Shmem:              8000 kB
SwapTotal:       1000000 kB
SwapFree:         900000 kB
Slab:             100000 kB
SReclaimable:      50000 kB
HugePages_Total:       0
"""


class FakeHost:
    """Builds a machine below a directory. Every method but open() returns the builder itself."""

    def __init__(self, root: Path, layout: str = "v1", *, cpus: int = 4) -> None:
        self.root = str(root)
        self.hierarchies = LAYOUTS[layout]
        ticks = "1000 0 500 80000 100 0 0 0 0 0"
        lines = [f"cpu  {ticks}", *(f"cpu{number} {ticks}" for number in range(cpus)), "btime 1700000000", ""]
        self.file("/proc/stat", "\n".join(lines))
        self.file("/proc/meminfo", MEMINFO)
        self.file("/proc/loadavg", "0.50 0.25 0.10 1/200 4242\n")
        self.file("/proc/uptime", "1000.00 3200.00\n")
        self.file("/proc/sys/kernel/hostname", "fake\n")
        self.file("/proc/sys/kernel/osrelease", "6.1.0-fake\n")
        self.file("/sys/devices/system/cpu/online", f"0-{cpus - 1}\n")
        for hierarchy in self.hierarchies:
            files = {"cgroup.controllers": " ".join(sorted(hierarchy.controllers))} if hierarchy.version == 2 else {}
            self._group(hierarchy, "/", {**files, "cgroup.procs": ""})
        self.process(1, "init", ppid=0, starttime=1)
        self.viewer(1)

    def open(self) -> Host:
        """Return a Host that reads this machine."""
        return Host(self.root)

    def file(self, path: str, content: str | bytes) -> Self:
        """Write a file, making its directories."""
        full = Path(self.root + path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
        return self

    def link(self, path: str, target: str) -> Self:
        """Make a symbolic link, dangling or not, in place of what was there."""
        full = Path(self.root + path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.unlink(missing_ok=True)
        full.symlink_to(target)
        return self

    def viewer(self, pid: int) -> Self:
        """Make /proc/self this process: from then on we look through its eyes."""
        return self.link("/proc/self", str(pid))

    def process(  # noqa: PLR0913  what can be said of a process
        self,
        pid: int,
        comm: str = "sh",
        *,
        ppid: int = 1,
        cmdline: str | None = None,
        ns_pids: tuple[int, ...] | None = None,
        namespaces: Mapping[str, int] | None = None,
        cgroups: Mapping[str, str] | str = "/",
        mountinfo: str | None = None,
        starttime: int = 5000,
        utime: int = 0,
        stime: int = 0,
        threads: int = 1,
        state: str = "S",
        uid: int = 0,
        rss_anon_kb: int = 108,
        caps: int = 0x1FFFFFFFFFF,
        seccomp: int = 0,
    ) -> Self:
        """Add a process: `cgroups` by controller ("" is v2), or one path for all; `namespaces` that are not the first.

        `cmdline` has its arguments separated by NUL, `ns_pids` goes from outermost to innermost.
        """
        base = f"/proc/{pid}"
        told, ns_told = comm.replace("\\", "\\\\").replace("\n", "\\n"), "\t".join(map(str, ns_pids or (pid,)))
        status = STATUS.format(name=told, pid=pid, ppid=ppid, uid=uid, threads=threads, rss_anon_kb=rss_anon_kb,
                               caps=caps, seccomp=seccomp, ns_pids=ns_told)  # fmt: skip
        times = f"{utime} {stime} 0 0 20 0 {threads} 0 {starttime} 3133440 418"
        self.file(f"{base}/stat", f"{pid} ({comm}) {state} {ppid} {pid} {pid} 0 -1 4194304 104 0 0 0 {times} 1 2 3\n")
        self.file(f"{base}/status", status)
        self.file(f"{base}/cmdline", f"{comm}\0" if cmdline is None else cmdline)
        self.file(f"{base}/uid_map", "         0          0 4294967295\n")
        self.file(f"{base}/gid_map", "         0          0 4294967295\n")
        self.file(f"{base}/net/dev", NET_DEV)
        for kind, inode in {**INITIAL, **(namespaces or {})}.items():
            self.link(f"{base}/ns/{kind}", f"{kind}:[{inode}]")
        self._join(pid, cgroups)
        return self.mountinfo(self.mounts() if mountinfo is None else mountinfo, pid)

    def mounts(self) -> str:
        """Return the mountinfo of the machine's own mount namespace."""
        lines = [
            "22 27 0:21 / /proc rw,relatime - proc proc rw",
            "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw",
            "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard",
        ]
        for number, hierarchy in enumerate(self.hierarchies, 40):
            fstype = "cgroup" if hierarchy.version == 1 else "cgroup2"
            options = ",".join(["rw", *(sorted(hierarchy.controllers) if hierarchy.version == 1 else ())])
            place = f"{number} 23 0:{number} / {hierarchy.mountpoint} rw,nosuid"
            lines.append(f"{place} shared:{number} - {fstype} {fstype} {options}")
        return "\n".join(lines) + "\n"

    def mountinfo(self, text: str, pid: int = 1) -> Self:
        """Give a process a mount table of its own."""
        return self.file(f"/proc/{pid}/mountinfo", text)

    def cgroup(self, controller: str, path: str, files: Mapping[str, str | bytes] | None = None) -> Self:
        """Make a cgroup in the hierarchy of a controller ("" for the v2 one), with these control files."""
        self._group(self._hierarchy(controller), path, files or {})
        return self

    def _hierarchy(self, controller: str) -> Hierarchy:
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers or (controller == "" and hierarchy.version == 2):
                return hierarchy
        raise KeyError(controller)

    def _group(self, hierarchy: Hierarchy, path: str, files: Mapping[str, str | bytes]) -> None:
        directory = f"{hierarchy.mountpoint}{path}".rstrip("/")
        for name, content in files.items():
            self.file(f"{directory}/{name}", content)
        while directory.startswith(hierarchy.mountpoint):
            if not os.path.exists(f"{self.root}{directory}/cgroup.procs"):
                self.file(f"{directory}/cgroup.procs", "")
            directory = os.path.dirname(directory)

    def _join(self, pid: int, cgroups: Mapping[str, str] | str) -> None:
        lines = []
        for number, hierarchy in enumerate(self.hierarchies):
            names = [""] if hierarchy.version == 2 else sorted(hierarchy.controllers)
            path = cgroups if isinstance(cgroups, str) else next((cgroups[n] for n in names if n in cgroups), "/")
            lines.append(f"{0 if hierarchy.version == 2 else number + 1}:{','.join(names)}:{path}\n")
            if hierarchy.directory(path) is not None:
                self._group(hierarchy, path, {})
                procs = Path(f"{self.root}{hierarchy.mountpoint}{path}".rstrip("/") + "/cgroup.procs")
                if str(pid) not in procs.read_text().split():
                    procs.write_text(f"{procs.read_text()}{pid}\n")
        self.file(f"/proc/{pid}/cgroup", "".join(lines))
