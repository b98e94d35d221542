"""Real containers of every other runtime, each in private directories, removed when its context ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from tests.testbed import leaks
from tests.testbed.commands import run
from tests.testbed.tools import need

APPLETS = ("sh", "sleep", "true", "cat", "tail", "mkdir")
SLEEP = ["sleep", "1000"]
IMAGE = "localhost/busybox:1"


def make_root(directory: str) -> str:
    """Make a root filesystem of busybox alone, and return it."""
    need("busybox")
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "usr", "var", "run", "root"):
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    shutil.copy(shutil.which("busybox") or "", f"{directory}/bin/busybox")
    for applet in APPLETS:
        with contextlib.suppress(FileExistsError):
            os.symlink("busybox", f"{directory}/bin/{applet}")
    with open(f"{directory}/etc/os-release", "w", encoding="ascii") as file:
        file.write("ID=busybox\n")
    return directory


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for a condition; the test fails with `what` when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def started(command: list[str], log: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program beside the test; ended by its PID with SIGTERM, or SIGKILL when it does not listen."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def tidied(*names: str) -> Iterator[None]:
    """Remove the empty cgroups, called or below one of these names, that came since: runtimes leave them behind."""
    before = leaks.take().cgroups
    try:
        yield
    finally:
        for cgroup in sorted(leaks.take().cgroups - before, reverse=True):
            if set(names) & set(cgroup.split("/")) or any(f"/{name}" in cgroup for name in names):
                with contextlib.suppress(OSError):
                    os.rmdir(cgroup)


def _podman(below: str) -> list[str]:
    places = [f"--{kind}={below}/podman-{kind}" for kind in ("root", "runroot", "tmpdir")]
    return ["podman", *places, "--events-backend", "none"]


@contextlib.contextmanager
def podman(name: str, *arguments: str) -> Iterator[Callable[..., str]]:
    """Run one Podman container; gives a function that runs `podman ARGUMENTS` on its private store."""
    need("podman", "runc", "conmon")
    with tempfile.TemporaryDirectory(prefix="podman") as below, tidied("libpod_parent", "libpod-"):
        base = [*_podman(below), "--runtime", "runc", "--cgroup-manager", "cgroupfs"]

        def call(*words: str) -> str:
            return run([*base, *words]).stdout

        archive = f"{below}/root.tar"
        run(["tar", "-C", make_root(f"{below}/root"), "-cf", archive, "."])
        call("import", "-q", archive, IMAGE)
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
        try:
            call("run", "-d", "--name", name, "--network", "none", *limits, *arguments, IMAGE, *SLEEP)
            yield call
        finally:
            run([*base, "rm", "-f", "-t", "0", name], check=False)
            run([*base, "rmi", "-f", IMAGE], check=False)
            for line in leaks.take().mounts:
                mountpoint = line.split()[0]
                if mountpoint.startswith(below):
                    run(["umount", mountpoint], check=False)


@contextlib.contextmanager
def containerd(name: str, *arguments: str) -> Iterator[Callable[..., str]]:
    """Run one `ctr` container under a containerd of our own; gives a function that runs `ctr ARGUMENTS`."""
    need("containerd", "ctr", "runc", "podman")
    with tempfile.TemporaryDirectory(prefix="containerd") as below, tidied("default"):
        command = ["containerd", "--root", f"{below}/root", "--state", f"{below}/state", "--address", f"{below}/sock"]
        with started(command, f"{below}/log"):

            def call(*words: str, check: bool = True) -> str:
                return run(["ctr", "--address", f"{below}/sock", *words], check=check).stdout

            until(lambda: "Server:" in call("version", check=False), "containerd")
            call("images", "import", oci_archive(below))
            try:
                call("run", "-d", *arguments, "--runtime", "io.containerd.runc.v2", IMAGE, name, *SLEEP)
                yield call
            finally:
                call("task", "kill", "-s", "KILL", name, check=False)
                until(lambda: "RUNNING" not in call("task", "ls", check=False), f"{name} to end")
                call("task", "rm", "-f", name, check=False)
                call("container", "rm", name, check=False)


def oci_archive(below: str) -> str:
    """Make an OCI archive of busybox, with Podman as the tool that knows the format."""
    base = _podman(below)
    archive = f"{below}/image.tar"
    run(["tar", "-C", make_root(f"{below}/busybox"), "-cf", f"{below}/root.tar", "."])
    run([*base, "import", "-q", f"{below}/root.tar", IMAGE])
    run([*base, "save", "-q", "--format", "oci-archive", "-o", archive, IMAGE])
    run([*base, "rmi", "-f", IMAGE])
    for line in leaks.take().mounts:
        if line.startswith(f"{below}/podman"):
            run(["umount", line.split()[0]], check=False)
    return archive


@contextlib.contextmanager
def lxc(name: str, *settings: str) -> Iterator[str]:
    """Run one LXC container; gives the lxcpath, which is private."""
    need("lxc-start")
    with tempfile.TemporaryDirectory(prefix="lxc") as below, tidied("lxc."):
        os.makedirs(f"{below}/{name}")
        root = make_root(f"{below}/{name}/rootfs")
        os.chmod(below, 0o755)  # noqa: S103  LXC wants to reach the root filesystem
        lines = [f"lxc.rootfs.path = dir:{root}", "lxc.net.0.type = empty", f"lxc.uts.name = {name}"]
        lines += [f"lxc.init.cmd = /bin/{' '.join(SLEEP)}", *settings]
        with open(f"{below}/{name}/config", "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        try:
            run(["lxc-start", "-P", below, "-n", name])
            run(["lxc-wait", "-P", below, "-n", name, "-s", "RUNNING", "-t", "20"])
            yield below
        finally:
            run(["lxc-stop", "-P", below, "-n", name, "-k"], check=False)


@contextlib.contextmanager
def nspawn(name: str) -> Iterator[str]:
    """Run one systemd-nspawn container; gives its root. It has namespaces and no cgroup of its own."""
    need("systemd-nspawn")
    with tempfile.TemporaryDirectory(prefix="nspawn") as below, tidied("payload", "supervisor"):
        root = make_root(f"{below}/{name}")
        command = ["systemd-nspawn", "-q", "-D", root, "-M", name, "--register=no", "--keep-unit", *SLEEP]
        with started(command, f"{below}/log") as process:
            until(lambda: _has_child(process.pid), "systemd-nspawn's container")
            yield root


def _has_child(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return bool(file.read().split())
    except OSError:
        return False


@contextlib.contextmanager
def bubblewrap() -> Iterator[int]:
    """Run one bwrap container; gives the launcher's PID."""
    need("bwrap")
    with tempfile.TemporaryDirectory(prefix="bwrap") as below:
        root = make_root(f"{below}/app")
        command = ["bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all"]
        command += ["--die-with-parent", *SLEEP]
        with started(command, f"{below}/log") as process:
            until(lambda: _has_child(process.pid), "bwrap's container")
            yield process.pid


@contextlib.contextmanager
def unshare() -> Iterator[int]:
    """Run one container of util-linux's unshare, on the machine's own files; gives the launcher's PID."""
    need("unshare")
    with tempfile.TemporaryDirectory(prefix="unshare") as below:
        command = ["unshare", "-mpuinCf", "--mount-proc", "--kill-child=KILL", *SLEEP]
        with started(command, f"{below}/log") as process:
            until(lambda: _has_child(process.pid), "unshare's child")
            yield process.pid
