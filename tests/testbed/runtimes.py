"""Real containers of every other runtime, each in private directories, removed when its context ends.

Each gives a Box: how to run a command in the container, by the runtime's own
way where it has one. With SHOWN, which binds the checkout, Python and the
machine's libraries into it read-only, our commands run in any of them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from tests.testbed import leaks
from tests.testbed.commands import REPOSITORY, run
from tests.testbed.processes import until
from tests.testbed.tools import need

APPLETS = ("sh", "sleep", "true", "cat", "tail", "mkdir")
SLEEP = ["sleep", "1000"]
IMAGE = "localhost/busybox:1"
END = "=== exited with"


def _outermost(paths: set[str]) -> list[str]:
    return sorted(path for path in paths if not any(path.startswith(f"{other}/") for other in paths))


# Where our commands, Python and the libraries of both are on this machine.
SHOWN = _outermost({"/usr", "/lib", "/lib64", sys.base_prefix, sysconfig.get_path("purelib"), REPOSITORY})


@dataclass(frozen=True, slots=True)
class Box:
    """A running container: `inside` runs a command in it and returns what it printed.

    `tool` is the runtime's own program, on its private store; `launcher` the
    PID of the program that stays beside the container.
    """

    inside: Callable[[Sequence[str]], str]
    tool: Callable[..., str] | None = None
    launcher: int = 0


def make_root(directory: str) -> str:
    """Make a root filesystem of busybox alone, with empty directories for what is SHOWN, and return it."""
    need("busybox")
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "usr", "var", "run", "root", *SHOWN):
        os.makedirs(f"{directory}/{name.lstrip('/')}", exist_ok=True)
    shutil.copy(shutil.which("busybox") or "", f"{directory}/bin/busybox")
    for applet in APPLETS:
        with contextlib.suppress(FileExistsError):
            os.symlink("busybox", f"{directory}/bin/{applet}")
    with open(f"{directory}/etc/os-release", "w", encoding="ascii") as file:
        file.write("ID=busybox\n")
    return directory


@contextlib.contextmanager
def started(command: Sequence[str], log: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside the test; ended by its PID with SIGTERM, or SIGKILL when it does not listen."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        _await_end(process)


def _await_end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def served(command: Sequence[str], log: str) -> Iterator[Box]:
    """Run a launcher whose container is a shell: it runs what it reads, and ends with its standard input."""
    with (
        open(log, "wb") as file,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answer = process.stdin, process.stdout

        def inside(words: Sequence[str]) -> str:
            return _asked(ask, answer, words, log)

        try:
            inside(["true"])
            yield Box(inside, launcher=process.pid)
        finally:
            with contextlib.suppress(BrokenPipeError):
                ask.close()
            _await_end(process)


def _asked(ask: IO[str], answer: IO[str], words: Sequence[str], log: str) -> str:
    ask.write(f"{shlex.join(words)}; echo '{END}' $?\n")
    ask.flush()
    lines = []
    while (line := answer.readline()) and not line.startswith(END):
        lines.append(line)
    assert line == f"{END} 0\n", f"{words}: {line!r}\n{''.join(lines)}{_tail(log)}"
    return "".join(lines)


def _tail(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()[-3000:]


@contextlib.contextmanager
def tidied(*names: str) -> Iterator[None]:
    """Remove the empty cgroups, called or below one of these names, that came since: runtimes leave them behind."""
    before = leaks.take().cgroups
    try:
        yield
    finally:
        came = leaks.take().cgroups - before
        leaks.remove_cgroups(one for one in came if any(f"/{name}" in one for name in names))


@contextlib.contextmanager
def _swept() -> Iterator[None]:
    """Remove what Podman's conmon makes for controllers that are not mounted: plain directories, a file in each."""
    before = leaks.beside_hierarchies()
    try:
        yield
    finally:
        for path in sorted(leaks.beside_hierarchies() - before, reverse=True):
            (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)


