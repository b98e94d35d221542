"""--device: how it is written, what it finds on this machine, and what the kernel is told."""

from __future__ import annotations

import os
import stat

import pytest

from inspector.kernel.cgroups import Hierarchy
from sandbox import cgroup, control, devices, host_devices
from sandbox.device_options import Device, as_document, parse_device
from sandbox.errors import SandboxError
from sandbox.limits import Limits

PLACE = "/sys/fs/cgroup/cgscope/id"


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/x", Device("/dev/x", "/dev/x", "rwm")),
        ("/dev/x:/dev/y", Device("/dev/x", "/dev/y", "rwm")),
        ("/dev/x:rw", Device("/dev/x", "/dev/x", "rw")),
        ("/dev/x:/dev/y:m", Device("/dev/x", "/dev/y", "m")),
    ],
)
def test_a_device_as_it_is_written(text: str, device: Device) -> None:
    """A second part is another path or what may be done, a third what may be done."""
    assert parse_device(text) == device
    shown = {"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.access}
    assert as_document([text]) == [shown]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "invalid device specification"),
        (":/dev/x", "invalid device specification"),
        ("/dev/x:/dev/y:rw:z", "invalid device specification"),
        ("/dev/x:/dev/y:rwx", "bad mode specified: 'rwx'"),
        ("/dev/x:/dev/y:rr", "bad mode specified: 'rr'"),
        ("/dev/x:/dev/y:", "bad mode specified: ''"),
        ("/dev/x:", "bad mode specified: ''"),
        ("dev/x", "'dev/x' is not an absolute path"),
        ("/dev/x:y", "'y' is not an absolute path"),
        ("/dev/x:/../y", "'/../y' holds '..'"),
        ("/dev/x:/", "there is no making a device at '/'"),
        ("/dev/x:/proc/x:r", "there is no making a device at '/proc/x'"),
    ],
)
def test_bad_devices(text: str, problem: str) -> None:
    """What is no device's description is refused in one line."""
    with pytest.raises(SandboxError, match=problem):
        parse_device(text)


def test_what_is_found(tmp_path: os.PathLike[str]) -> None:
    """A link leads to its device, a directory stands for those below it, but for what a container has of its own."""
    link = os.path.join(tmp_path, "link")
    os.symlink("/dev/zero", link)
    (given,) = host_devices.chosen([Device(link, "/dev/nulo", "r")], bound=False)
    assert (given.node.path, given.node.major, given.node.minor, given.node.bind) == ("/dev/nulo", 1, 5, False)
    assert str(given.rule) == "c 1:5 r"
    found = host_devices.chosen([Device("/dev", "/far")], bound=True)
    paths = {given.node.path: given.node for given in found}
    assert paths["/far/null"].source == "/dev/null"
    assert all(node.bind and node.kind in (stat.S_IFCHR, stat.S_IFBLK) for node in paths.values())
    assert not {path for path in paths if path.startswith("/far/pts/") or path == "/far/ptmx"}
    for path, reason in (("/no/such/device", "no such file or directory"), ("/etc/passwd", "not a device node")):
        with pytest.raises(SandboxError, match=f"adding custom device '{path}': {reason}"):
            host_devices.chosen([Device(path, path)], bound=False)
    with pytest.raises(SandboxError, match="not a device node"):
        host_devices.chosen([Device(str(tmp_path), "/dev/x")], bound=False)


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_kernel_is_told(version: int) -> None:
    """The rule comes after the usual ones: a line of devices.allow on v1, a part of the program on v2."""
    hierarchy = Hierarchy(version, frozenset({"devices"}) if version == 1 else frozenset(), "/sys/fs/cgroup")
    rule = devices.Rule("b", 7, 0, "r")
    steps = cgroup.plan(Limits(), [cgroup.Place(hierarchy, "/cgscope/id", PLACE)], devices=[rule])
    *_, last = (step for step in steps if step.phase == control.LIMIT)
    if version == 1:
        assert (last.path, last.value) == (f"{PLACE}/devices.allow", "b 7:0 r")
    else:
        told = [devices.parse_rule(text) for text in last.value.split(", ")]
        assert (last.action, told) == ("devices", [*devices.DEFAULT_RULES, rule])
