"""What other runtimes' tests hold of a container and no other test here shows; the numbers are in behaviours.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.test_sandbox_images import busybox_layer, load
from tests.testbed.commands import Sandbox
from tests.testbed.image_archives import entry, folder

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

PASSWD = b"root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/sh\n"
GROUP = b"root:x:0:\ndaemon:x:1:\nwheel:x:10:root\n"
IDENTITY = "echo $(id -u) $(id -G) $HOME"
DEVICES = """
cd /dev; stat -c '%A %t,%T' null; [ -L ptmx ] && echo link; [ -e console ] || echo none; umask
cat /etc/hostname; hostname; echo $HOSTNAME; busybox cut -d: -f3 /proc/self/cgroup | busybox sort -u
set -- /proc/[0-9]*; echo $#
"""
READ_ONLY = """
for file in /file /etc/hosts /etc/hostname /etc/resolv.conf; do touch $file && echo touched $file; done 2>/dev/null
touch /dev/shm/file && echo shm; touch /t/file && echo tmpfs; stat -c %a /dev/pts/ptmx
"""


@pytest.fixture
def image(sandbox: Sandbox, tmp_path: Path) -> str:
    """Load an image of busybox with users; its root has a second group."""
    load(sandbox, tmp_path, busybox_layer(folder("etc"), entry("etc/passwd", PASSWD), entry("etc/group", GROUP)))
    return "made:1"


def test_who_a_program_is(sandbox: Sandbox, image: str) -> None:
    """B013, B016, B017, B019, B021, B129, T20: users, groups, home and directory, by the container's own files."""
    null = os.stat("/dev/null")
    script = "mkdir -m 700 /closed; touch /ready; exec sleep 1000"
    sandbox("run", "-d", "--name", "one", image, "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("exec", "one", "ls", "/ready", check=False).returncode == 0)

    def told(*options: str, script: str = IDENTITY) -> str:
        return sandbox("exec", *options, "one", "sh", "-c", script).stdout.strip()

    assert [told("-u", user) for user in ("daemon", "1", "0", "1042:1043")] == [
        "1 1 /usr/sbin", "1 1 /usr/sbin", "0 0 10 /root", "1042 1043 /",
    ]
    script = "echo $HOME $CGSCOPE_ROOT ${NO_SUCH-none}"
    assert told("-e", "HOME=", "-e", "CGSCOPE_ROOT", "-e", "NO_SUCH", script=script) == f"/root {sandbox.root} none"
    assert told("-u", "1", "-w", "/closed", script="pwd") == "/closed"
    assert (os.stat("/dev/null").st_uid, os.stat("/dev/null").st_mode) == (null.st_uid, null.st_mode)
    sandbox("exec", "one", "rm", "/etc/group")
    assert told("-u", "0:0", script="id -u") == "0"
    for options, text in (
        (("-u", "0:root"), "unable to find group root: no matching entries in group file"),
        (("-u", "nobody"), "unable to find user nobody: no matching entries in passwd file"),
        (("-w", "/missing"), "No such file or directory"),
        (("-w", "relative"), "not an absolute path"),
    ):
        done = sandbox("exec", *options, "one", "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines()), text in done.stderr) == (126, 1, True), options


@pytest.mark.vm
def test_what_is_around_it(sandbox: Sandbox, image: str) -> None:
    """B044, B063, B072, B074, B075, T16: devices, umask, names, its own cgroup, no other's processes, its mounts."""
    done = sandbox("run", "--rm", "-h", "h.example", image, "sh", "-c", DEVICES)
    assert done.stdout.split() == [
        "crw-rw-rw-", "1,3", "link", "none", "0022", "h.example", "h.example", "h.example", "/", "1",
    ]
    sandbox("run", "-d", "--name", "one", image, "sleep", "1000")
    assert sandbox("exec", "one", "busybox", "grep", "PPid", "/proc/self/status").stdout == "PPid:\t0\n"
    (root,) = [line for line in sandbox("exec", "one", "cat", "/etc/mtab").stdout.splitlines() if " / " in line]
    assert "redirect_dir=nofollow" in root


def test_what_cannot_be_written(sandbox: Sandbox, image: str) -> None:
    """B059, B073: with --read-only neither the root nor our files in it, but memory; a working directory is made."""
    options = ("--read-only", "--tmpfs", "/t", "-w", "/made/dir/")
    done = sandbox("run", "--rm", *options, image, "sh", "-c", f"pwd; {READ_ONLY}", check=False)
    assert done.stdout.split() == ["/made/dir", "shm", "tmpfs", "666"]


def test_rights_to_mount(sandbox: Sandbox, image: str) -> None:
    """B027: nothing can be mounted, but by one that is privileged."""
    script = "mkdir -p /m; busybox mount -t tmpfs none /m && echo mounted"
    done = sandbox("run", "--rm", image, "sh", "-c", script, check=False)
    assert (done.returncode, done.stdout, "are you root?" in done.stderr) == (1, "", True)
    assert sandbox("run", "--rm", "--privileged", image, "sh", "-c", script).stdout == "mounted\n"


@pytest.mark.vm
def test_what_was_added_ends_with_it(sandbox: Sandbox, image: str) -> None:
    """B105: a program of `exec` does not hold up a stop, and is gone with the first process."""
    sandbox("run", "-d", "--name", "one", image, "sh", "-c", "trap exit TERM; while :; do sleep 0.05; done")
    sandbox("exec", "-d", "one", "sleep", "1001")
    lines: list[list[str]] = []

    def runs() -> bool:
        lines[:] = [line.split(None, 1) for line in sandbox("top", "one", "-eo", "pid,args").stdout.splitlines()]
        return any(line[1:] == ["sleep 1001"] for line in lines)

    assert sandboxing.wait_for(runs)
    pid = next(line[0] for line in lines if line[1:] == ["sleep 1001"])
    done = sandbox("stop", "-t", "600", "one")
    assert (done.stdout, done.stderr) == ("one\n", "")
    assert sandboxing.wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe"))  # a zombie has none
