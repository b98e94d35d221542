"""Who starts a container's program is born in its cgroup of v2 and its namespaces, where the kernel can do that."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from sandbox import channel, control, conversation, init, syscalls
from sandbox.conversation import Outside, Straight
from sandbox.privileges import Rights
from sandbox.program import Program, Streams
from sandbox.sharing import Joined, Sharing
from sandbox.value import replace

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


def plan(namespaces: int) -> init.Launch:
    """Return a plan of a program in new namespaces."""
    program = Program(("true",), (), "/", "", Rights(0), tty=False, streams=Streams())
    return init.Launch(program, (), namespaces)


def test_who_needs_nobody_between() -> None:
    """A first process is its monitor's own child, unless a namespace is only for its maker's children, or of users."""
    usual = plan(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWCGROUP)
    born = init.straight(usual)
    # What the cgroup namespace shows is what its maker is in, so that one comes when the cgroups are joined.
    assert born is not None
    assert born.namespaces == syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID
    assert init.straight(replace(usual, shared=(Joined(-1, syscalls.CLONE_NEWNET),))) is not None
    assert init.straight(replace(usual, shared=(Joined(-1, syscalls.CLONE_NEWPID),))) is None
    assert init.straight(replace(usual, user_namespace=True)) is None
    clocks = Sharing(time_offsets=(("monotonic", 1),))
    assert init.straight(replace(usual, new_namespaces=usual.new_namespaces | clocks.own)) is None


@pytest.mark.parametrize("flags", [syscalls.CLONE_NEWPID, 1])
def test_the_order_of_a_start(monkeypatch: pytest.MonkeyPatch, flags: int) -> None:
    """What is done from outside comes in order, whether the kernel can bear the process straight or not (EINVAL)."""
    done: list[str] = []

    def life(end: channel.Channel, _: object = None) -> NoReturn:
        end.expect(channel.Proceed)
        end.send(channel.Ready(f"{os.getpid()} {' '.join(done)}"))
        end.expect(channel.Go)
        os._exit(0)

    def joiner(end: channel.Channel, _: int, __: object) -> NoReturn:
        if child := os.fork():
            end.send(channel.Born(child))
            os._exit(0)
        life(end)

    told: list[str] = []
    outside = Outside(*(lambda *_, name=name: done.append(name) for name in ("prepare", "born", "meanwhile", "ready")))
    expect_end = channel.Channel.expect_end

    def tell(end: channel.Channel, path: str = "") -> None:
        told.append(path)
        expect_end(end, path)

    monkeypatch.setattr(channel.Channel, "expect_end", tell)
    try:
        running = conversation.launch(joiner, (), outside, tty=False, straight=Straight(flags, life))
    finally:
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)
    os.close(running.pidfd)
    assert os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1]) == 0
    assert done == ["prepare", "born", "meanwhile", "ready"]
    # The first of a PID namespace is born before, and numbered anew; the other one when what it joins is there.
    assert told == ["1 "] if flags == syscalls.CLONE_NEWPID else [f"{running.pid} prepare"]
