"""Devices given to a container, and those that it has not been given, on both cgroup versions."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator

import pytest

from sandbox import devices
from tests.testbed.commands import Sandbox, run

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--rootfs", "/")
DENIED = "Operation not permitted"
# The command, that forbids all on a busy machine, and takes its time to allow what is to be allowed.
SLOW = """
import sys, time
from sandbox import control
from sandbox.cli import main
write = control.write
def slow(path, value):
    write(path, value)
    if path.endswith("/devices.deny"):
        time.sleep(0.5)
control.write = slow
sys.exit(main())
"""


@pytest.mark.vm
def test_a_device_that_is_given(sandbox: Sandbox) -> None:
    """--device makes a node, under another name too, and lets it be used as far as its mode says (B045)."""
    script = """
    head -c 2 /dev/nulo | wc -c
    : >> /dev/kmsg && echo opened
    head -c 0 /dev/kmsg
    stat -c %t:%T:%a /dev/nulo
    """
    options = ("--device", "/dev/zero:/dev/nulo", "--device", "/dev/kmsg:w")
    done = sandbox(*RUN, *options, "sh", "-c", script, check=False)
    mode = stat.S_IMODE(os.stat("/dev/zero").st_mode)
    assert done.stdout.split() == ["2", "opened", f"1:5:{mode:o}"]
    assert done.stderr.count(DENIED) == 1
    done = sandbox(*RUN, "sh", "-c", "mknod /dev/kmsg c 1 11; : >> /dev/kmsg", check=False)
    assert DENIED in done.stderr


def test_its_own_are_made_when_they_may_be(sandbox: Sandbox) -> None:
    """On v1 all is forbidden before something is allowed: nobody makes devices between the two."""
    done = run([sys.executable, "-c", SLOW, *RUN, "--net", "none", "head", "-c", "1", "/dev/zero"], env=sandbox.env)
    assert done.stdout == "\0"


def test_links_and_directories(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """A link is followed on this machine, and a directory brings every device below it (TestRunDeviceSymlink).

    B045.
    """
    os.mkdir(os.path.join(tmp_path, "some"))
    for name, number in (("one", 5), ("two", 7)):
        os.mknod(os.path.join(tmp_path, "some", name), stat.S_IFCHR | 0o640, os.makedev(1, number))
        os.chown(os.path.join(tmp_path, "some", name), 1000, 1001)
    os.symlink("some/one", os.path.join(tmp_path, "link"))
    options = ("--device", f"{tmp_path}/link:/dev/symzero", "--device", f"{tmp_path}/some:/dev/some")
    script = "stat -c %n:%t:%T:%a:%u:%g /dev/symzero /dev/some/*; head -c 1 /dev/symzero | wc -c"
    lines = sandbox(*RUN, *options, "sh", "-c", script).stdout.split()
    of = {"one": "1:5:640:1000:1001", "two": "1:7:640:1000:1001"}
    assert lines == [f"/dev/symzero:{of['one']}", f"/dev/some/one:{of['one']}", f"/dev/some/two:{of['two']}", "1"]


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("/dev/zero:/dev/x:rwx", "bad mode specified"),
        ("/no/such", "no such file or directory"),
        ("/etc/passwd", "not a device node"),
    ],
)
def test_bad_devices(sandbox: Sandbox, device: str, problem: str) -> None:
    """A bad mode and what is no device are one line, and leave nothing (B045)."""
    done = sandbox("run", "--device", device, "--rootfs", "/", "true", check=False)
    code = 127 if problem.startswith("no such file") else 125
    assert (done.returncode, len(done.stderr.splitlines()), problem in done.stderr) == (code, 1, True)
    assert sandbox("ps", "-aq").stdout == ""


def test_exec_and_inspect_have_them_too(sandbox: Sandbox) -> None:
    """A joined program has the same rules, and inspect tells of the device as Docker does."""
    sandbox("run", "-d", "--name", "given", "--device", "/dev/kmsg:/dev/log0:w", "--rootfs", "/", "sleep", "1000")
    assert sandbox("exec", "given", "sh", "-c", ": >> /dev/log0 && echo opened").stdout == "opened\n"
    assert sandbox.inspect("given")["HostConfig"]["Devices"] == [
        {"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/log0", "CgroupPermissions": "w"}
    ]


@pytest.fixture
def group() -> Iterator[str]:
    """Make a v2 cgroup, which a machine with v1 controllers has too."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mount = next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)
    if mount is None:
        pytest.skip("no cgroup2 is mounted here")
    path = f"{mount}/cgscope-devices-{os.getpid()}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


@pytest.mark.vm
def test_the_program_of_v2(group: str, tmp_path: os.PathLike[str]) -> None:
    """The kernel takes the program, which decides about opening and making nodes, kind by kind, letter by letter."""
    rules = (devices.Rule("c", 1, 5, "rwm"), devices.Rule("c", 1, 7, "r"), devices.Rule("c", None, None, "m"))
    devices.attach(group, rules)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
        for name, flags in (("zero", os.O_RDWR), ("full", os.O_RDONLY), ("full", os.O_WRONLY), ("null", os.O_RDONLY)):
            try:
                os.open(f"/dev/{name}", flags)
                answer = "ok"
            except OSError as error:
                answer = str(error.errno)
            os.write(writing, f"{name}:{flags} {answer}\n".encode())
        for kind, name in ((stat.S_IFCHR, "char"), (stat.S_IFBLK, "block")):
            try:
                os.mknod(os.path.join(tmp_path, name), kind | 0o600, os.makedev(7, 7))
                answer = "ok"
            except OSError as error:
                answer = str(error.errno)
            os.write(writing, f"{name} {answer}\n".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, encoding="ascii") as file:
        answers = dict(line.split() for line in file)
    assert answers == {
        f"zero:{os.O_RDWR}": "ok",
        f"full:{os.O_RDONLY}": "ok",
        f"full:{os.O_WRONLY}": "1",
        f"null:{os.O_RDONLY}": "1",
        "char": "ok",
        "block": "1",
    }
