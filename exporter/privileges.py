"""What the exporter may not do, and what of the machine it therefore does not see.

It is made to run as an ordinary user with three capabilities; a whole root is
more than it needs.
"""

from __future__ import annotations

import re

from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.namespaces import is_initial, read_namespaces

__all__ = ["NEEDED", "missing", "missing_here", "own_status", "sees_a_container", "surplus"]

# Bits of CapEff (include/uapi/linux/capability.h), and what each is for.
NEEDED = {
    "CAP_DAC_READ_SEARCH": (2, "names, images and labels in the runtimes' directories"),
    "CAP_SYS_PTRACE": (19, "namespaces, root filesystems and memory of other users' processes"),
    "CAP_SYSLOG": (34, "who was killed for lack of memory, in the kernel's log"),
}
EFFECTIVE = re.compile(rb"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)


def surplus(status: bytes) -> bool:
    """Tell whether a /proc/<pid>/status has more capabilities than are needed, whoever the user is."""
    return bool(_effective(status) & ~sum(1 << bit for bit, _ in NEEDED.values()))


def _effective(status: bytes) -> int:
    found = EFFECTIVE.search(status)
    return int(found[1], 16) if found else 0


def missing(status: bytes, *, log_is_restricted: bool) -> dict[str, str]:
    """Return the capabilities that a /proc/<pid>/status lacks, with what they are for.

    CAP_SYSLOG is needed only where kernel.dmesg_restrict is set (proc_sys_kernel(5)), as Debian does.
    """
    effective = _effective(status)
    if not log_is_restricted:
        effective |= 1 << NEEDED["CAP_SYSLOG"][0]
    return {name: why for name, (bit, why) in NEEDED.items() if not effective >> bit & 1}


def own_status() -> bytes:
    """Return the /proc/<pid>/status of this process."""
    with open("/proc/self/status", "rb") as file:
        return file.read()


def missing_here() -> dict[str, str]:
    """Return what this process lacks on this machine."""
    try:
        with open("/proc/sys/kernel/dmesg_restrict", "rb") as file:
            restricted = file.read().strip() != b"0"
    except OSError:  # not shown in this container: then its log is not either
        restricted = True
    return missing(own_status(), log_is_restricted=restricted)


def sees_a_container(host: Host) -> bool:
    """Tell whether the /proc that is read is of a PID namespace that is not the machine's first."""
    try:
        inode = read_namespaces(host, host.viewer).get("pid")
    except (OSError, ParseError):
        return False
    return inode is not None and is_initial("pid", inode) is False
