"""One process: /proc/<pid>/{stat,status,cmdline,uid_map,gid_map,attr/current} (proc_pid_stat(5) and its neighbours).

Everything a process chooses itself (comm, cmdline) comes out as it stands, undecodable
bytes as surrogate escapes: it is hostile text, and the views escape it.
"""

from __future__ import annotations

import errno
import os

from inspector.errors import ParseError
from inspector.kernel.capability import CAPABILITIES
from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False  # a container's start parses without a Host
if TYPE_CHECKING:
    from inspector.kernel.host import Host

__all__ = [
    "CAPABILITIES",
    "CLOCK_TICKS",
    "PAGE_SIZE",
    "IdRange",
    "Stat",
    "Status",
    "capability_names",
    "list_pids",
    "parse_cmdline",
    "parse_id_map",
    "parse_stat",
    "parse_status",
    "process_of",
    "read_cmdline",
    "read_gid_map",
    "read_lsm_label",
    "read_stat",
    "read_stat_kept",
    "read_status",
    "read_uid_map",
    "read_variable",
    "split_stat",
]

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
CMDLINE_BYTES = 4096
ENVIRON_BYTES = 1 << 17
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in include/linux/sched.h
U64 = 1 << 64

CAPABILITY_SETS = {
    "inheritable": "CapInh",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}


class Stat(NamedTuple):
    """What changes of a process. `utime_ticks` and the like in 1/CLOCK_TICKS s, `rss_pages` in PAGE_SIZE.

    pid and starttime_ticks (since boot) together identify a process. `children_ticks`
    is the CPU time of the children it has waited for.
    """

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    tty: int
    flags: int
    utime_ticks: int
    stime_ticks: int
    num_threads: int
    starttime_ticks: int
    rss_pages: int
    children_ticks: int = 0

    @property
    def is_kernel_thread(self) -> bool:
        """True for the kernel's own threads: they have no command line and no root."""
        return bool(self.flags & KERNEL_THREAD)


class Status(NamedTuple):
    """Who a process is and what it may do. `capabilities` maps a set's name to its bit mask.

    `ns_pids` goes from the reader's PID namespace to the process's own. Ids are
    real, effective, saved, filesystem. `caught` are the signals it has handlers
    for, as a mask. None: this kernel does not tell (a kernel thread or a zombie
    has no `rss_anon_bytes` either).
    """

    name: str
    tgid: int
    ns_pids: tuple[int, ...]
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    rss_anon_bytes: int | None
    threads: int
    capabilities: dict[str, int]
    no_new_privs: bool | None
    seccomp: int | None
    seccomp_filters: int | None
    caught: int | None = None


class IdRange(NamedTuple):
    """One line of a user namespace's id map: `length` ids from `inside` on are `outside` on, as the reader sees it."""

    inside: int
    outside: int
    length: int


def split_stat(data: bytes, most: int) -> tuple[bytes, bytes, list[bytes]]:
    """Split /proc/<pid>/stat: PID, name, and `most` fields from the third on. ParseError when it is none.

    The name may hold ")" and blanks: it ends at the last ")".
    """
    head, opened, rest = data.partition(b" (")
    comm, closed, tail = rest.rpartition(b") ")
    fields = tail.split(b" ", most)
    if not opened or not closed or len(fields[0]) != 1:
        raise ParseError("/proc/<pid>/stat", data)
    return head, comm, fields


# 410 (cat) R 408 408 30705 0 -1 4194304 104 0 0 0 3 2 0 0 20 0 1 0 90588 3133440 418 18446744073709551615 ...
def parse_stat(data: bytes) -> Stat:
    """Parse /proc/<pid>/stat."""
    # From field 3 of proc_pid_stat(5) on: state ppid pgrp session tty_nr tpgid flags, 14 utime 15 stime ...
    head, comm, fields = split_stat(data, 22)
    try:
        return Stat(
            int(head),
            comm.decode(errors="surrogateescape"),
            fields[0].decode("ascii"),
            int(fields[1]),
            int(fields[2]),
            int(fields[3]),
            int(fields[4]),
            int(fields[6]),
            int(fields[11]),
            int(fields[12]),
            int(fields[17]),
            int(fields[19]),
            int(fields[21]),
            int(fields[13]) + int(fields[14]),
        )
    except (ValueError, IndexError) as error:
        raise ParseError("/proc/<pid>/stat", data) from error


def read_stat(host: Host, pid: int | str) -> Stat:
    """Read /proc/<pid>/stat; OSError ENOENT or ESRCH when the process is gone."""
    return parse_stat(host.read(f"/proc/{pid}/stat"))


def read_stat_kept(host: Host, pid: int) -> Stat:
    """Read /proc/<pid>/stat of a process read at every tick; ESRCH once it is gone, even if its PID is reused."""
    return parse_stat(host.read_kept(f"/proc/{pid}/stat"))


