"""How a process ended: PIDFD_GET_INFO (ioctl on a pidfd, include/uapi/linux/pidfd.h), since Linux 6.15 (7477d7dce48a).

A descriptor that was opened while the process lived tells its wait status once
somebody has reaped it; no right over the process is needed. Before 6.13 the
ioctl is not there, before 6.15 it does not tell the end.
"""

from __future__ import annotations

import fcntl
import os
import struct

__all__ = ["open_process", "parse_info", "read_end"]

GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, 64 bytes)
INFO = struct.Struct("=QQ11Ii")  # mask, cgroup id, PIDs and ids of users, exit_code: PIDFD_INFO_SIZE_VER0
EXIT = 1 << 3
REQUEST = INFO.pack(EXIT, *([0] * 13))


def open_process(pid: int) -> int:
    """Return a descriptor of a process of our own PID namespace; OSError when there is none."""
    return os.pidfd_open(pid)


def parse_info(data: bytes) -> int | None:
    """Parse struct pidfd_info: the wait status of a process that was reaped, None when the kernel does not tell."""
    mask, *_, status = INFO.unpack(data)
    return status if mask & EXIT else None


def read_end(descriptor: int) -> int | None:
    """Return how the process ended, as waitpid(2) tells it; None when it has not, or the kernel does not tell."""
    try:
        return parse_info(fcntl.ioctl(descriptor, GET_INFO, REQUEST))
    except OSError:
        return None
