"""The last step before a program: what it executes, what it reports, and that nobody can write to it."""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Callable

import pytest

from sandbox import trampoline

pytestmark = pytest.mark.skipif(platform.machine() not in trampoline.CODE, reason="not written for this machine")


def started(action: Callable[[int], None]) -> tuple[int, bytes, bytes]:
    """Do something in a child with the channel's other end; returns exit code, output, and what the channel said."""
    reading, output = os.pipe()
    channel, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(output, 1)
        os.closerange(theirs + 1, theirs + 50)
        action(theirs)
        os._exit(99)
    for fd in (output, theirs):
        os.close(fd)
    with open(reading, "rb") as said, open(channel, "rb") as told:
        answer = said.read(), told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *answer


def test_it_becomes_the_program() -> None:
    """The program gets its arguments and environment, and neither the channel nor the memory."""

    def start(channel: int) -> None:
        script = 'echo "$0" "$@" $A; for fd in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; exit 7'
        prepared = trampoline.prepare(channel)
        assert prepared is not None
        trampoline.become(prepared, "/bin/sh", ("sh", "-c", script, "name", "x y"), {"A": "b"})

    assert started(start) == (7, b"name x y b\n", b"")


@pytest.mark.parametrize(
    ("path", "number"), [("/no/such/program", errno.ENOENT), ("/etc/passwd", errno.EACCES), ("/", errno.EACCES)]
)
def test_it_reports_what_cannot_be_executed(path: str, number: int) -> None:
    """An error of execve comes out of the channel as a number, and ends the process."""

    def start(channel: int) -> None:
        trampoline.become(trampoline.prepare(channel), path, ("x",), {})

    assert started(start) == (127, b"", struct.pack("<i", -number))


def test_it_leads_to_nothing_when_it_is_executed_again() -> None:
    """A program that is a link to /proc/self/exe starts these bytes again, which then find nothing to execute."""

    def start(channel: int) -> None:
        trampoline.become(trampoline.prepare(channel), "/proc/self/exe", ("/proc/self/exe", "/proc/self/exe"), {})

    assert started(start) == (127, b"", b"")


def test_it_cannot_be_written() -> None:
    """The memory is sealed: not even root writes to it, through whatever name."""

    def look(channel: int) -> None:
        prepared = trampoline.prepare(channel)
        assert prepared is not None
        try:
            fd = os.open(f"/proc/self/fd/{prepared}", os.O_WRONLY)
            os.write(fd, b"x")
        except OSError as error:
            os._exit(error.errno or 0)

    assert started(look)[0] in (errno.EPERM, errno.EACCES)


def test_a_machine_it_is_not_written_for() -> None:
    """Elsewhere the program is executed directly."""
    assert trampoline.image("riscv64") is None
    assert started(lambda _: trampoline.become(None, "/bin/echo", ("echo", "x"), {}))[:2] == (0, b"x\n")
    for machine in trampoline.CODE:
        image = trampoline.image(machine)
        assert image is not None
        assert struct.unpack_from("<16xHHIQ", image)[3] == trampoline.ADDRESS + trampoline.HEADERS