def _podman(below: str) -> list[str]:
    places = [f"--{kind}={below}/podman-{kind}" for kind in ("root", "runroot", "tmpdir")]
    return ["podman", *places, "--events-backend", "none"]


def _at_work(below: str) -> list[str]:
    """Return the PIDs of the processes that were told of a directory on their command line, or say that they use it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if below.encode() in file.read():
                found.append(pid)
    return found


def _unmount(below: str, but: frozenset[str] = frozenset()) -> None:
    """Unmount what is mounted below a directory, the innermost first, `but` these lines of leaks."""
    mountpoints = {line.split()[0] for line in leaks.take().mounts - but}
    for mountpoint in sorted((one for one in mountpoints if one.startswith(f"{below}/")), reverse=True):
        run(["umount", mountpoint], check=False)


@contextlib.contextmanager
def podman(name: str, *arguments: str, command: Sequence[str] = SLEEP, runtime: str = "runc") -> Iterator[Box]:
    """Run one Podman container on an OCI runtime."""
    need("podman", "runc", "conmon")
    with tempfile.TemporaryDirectory(prefix="podman") as below, tidied("libpod_parent", "libpod-"), _swept():
        base = [*_podman(below), "--runtime", runtime, "--cgroup-manager", "cgroupfs"]

        def call(*words: str) -> str:
            return run([*base, *words]).stdout

        archive = f"{below}/root.tar"
        run(["tar", "-C", make_root(f"{below}/root"), "-cf", archive, "."])
        call("import", "-q", archive, IMAGE)
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        try:
            call("run", "-d", "--name", name, "--network", "none", *limits, *arguments, IMAGE, *command)
            yield Box(lambda words: call("exec", name, *words), call)
        finally:
            run([*base, "rm", "-f", "-t", "0", name], check=False)
            # Podman tidies up once more by itself when the container has ended, and mounts its store for that.
            until(lambda: not _at_work(below), "podman to tidy up")
            run([*base, "rmi", "-f", IMAGE], check=False)
            _unmount(below)


@contextlib.contextmanager
def containerd(name: str, *arguments: str, command: Sequence[str] = SLEEP, runtime: str = "runc") -> Iterator[Box]:
    """Run one `ctr` container on an OCI runtime, under a containerd of our own."""
    need("containerd", "ctr", "runc", "podman")
    with tempfile.TemporaryDirectory(prefix="containerd") as below, tidied("default"):
        daemon = ["containerd", "--root", f"{below}/root", "--state", f"{below}/state", "--address", f"{below}/sock"]
        with started(daemon, f"{below}/log"):

            def call(*words: str, check: bool = True) -> str:
                return run(["ctr", "--address", f"{below}/sock", *words], check=check).stdout

            until(lambda: "Server:" in call("version", check=False), "containerd")
            call("images", "import", oci_archive(below))
            try:
                chosen = ("--runtime", "io.containerd.runc.v2", "--runc-binary", runtime)
                call("run", "-d", *arguments, *chosen, IMAGE, name, *command)
                yield Box(lambda words: call("task", "exec", "--exec-id", "inside", name, *words), call)
            finally:
                call("task", "kill", "-s", "KILL", name, check=False)
                until(lambda: "RUNNING" not in call("task", "ls", check=False), f"{name} to end")
                call("task", "rm", "-f", name, check=False)
                call("container", "rm", name, check=False)
        until(lambda: not _at_work(below), "containerd to end")


def oci_archive(below: str) -> str:
    """Make an OCI archive of busybox, with Podman as the tool that knows the format."""
    base = _podman(below)
    archive = f"{below}/image.tar"
    run(["tar", "-C", make_root(f"{below}/busybox"), "-cf", f"{below}/root.tar", "."])
    run([*base, "import", "-q", f"{below}/root.tar", IMAGE])
    run([*base, "save", "-q", "--format", "oci-archive", "-o", archive, IMAGE])
    run([*base, "rmi", "-f", IMAGE])
    _unmount(f"{below}/podman-root")
    return archive


@contextlib.contextmanager
def lxc(name: str, *settings: str, command: Sequence[str] = SLEEP) -> Iterator[Box]:
    """Run one LXC container; `tool` runs `lxc-...` on its private lxcpath."""
    need("lxc-start")
    with tempfile.TemporaryDirectory(prefix="lxc") as below, tidied("lxc."):
        os.makedirs(f"{below}/{name}")
        root = make_root(f"{below}/{name}/rootfs")
        os.chmod(below, 0o755)  # noqa: S103  LXC wants to reach the root filesystem
        lines = [f"lxc.rootfs.path = dir:{root}", "lxc.net.0.type = empty", f"lxc.uts.name = {name}"]
        lines += [f"lxc.log.file = {below}/log", "lxc.apparmor.profile = unconfined", *settings]
        with open(f"{below}/{name}/config", "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")

        def call(verb: str, *words: str, check: bool = True) -> str:
            done = run([f"lxc-{verb}", "-P", below, "-n", name, *words], check=False)
            assert not check or done.returncode == 0, f"lxc-{verb} {words}: {done.stderr}{_tail(f'{below}/log')}"
            return done.stdout

        try:
            call("start", "--", *command)
            call("wait", "-s", "RUNNING", "-t", "90")
            yield Box(lambda words: call("attach", "--", *words), call)
        finally:
            call("stop", "-k", check=False)
            # Its monitor tidies up when the container has ended.
            until(lambda: not _at_work(below), "LXC to tidy up")


def _shell(command: Sequence[str]) -> list[str]:
    """Return the command of a container that a shell serves: a program beside it, and the shell."""
    return ["sh", "-c", f"{shlex.join(command)} < /dev/null & exec sh"] if command else ["sh"]


@contextlib.contextmanager
def nspawn(name: str, *arguments: str, command: Sequence[str] = (), within: Sequence[str] = ()) -> Iterator[Box]:
    """Run one systemd-nspawn container, `within` a launcher's own words. It has namespaces and no cgroup of its own."""
    need("systemd-nspawn")
    with tempfile.TemporaryDirectory(prefix="nspawn") as below, tidied("payload", "supervisor"):
        root = make_root(f"{below}/{name}")
        line = ["systemd-nspawn", "-q", "-D", root, "-M", name, "--register=no", "--keep-unit", "--pipe", *arguments]
        with served([*within, *line, *_shell(command)], f"{below}/log") as box:
            yield box


