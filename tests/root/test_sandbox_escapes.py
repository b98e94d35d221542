"""Ways out of a container that are known: root in a default one takes none of them.

tricks.py tries them inside. Each is tried again where it is allowed, in a
privileged container or outside, to show that the refusal is ours: what then
comes is success, or the kernel's complaint about the harmless arguments.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import pty
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from tests.root import sandboxing, tricks
from tests.testbed.commands import REPOSITORY, SANDBOX, Sandbox

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are x86_64's"),
]

TYPE = "import fcntl, termios; fcntl.ioctl(1, termios.TIOCSTI, b'!')"
Answers = dict[str, str]
NAMES = [name for name, _ in tricks.tricks(0, 0, 0)]
READ_ONLY = ("cgroup: release_agent", "cgroup: notify_on_release", "cgroup: cgroup.procs", "cgroup: devices.allow")
# What a default container answers, where it is not EPERM, or EROFS for a file of the kernel's.
EXPECTED = {name: "EROFS" for name in NAMES if name.startswith(("/proc/", "/sys/")) or name in READ_ONLY} | {
    "/proc/sys/fs/binfmt_misc": "EPERM",
    "cgroup: walk up": "contained",
    "chroot and fchdir": "contained",
    "host process: signal": "ESRCH",
    "host process: ptrace": "ESRCH",
    "host process: memory": "ESRCH",
    "host process: pidfd": "ESRCH",
    "host process: root": "ENOENT",
    "mount by number of x32": "ENOSYS",
    "capability: CHOWN by file": "ok",  # one that the container has may be given
}
# The control of these is not the privileged container: x32 is not in this kernel, files of the cgroups above
# are shown to nobody, and whoever owns the machine may keep its disk from us.
WITHOUT_CONTROL = {"mount by number of x32", "cgroup: walk up", "chroot and fchdir", "capability: CHOWN by file",
                   "device: disk"}  # fmt: skip
WITHOUT_SUCH_A_FILE = {"swapon", "acct", "pivot_root"}  # the name that they are given is nobody's
REFUSED = {"EPERM", "EROFS", "EACCES", "ESRCH", "ENOENT"}


def attempts(sandbox: Sandbox, host_pid: int, *options: str) -> Answers:
    """Return how each trick ends in a container."""
    with open("/proc/partitions", encoding="ascii") as file:
        disk = next((line.split()[:2] for line in file.readlines()[2:]), ["7", "0"])
    mount = ("-v", f"{REPOSITORY}/tests:/cg/tests:ro", "-w", "/cg")
    command = ("python3", "-B", "-m", "tests.root.tricks", str(host_pid), ":".join(disk))
    return dict(json.loads(sandbox("run", "--rm", *options, *mount, "--rootfs", "/", *command).stdout))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answers, Answers]]:
    """Try everything once in a default container, and once in a privileged one that sees the host's processes."""
    sandbox = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        try:
            default = attempts(sandbox, bystander.pid)
            yield default, attempts(sandbox, bystander.pid, "--privileged", "--pid", "host")
        finally:
            bystander.kill()
            sandbox.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_trick_fails(answers: tuple[Answers, Answers], name: str) -> None:
    """A default container's root is refused, and it is the container that refuses it: elsewhere it goes on."""
    default, privileged = answers
    if default[name] == "absent":
        assert privileged[name] == "absent"
        pytest.skip("this kernel has nothing of the kind")
    assert default[name] == EXPECTED.get(name, "EPERM")
    if name not in WITHOUT_CONTROL:
        assert privileged[name] not in REFUSED - ({"ENOENT"} if name in WITHOUT_SUCH_A_FILE else set())


# What only root of this machine may, and so no root of a user namespace, whatever he may there.
OF_THIS_MACHINE = [
    name
    for name in NAMES
    if name.startswith(("/proc/sys/kernel/", "/proc/sys/vm", "/proc/irq", "/sys/", "device: ", "host process: "))
    or name in (*READ_ONLY, "mount: sysfs", "mount: debugfs", "mount: devtmpfs", "open_by_handle_at", "userfaultfd",
                "fanotify_init", "swapon", "acct", "syslog", "vhangup by number of 32 bits", "xattr: trusted")
    if name != "/proc/sys/kernel/ns_last_pid"
]  # fmt: skip


