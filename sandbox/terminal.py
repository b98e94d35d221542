"""Terminals: the container's own (devpts(4), pty(7)), and the user's in raw mode beside it.

The pair is opened inside the container, from its own devpts: there the program
finds its terminal as /dev/pts/0, and no device of the host is handed in.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator

from sandbox import syscalls
from sandbox.contexts import contextmanager, suppress
from sandbox.quick import struct

__all__ = ["adopt", "copy_size", "keep_newlines", "open_pair", "raw", "set_size", "write_all", "write_whole"]

# asm-generic/ioctls.h: termios has the first three too, but is for raw() alone.
TIOCSCTTY = 0x540E
TIOCGWINSZ = 0x5413
TIOCSWINSZ = 0x5414
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441


def open_pair() -> tuple[int, int]:
    """Open a new terminal of the devpts at /dev/pts: (master, the program's side)."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    os.set_blocking(master, True)  # it was opened without, as it may be a FIFO
    fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    # By ioctl, not by name: /dev/pts/0 is only a name, and may be another instance's (Linux 4.13).
    peer = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return master, peer


def adopt(peer: int) -> None:
    """Make a terminal the standard streams and the controlling terminal; the caller leads its session."""
    fcntl.ioctl(peer, TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(peer, fd)


def bind_console(peer: int) -> None:
    """Show the terminal as /dev/console, as Docker does."""
    with suppress(FileExistsError):
        os.close(os.open("/dev/console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    target = os.open("/dev/console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # CVE-2025-52565
    try:
        syscalls.mount(f"/proc/self/fd/{peer}", f"/proc/self/fd/{target}", None, syscalls.MS_BIND)
    finally:
        os.close(target)


def copy_size(source: int, master: int) -> None:
    """Give a terminal the rows and columns of another; a source that is no terminal changes nothing."""
    with suppress(OSError):
        fcntl.ioctl(master, TIOCSWINSZ, fcntl.ioctl(source, TIOCGWINSZ, bytes(8)))


def set_size(master: int, rows: int, columns: int) -> None:
    """Give a terminal a size (TIOCSWINSZ)."""
    fcntl.ioctl(master, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def keep_newlines(master: int) -> None:
    """Let a line end as the program ends it, where what it says does not go to a terminal (ONLCR)."""
    import termios  # noqa: PLC0415

    attributes = termios.tcgetattr(master)
    attributes[1] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, attributes)


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Put the user's terminal into raw mode, and back whatever happens."""
    import termios  # noqa: PLC0415
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)  # what is typed ahead is not lost
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; a reader that is gone loses it."""
    with suppress(BrokenPipeError):
        write_whole(fd, data)


def write_whole(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`; BrokenPipeError when nobody reads.

    Where who has it too lets nobody wait there (O_NONBLOCK), we do so by poll(2).
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