# Lines like "Name:<tab>sleep", "NSpid:<tab>4242<tab>17<tab>1", "CapEff:<tab>00000000a80425fb"
def parse_status(data: bytes) -> Status:
    """Parse /proc/<pid>/status: `key:<tab>value` a line."""
    fields: dict[str, str] = {}
    for line in data.decode(errors="surrogateescape").split("\n"):
        key, _, value = line.partition(":\t")
        fields.setdefault(key, value)
    try:
        tgid = int(fields["Tgid"])
        return Status(
            name=_unescape_name(fields["Name"]),
            tgid=tgid,
            ns_pids=_ints(fields.get("NSpid", "")) or (tgid,),
            uids=_four(fields["Uid"]),
            gids=_four(fields["Gid"]),
            groups=_ints(fields.get("Groups", "")),
            rss_anon_bytes=_kilobytes(fields["RssAnon"]) if "RssAnon" in fields else None,
            threads=int(fields["Threads"]),
            capabilities={name: _mask(fields[key]) for name, key in CAPABILITY_SETS.items() if key in fields},
            no_new_privs=int(fields["NoNewPrivs"]) != 0 if "NoNewPrivs" in fields else None,
            seccomp=int(fields["Seccomp"]) if "Seccomp" in fields else None,
            seccomp_filters=int(fields["Seccomp_filters"]) if "Seccomp_filters" in fields else None,
            caught=_mask(fields["SigCgt"]) if "SigCgt" in fields else None,
        )
    except (ValueError, KeyError) as error:
        raise ParseError("/proc/<pid>/status", data) from error


def read_status(host: Host, pid: int | str) -> Status:
    """Read /proc/<pid>/status."""
    return parse_status(host.read(f"/proc/{pid}/status"))


def process_of(host: Host, pid: int) -> int:
    """Return the process of a thread, which /proc shows by its own number too; the number itself where none tells."""
    try:
        return read_status(host, pid).tgid
    except (OSError, ParseError):
        return pid


def _unescape_name(text: str) -> str:
    r"""Undo proc_task_name() in fs/proc/array.c: only newline and backslash are escaped, as \n and \\."""
    return "\\".join(part.replace("\\n", "\n") for part in text.split("\\\\"))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def _four(text: str) -> tuple[int, int, int, int]:
    real, effective, saved, filesystem = _ints(text)
    return real, effective, saved, filesystem


def _kilobytes(text: str) -> int:
    number, unit = text.split()
    if unit != "kB":
        raise ValueError(text)
    return int(number) * 1024


def _mask(text: str) -> int:
    mask = int(text, 16)
    if not 0 <= mask < U64:
        raise ValueError(text)
    return mask


def capability_names(mask: int) -> list[str]:
    """Return the names of the bits of a capability set; a bit newer than this table is "CAP_<number>"."""
    return [
        CAPABILITIES[bit] if bit < len(CAPABILITIES) else f"CAP_{bit}"
        for bit in range(mask.bit_length())
        if mask >> bit & 1
    ]


# nginx\0-g\0daemon off;\0
def parse_cmdline(data: bytes) -> str:
    """Parse /proc/<pid>/cmdline: arguments that end in NUL, here joined by blanks. Any bytes will do."""
    return data.rstrip(b"\0").replace(b"\0", b" ").decode(errors="surrogateescape")


def read_cmdline(host: Host, pid: int | str) -> str:
    """Read the first 4096 bytes of a command line (/proc/<pid>/cmdline); "" for kernel threads and zombies."""
    return parse_cmdline(host.read_prefix(f"/proc/{pid}/cmdline", CMDLINE_BYTES))


def read_variable(host: Host, pid: int | str, name: str) -> str:
    """Read one variable of the environment a program was started with (/proc/<pid>/environ); "" without it."""
    start = os.fsencode(f"{name}=")
    entries = host.read_prefix(f"/proc/{pid}/environ", ENVIRON_BYTES).split(b"\0")
    return next((os.fsdecode(entry[len(start) :]) for entry in entries if entry.startswith(start)), "")


def list_pids(host: Host) -> list[int]:
    """List the processes that /proc shows."""
    return [int(name) for name in host.listdir("/proc") if name.isdecimal()]


#          0     100000      65536
def parse_id_map(data: bytes) -> tuple[IdRange, ...]:
    """Parse uid_map or gid_map: first id inside, first id outside, how many. Empty: not mapped yet."""
    try:
        ranges = tuple(IdRange(*map(int, line.split())) for line in data.split(b"\n") if line)
    except (ValueError, TypeError) as error:
        raise ParseError("/proc/<pid>/uid_map", data) from error
    return ranges


def read_uid_map(host: Host, pid: int | str) -> tuple[IdRange, ...]:
    """Read the user ids of a process's user namespace (/proc/<pid>/uid_map, user_namespaces(7))."""
    return parse_id_map(host.read(f"/proc/{pid}/uid_map"))


def read_gid_map(host: Host, pid: int | str) -> tuple[IdRange, ...]:
    """Read the group ids of a process's user namespace (/proc/<pid>/gid_map, user_namespaces(7))."""
    return parse_id_map(host.read(f"/proc/{pid}/gid_map"))


def read_lsm_label(host: Host, pid: int | str) -> str | None:
    """Read the AppArmor profile or SELinux context of a process (/proc/<pid>/attr/current); None without an LSM."""
    try:
        data = host.read(f"/proc/{pid}/attr/current")
    except OSError as error:
        # EINVAL: the file is there but no security module answers. ENOENT: the process is gone, if /proc/<pid> is.
        if error.errno == errno.EINVAL or (error.errno == errno.ENOENT and host.access(f"/proc/{pid}")):
            return None
        raise
    return data.rstrip(b"\0\n").decode(errors="surrogateescape") or None