def test_the_wall_of_a_user_namespace(answers: tuple[Answers, Answers], sandbox: Sandbox) -> None:
    """With all capabilities, without filter and masks: its root is nobody, and that alone stops the tricks."""
    _, privileged = answers
    open_wide = ("--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        try:
            found = attempts(sandbox, bystander.pid, "--userns", "auto", *open_wide)
        finally:
            bystander.kill()
    stopped = {name for name in OF_THIS_MACHINE if found[name] in REFUSED}
    assert stopped == {name for name in OF_THIS_MACHINE if privileged[name] != "absent"}
    assert len({name for name in stopped if privileged[name] == "ok"}) >= 20


def test_a_second_root_alone_is_no_wall(tmp_path: os.PathLike[str]) -> None:
    """The control of the trick with fchdir: out of a mere chroot it leads to the machine's own root."""
    program = (
        "import os, sys; before = os.stat('/'); os.chroot(sys.argv[1]); os.chdir('/'); inside = os.open('.', 0);"
        "os.mkdir('x'); os.chroot('x'); os.fchdir(inside); [os.chdir('..') for _ in range(64)]; os.chroot('.');"
        "print(os.path.samestat(os.stat('/'), before))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_what_a_container_leaves_unchanged(sandbox: Sandbox) -> None:
    """The host's name, its mounts and its kernel's settings are the same after all that."""

    def settings() -> tuple[object, ...]:
        with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
            return os.uname().nodename, os.getpgrp(), file.read(), [m for m in sandboxing.mounts() if "/mnt" in m]

    before = settings()
    script = "hostname stolen; echo '|/tmp/x' > /proc/sys/kernel/core_pattern; mount -t tmpfs none /mnt; hostname"
    done = sandbox("run", "--rm", "--rootfs", "/", "sh", "-c", script)
    assert "stolen" not in done.stdout
    assert settings() == before
    # With CAP_SYS_ADMIN the container renames itself, and nobody else.
    done = sandbox("run", "--rm", "--cap-add", "SYS_ADMIN", "--rootfs", "/", "sh", "-c", script)
    assert done.stdout == "stolen\n"
    assert settings() == before


def test_abstract_sockets_of_the_host(sandbox: Sandbox) -> None:
    """A socket without a file belongs to a network namespace: --net host reaches it, the others do not."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("")  # the kernel chooses an abstract name
        server.listen()
        name = server.getsockname()
        program = f"import socket; print(socket.socket(socket.AF_UNIX).connect_ex({name!r}))"
        run = ("run", "--rm", "--rootfs", "/")
        assert sandbox(*run, "--net", "none", "python3", "-c", program).stdout == "111\n"  # ECONNREFUSED
        assert sandbox(*run, "--net", "host", "python3", "-c", program).stdout == "0\n"


def test_typing_on_our_terminal(sandbox: Sandbox) -> None:
    """A program whose output is our terminal can neither type on it nor take it over."""
    take = "import fcntl, termios; fcntl.ioctl(1, termios.TIOCSCTTY, {force})"
    programs = {name: f"{text}\n" for name, text in {"type": TYPE, "take": take.format(force=0)}.items()}
    ours, theirs = pty.openpty()
    try:
        for program in programs.values():
            # The launcher is leader of a session of its own, whose terminal this is.
            done = subprocess.run(
                [*SANDBOX, "run", "--rm", "--rootfs", "/", "python3", "-c", program],
                env=sandbox.env,
                cwd=REPOSITORY,
                stdin=theirs,
                stdout=theirs,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            )
            assert done.returncode == 1
            assert "PermissionError" in done.stderr or "Input/output error" in done.stderr
        os.set_blocking(theirs, False)
        with pytest.raises(BlockingIOError):
            os.read(theirs, 100)
    finally:
        os.close(ours)
        os.close(theirs)


def test_our_terminal_can_be_typed_on_outside() -> None:
    """The control of the test above: whose terminal it is can, where the kernel lets anybody."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", f"{TYPE}; print('typed')"])  # noqa: S606
    seen = b""
    while b"typed" not in seen and b"Error" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)
    os.waitpid(child, 0)
    allowed = True
    if os.path.exists("/proc/sys/dev/tty/legacy_tiocsti"):
        with open("/proc/sys/dev/tty/legacy_tiocsti", encoding="ascii") as file:
            allowed = file.read().strip() == "1"
    assert (b"typed" in seen) == allowed


def test_only_the_standard_devices_are_there(sandbox: Sandbox) -> None:
    """/dev holds what a program needs, and no disk."""
    found = sandbox("run", "--rm", "--rootfs", "/", "find", "/dev", "-type", "b", "-o", "-type", "c").stdout.split()
    names = {"null", "zero", "full", "random", "urandom", "tty", "pts/ptmx"}
    assert set(found) == {f"/dev/{name}" for name in names}
