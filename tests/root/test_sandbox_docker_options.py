"""What Docker's rarer options do, in real containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.root.test_sandbox_images import busybox_layer, load
from tests.testbed.commands import Sandbox

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left_of_it")]

# A terminal of the machine: Docker's rules allow to make its node, and not to open it.
OPENED = "busybox mknod /dev/made c 4 1 && : < /dev/made && echo opened"
CAPABILITIES = "grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/self/status | tr -d '\\n\\t'"


@pytest.fixture
def image(sandbox: Sandbox, tmp_path: Path) -> str:
    """Load an image of busybox."""
    load(sandbox, tmp_path, busybox_layer())
    return "made:1"


def test_a_domain_and_options_of_the_resolver(sandbox: Sandbox, image: str) -> None:
    """The domain is that of its UTS namespace alone and part of its name; resolv.conf has the options."""
    options = ("--domainname", "d.example", "-h", "h", "--dns-opt", "ndots:7", "--ipc", "host")
    script = "cat /proc/sys/kernel/domainname; grep 127.0.1.1 /etc/hosts; grep options /etc/resolv.conf"
    before = Path("/proc/sys/kernel/domainname").read_text()
    done = sandbox("run", "--name", "one", *options, image, "sh", "-c", f"busybox sh -c '{script}'")
    assert done.stdout == "d.example\n127.0.1.1\th.d.example h\noptions ndots:7\n"
    assert Path("/proc/sys/kernel/domainname").read_text() == before
    shown = sandbox.inspect("one")
    assert (shown["Config"]["Domainname"], shown["HostConfig"]["DnsOptions"]) == ("d.example", ["ndots:7"])
    assert shown["HostConfig"]["Sysctls"] == {}


@pytest.mark.vm
def test_a_rule_for_devices(sandbox: Sandbox, image: str) -> None:
    """What the rule allows can be opened, and without it not."""
    done = sandbox("run", "--rm", image, "sh", "-c", OPENED, check=False)
    assert (done.returncode != 0, "not permitted" in done.stderr) == (True, True)
    for rule in ("c 4:* rmw", "a *:* rwm"):
        assert sandbox("run", "--rm", "--device-cgroup-rule", rule, image, "sh", "-c", OPENED).stdout == "opened\n"


def test_a_privileged_exec(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """It has all capabilities that there are, in a container that has few, and the container's filter still."""
    (tmp_path / "env").write_text("# words\nONE=1\nTWO=1\n")
    sandbox("run", "-d", "--name", "one", image, "sleep", "1000")
    script = f'busybox sh -c "{CAPABILITIES}"; echo; echo $ONE$TWO'
    plain, whole = (
        sandbox("exec", *more, "--env-file", f"{tmp_path}/env", "-e", "TWO=2", "one", "sh", "-c", script).stdout
        for more in ((), ("--privileged",))
    )
    assert plain == "CapEff:00000000a80425fbCapBnd:00000000a80425fbSeccomp:2\n12\n"
    with open("/proc/self/status", encoding="ascii") as file:
        own = dict(line.split(":\t") for line in file.read().splitlines() if ":\t" in line)["CapBnd"]
    assert whole == f"CapEff:{own}CapBnd:{own}Seccomp:2\n12\n"


def test_sizes_details_and_the_rest(sandbox: Sandbox, image: str) -> None:
    """`inspect -s`, `logs --details` and `system df -v` tell what a container wrote, and what it is of."""
    options = ("--log-opt", "labels=b,none", "--log-opt", "env=Z", "-l", "b=1 2", "-e", "Z=2")
    sandbox("run", "-d", "--name", "one", *options, image, "sh", "-c", "echo 12345 > /file; echo said")
    sandbox("wait", "one")
    assert sandbox("logs", "--details", "one").stdout == "Z=2,b=1%202 said\n"
    (found,) = json.loads(sandbox("inspect", "-s", "one").stdout)
    assert (found["SizeRw"], found["SizeRootFs"] > 100_000) == (6, True)
    assert "SizeRw" not in sandbox.inspect("one")
    sandbox("volume", "create", "kept")
    images, containers, volumes = sandbox("system", "df", "-v").stdout.split("\n\n")[1::2]
    assert [line.split()[0] for line in images.splitlines()] == ["REPOSITORY", "made"]
    assert images.split()[-1] == "1"
    assert [line.split()[-1] for line in containers.splitlines()] == ["NAMES", "one"]
    assert " 6B " in containers
    assert volumes.split()[-3:] == ["kept", "0", "0B"]


def test_prune_everything(sandbox: Sandbox, image: str) -> None:
    """`system prune -a --volumes` leaves what runs, and a volume with a name; filters choose by labels."""
    for name, label in (("kept", "a=1"), ("gone", "a=2")):
        sandbox("volume", "create", "--label", label, name)
    assert sandbox("volume", "prune", "-a", "--filter", "label!=a=1").stdout == "Deleted Volumes:\ngone\n"
    sandbox("run", "-d", "--name", "runs", image, "sleep", "1000")
    sandbox("run", "--name", "over", "-v", "/of_its_own", image, "true")
    said = sandbox("system", "prune", "-a", "--volumes", "-f").stdout
    assert "Deleted Volumes:" in said
    assert sandbox("ps", "-a", "--format", "{{.Names}}").stdout == "runs\n"
    assert sandbox("volume", "ls", "-q").stdout == "kept\n"
    assert sandbox("images", "-q").stdout
    sandbox("rm", "-f", "runs")
    assert "Untagged: made:1\nDeleted: sha256:" in sandbox("image", "prune", "-a", "-f").stdout
    assert sandbox("images", "-q").stdout == ""


def test_parts_of_a_subnet(sandbox: Sandbox, image: str) -> None:
    """Addresses come from the range, never one that is kept; what lies outside is refused."""
    network = ("network", "create", "--subnet", "172.29.64.0/20")
    for more in (("--ip-range", "172.29.0.0/24"), ("--ip-range", "172.29.0.0/16"), ("--aux-address", "a=172.29.0.9")):
        done = sandbox(*network, *more, "net", check=False)
        assert (done.returncode, done.stderr.startswith("sandbox: no matching subnet for ")) == (1, True), more
    sandbox(*network, "--ip-range", "172.29.66.0/24", "--aux-address", "a=172.29.66.1", "net")
    done = sandbox("run", "--rm", "--net", "net", image, "busybox", "hostname", "-i")
    assert done.stdout == "172.29.66.0\n"
    sandbox("run", "-d", "--name", "one", "--net", "net", image, "sleep", "1000")
    assert sandbox("run", "--rm", "--net", "net", image, "busybox", "hostname", "-i").stdout == "172.29.66.2\n"
