"""What Docker's rarer options do, in real containers."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.test_sandbox_images import busybox_layer, load
from tests.testbed.commands import SANDBOX, Sandbox, run

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


def test_a_capability_that_we_have_not(sandbox: Sandbox, image: str) -> None:
    """One that is asked for by name and cannot be handed on is told of; all of them are those that there are."""
    lesser = ["setpriv", "--bounding-set=-sys_time", *SANDBOX, "run", "--rm"]
    words = [image, "busybox", "grep", "CapEff", "/proc/self/status"]
    done = run([*lesser, "--cap-add", "SYS_TIME", "--cap-add", "NET_ADMIN", *words], env=sandbox.env)
    assert done.stdout == "CapEff:\t00000000a80435fb\n"
    text = "not in the bounding set of this process, so the container does not get it"
    assert f"sandbox: warning: --cap-add SYS_TIME: {text}" in done.stderr.splitlines()
    assert "NET_ADMIN" not in done.stderr
    assert run([*lesser, "--cap-add", "ALL", *words], env=sandbox.env).stderr == ""


def test_ipc_that_may_be_shared(sandbox: Sandbox, image: str) -> None:
    """`--ipc shareable` is a namespace of its own, that others join."""
    sandbox("run", "-d", "--name", "one", "--ipc", "shareable", image, "sleep", "1000")
    own = sandboxing.namespaces(sandbox.pid("one"))["ipc"]
    assert own != sandboxing.namespaces("self")["ipc"]
    joined = sandbox("run", "--rm", "--ipc", "container:one", image, "busybox", "readlink", "/proc/self/ns/ipc")
    assert joined.stdout == f"{own}\n"


def test_what_docker_users_ask_inspect(sandbox: Sandbox, image: str) -> None:
    """Keys that follow from others are there for templates; a name may have Docker's slash."""
    options = ("--cpus", "0.5", "-v", "/anonymous", "--shm-size", "0", *("-v", "kept:/kept") * 2)
    ports = ("-p", "127.0.0.1:40999:80", "--expose", "53/udp")
    sandbox("create", "--name", "one", *options, *ports, image, "true")
    form = "{{.HostConfig.NanoCpus}} {{json .Config.Volumes}} {{.Config.ExposedPorts}} {{.HostConfig.ShmSize}}"
    told = sandbox("inspect", "-f", form, "/one").stdout
    assert told == '500000000 {"/anonymous":{}} map[53/udp:map[] 80/tcp:map[]] 67108864\n'
    form = "{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}}"
    assert sandbox("inspect", "-f", form, "one").stdout == "false true true\n"
    assert sandbox("rm", "-v", "/one").stdout == "/one\n"
    sandbox("volume", "rm", "kept")


def test_a_file_on_a_directory(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """What cannot be mounted where is said, and why not."""
    (tmp_path / "file").touch()
    for source, target, text in (
        (f"{tmp_path}/file", "/etc", "cannot mount what is not a directory on /etc, which is one in this rootfs"),
        (str(tmp_path), "/bin/sh", "cannot mount a directory on /bin/sh, which is not a directory in this rootfs"),
    ):
        done = sandbox("run", "--rm", "-v", f"{source}:{target}", image, "true", check=False)
        assert (done.returncode, done.stderr) == (125, f"sandbox: {text}\n")


def test_names_in_an_export(sandbox: Sandbox, image: str) -> None:
    """The members of an export have Docker's names: `tar -x etc/passwd` finds it."""
    sandbox("create", "--name", "one", image, "true")
    archive = f"{sandbox.root}.tar"
    sandbox("export", "-o", archive, "one")
    with tarfile.open(archive) as found:
        names = found.getnames()
    assert (names[0], "bin/busybox" in names, [name for name in names if name.startswith("./")]) == (".", True, [])
