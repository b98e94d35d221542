"""What a program has beside its rights, as it sees it itself: resource limits, kernel settings, groups, OOM score."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.testbed.commands import Sandbox

pytestmark = pytest.mark.root

OPTIONS = (
    "--ulimit", "nofile=100:200", "--ulimit", "core=0", "--sysctl", "net.core.somaxconn=77",
    "--sysctl", "kernel.shmmax=12345", "--group-add", "33", "--group-add", "daemon", "--oom-score-adj", "642",
    "--shm-size", "8m",
)  # fmt: skip
SETTINGS = ("/proc/sys/net/core/somaxconn", "/proc/sys/kernel/shmmax")
# How a program asks, and what it is told; `exec` shares all but the kernel settings, which are the container's anyway.
ASKS = (
    ("ulimit -Sn; ulimit -Hn; ulimit -c", ["100", "200", "0"]),
    ("cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmax", ["77", "12345"]),
    ("cat /proc/self/oom_score_adj", ["642"]),
    ("id -G", ["0", "1", "33"]),
)


@pytest.mark.vm
def test_as_the_program_sees_them(sandbox: Sandbox) -> None:
    """B046, B048, B049, B058: what was asked for is what the program has, and what `exec` adds has it too."""
    before = [Path(path).read_text() for path in SETTINGS]
    sandbox.start("surrounded", *OPTIONS, "sleep", "1000")
    for script, told in ASKS:
        assert sandbox("exec", "surrounded", "sh", "-c", script).stdout.split() == told, script
    size = sandbox("exec", "surrounded", "df", "-k", "--output=size", "/dev/shm").stdout.split()  # noqa: S108
    assert size[1:] == [str(8 << 10)]
    first = sandbox.pid("surrounded")
    limits = Path(f"/proc/{first}/limits").read_text().splitlines()
    assert next(line.split() for line in limits if line.startswith("Max open files"))[3:5] == ["100", "200"]
    config = sandbox.inspect("surrounded")["HostConfig"]
    assert config["Ulimits"][0] == {"Name": "nofile", "Soft": 100, "Hard": 200}
    assert (config["OomScoreAdj"], config["ShmSize"], config["GroupAdd"]) == (642, 8 << 20, ["33", "daemon"])
    assert [Path(path).read_text() for path in SETTINGS] == before  # this machine's own


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--ulimit", "nofile=5:4"), "soft limit must be less"),
        (("--ulimit", "files=5"), "invalid ulimit"),
        (("--ulimit", "nofile=many"), "neither a number nor unlimited"),
        (("--sysctl", "kernel.hostname=x"), "is not allowed"),
        (("--sysctl", "vm.swappiness=1"), "is not allowed"),
        (("--sysctl", "net.core.somaxconn=x"), "Invalid argument"),
        (("--sysctl", "net.core.nosuch=1"), "No such file or directory"),
        (("--net", "host", "--sysctl", "net.core.somaxconn=5"), "shares its network namespace"),
        (("--oom-score-adj", "1001"), r"range for oom score adj is \[-1000, 1000\]"),
        (("--group-add", "nosuch"), "unable to find group nosuch"),
        (("--shm-size", "-1"), "--shm-size: invalid size: '-1'"),
    ],
)
def test_what_cannot_be(sandbox: Sandbox, options: tuple[str, ...], text: str) -> None:
    """What makes no sense, or is not the container's to set, is refused in one line, and nothing is left.

    With 125, but Docker has 127 where there is no such file.
    """
    done = sandbox("run", "--rm", "--rootfs", "/", *options, "true", check=False)
    assert done.returncode == (127 if text.startswith("No such file") else 125)
    assert len(done.stderr.splitlines()) == 1
    assert re.search(text, done.stderr)
    assert sandbox("ps", "-aq").stdout == ""
