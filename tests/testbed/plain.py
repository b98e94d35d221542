"""Containers of the OCI runtimes themselves, runc's and crun's, with no engine above them.

crun refuses a machine with v1 and v2 hierarchies whose v2 has a controller: there it sees the v1 alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from sandbox import syscalls
from tests.testbed.runtimes import SLEEP, make_root, tidied
from tests.testbed.tools import need

V2 = "/sys/fs/cgroup/unified"
CLONE_FS = 0x200  # sched.h


def make_bundle(directory: str, rootfs: str, argv: Sequence[str]) -> str:
    """Make an OCI bundle as `runc spec` has it, with a root from elsewhere, and return its directory."""
    os.mkdir(directory)
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    with open(f"{directory}/config.json", "r+", encoding="utf-8") as file:
        config = json.load(file)
        config["process"].update(terminal=False, args=list(argv))
        config["process"].pop("rlimits", None)  # they need CAP_SYS_RESOURCE
        config["root"] = {"path": rootfs, "readonly": True}
        file.seek(0)
        json.dump(config, file)
        file.truncate()
    return directory


@contextlib.contextmanager
def seen_by(runtime: str) -> Iterator[int]:
    """Give a mount namespace in which a runtime runs on this machine, -1 for our own."""
    controllers = f"{V2}/cgroup.controllers"
    if runtime != "crun" or not os.path.exists(controllers):
        yield -1
        return
    script = f"umount {V2} && echo && exec cat"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"\n"
        fd = os.open(f"/proc/{process.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def within(fd: int) -> Iterator[None]:
    """Be in a mount namespace for a while, with what is started meanwhile; -1 is the one we are in."""
    if fd < 0:
        yield
        return
    where, own = os.getcwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare(CLONE_FS)  # a working directory that is other threads' too may not change so
    try:
        syscalls.setns(fd, syscalls.CLONE_NEWNS)
        yield
    finally:
        syscalls.setns(own, syscalls.CLONE_NEWNS)
        os.close(own)
        os.chdir(where)


@contextlib.contextmanager
def plain(runtime: str, name: str, command: Sequence[str] = SLEEP) -> Iterator[tuple[int, str]]:
    """Run a container of a runtime alone; gives the PID of its first process, and its root filesystem."""
    need("runc", runtime)
    with tempfile.TemporaryDirectory(prefix=runtime) as below, tidied(name), seen_by(runtime) as place:
        root = make_root(f"{below}/root")
        bundle = make_bundle(f"{below}/bundle", root, command)
        line, quiet = [runtime, "--root", f"{below}/state"], {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        pid = f"{below}/pid"
        with within(place):
            started = [*line, "run", "-d", "-b", bundle, "--pid-file", pid, name]
            subprocess.run(started, check=True, **quiet, stderr=subprocess.DEVNULL)  # type: ignore[call-overload]
        try:
            with open(pid, encoding="ascii") as file:
                yield int(file.read()), root
        finally:
            with within(place):
                subprocess.run([*line, "delete", "-f", name], check=True, **quiet)  # type: ignore[call-overload]