@contextlib.contextmanager
def bubblewrap(*arguments: str, command: Sequence[str] = (), within: Sequence[str] = ()) -> Iterator[Box]:
    """Run one bwrap container."""
    need("bwrap")
    with tempfile.TemporaryDirectory(prefix="bwrap") as below:
        root = make_root(f"{below}/app")
        line = ["bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", *arguments]
        with served([*within, *line, "--die-with-parent", *_shell(command)], f"{below}/log") as box:
            yield box


@contextlib.contextmanager
def firejail(name: str, *arguments: str, command: Sequence[str] = ()) -> Iterator[Box]:
    """Run one firejail sandbox, on the machine's own files with an empty home."""
    need("firejail")
    before = frozenset(leaks.take().mounts)
    with tempfile.TemporaryDirectory(prefix="firejail") as below:
        line = ["firejail", "--quiet", "--noprofile", "--private", f"--name={name}", *arguments, *_shell(command)]
        try:
            with served(line, f"{below}/log") as box:
                yield box
        finally:
            _unmount("/run/firejail", but=before)  # what it hides things with, and leaves on the machine


@contextlib.contextmanager
def unshare(*, command: Sequence[str] = (), within: Sequence[str] = ()) -> Iterator[Box]:
    """Run one container of util-linux's unshare, on the machine's own files."""
    need("unshare")
    with tempfile.TemporaryDirectory(prefix="unshare") as below:
        line = ["unshare", "-mpuinCf", "--mount-proc", "--kill-child=KILL", *_shell(command)]
        with served([*within, *line], f"{below}/log") as box:
            yield box
