"""Who starts a container's program is born in its cgroup of v2, where the kernel can do that."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Iterator

import pytest

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox import control, conversation, syscalls

pytestmark = pytest.mark.root


@pytest.fixture
def place() -> Iterator[str]:
    """Make a cgroup of v2."""
    found = [each.mountpoint for each in read_hierarchies(Host()) if each.version == 2]
    if not found:
        pytest.skip("no cgroup v2 here")
    directory = f"{found[0]}/cgscope-birth-{os.getpid()}"
    os.mkdir(directory)
    yield directory
    os.rmdir(directory)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count no threads of pytest's plugins: what one that waits in accept(2) holds is nothing that a child needs."""
    count, others = _thread._count, threading.active_count() - 1  # noqa: SLF001  as the code that is tested
    monkeypatch.setattr(_thread, "_count", lambda: count() - others)


def outcome(pid: int, told: int) -> tuple[str, int]:
    """Return what a child has written, and its exit code."""
    with open(told, encoding="utf-8") as file:
        text = file.read()
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_born_inside(place: str) -> None:
    """The child is in the cgroup at once, is Python as after any fork, and can fork itself."""
    reading, writing = os.pipe()
    pid = syscalls.fork_into(place)
    if pid == 0:
        inner = os.fork()
        if inner == 0:
            os._exit(3)
        code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next(line for line in file if line.startswith("0::"))
        os.write(writing, own.encode())
        os._exit(code)
    os.close(writing)
    text, code = outcome(pid, reading)
    assert (text.strip().rpartition("/")[2], code) == (os.path.basename(place), 3)


def test_where_that_cannot_be() -> None:
    """What is no cgroup, and more than one thread, is an error in the parent alone, which forks as ever then."""
    with pytest.raises(OSError, match="clone3"):
        syscalls.fork_into("/")
    steps = (control.join(2, "/"), control.join(1, "/"))
    pid, left = conversation.fork_joining(steps)
    if pid == 0:
        os._exit(4)
    assert (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), left) == (4, steps)
    waiting = threading.Event()
    other = threading.Thread(target=waiting.wait)
    other.start()
    try:
        with pytest.raises(OSError, match="other threads"):
            syscalls.fork_into("/")
    finally:
        waiting.set()
        other.join()


def test_the_step_is_done(place: str) -> None:
    """The step of v2 is not left for the one that is born there, those of other hierarchies are."""
    steps = (control.join(1, "/"), control.join(2, place))
    pid, left = conversation.fork_joining(steps)
    if pid == 0:
        os._exit(len(left))
    assert (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), left) == (1, steps[:1])
