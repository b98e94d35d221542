"""Containers whose root is nobody outside (--userns), by the kernel's maps and by the owners of files on the disk."""

from __future__ import annotations

import json
import os
import resource
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import idmap
from sandbox.errors import SandboxError
from sandbox.network.settings import Network
from sandbox.sharing import Sharing
from sandbox.spec import Spec
from sandbox.state import Store
from sandbox.userns import check
from tests.root import sandboxing
from tests.testbed.commands import NSINSPECT, SANDBOX, Sandbox, run
from tests.testbed.runtimes import make_root
from tests.testbed.tools import need

pytestmark = pytest.mark.root

SIZE = 65536
NOBODY = 65534


@pytest.fixture
def rootfs(tmp_path: Path) -> str:
    """Make a rootfs of busybox, with a file of user 1000 and one that nobody but its owner reads."""
    directory = make_root(str(tmp_path / "rootfs"))
    for name, owner, mode in (("etc/users", 1000, 0o644), ("etc/roots", 0, 0o600)):
        path = Path(directory, name)
        path.write_text(f"{name}\n")
        path.chmod(mode)
        os.chown(path, owner, owner)
    return directory


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Sandbox]:
    """Give the command a state directory there."""
    sandbox = Sandbox(str(tmp_path / "state"))
    yield sandbox
    sandbox.close()
    assert sandboxing.wait_for(lambda: not sandboxing.remains(sandbox.root)), sandboxing.remains(sandbox.root)


def uid_map(pid: int) -> list[int]:
    """Return the one range of a process's map."""
    return [int(word) for word in Path(f"/proc/{pid}/uid_map").read_text().split()]


def begin(sandbox: Sandbox, name: str, rootfs: str, *options: str, userns: str = "auto") -> int:
    """Start a container that waits, and return its first PID."""
    sandbox("run", "-d", "--name", name, "--userns", userns, *options, "--rootfs", rootfs, "sleep", "1000")
    return sandbox.pid(name)


def test_its_root_is_nobody_here(users: Sandbox, rootfs: str, tmp_path: Path) -> None:
    """Inside everything is its root's, image, own files and new ones; outside its processes are those of other ids.

    On the disk files have the ids that they have inside, so a stopped container is like any other.
    """
    script = "busybox id -u; busybox stat -c '%u %a' /etc/roots /etc/users /etc/hosts /; busybox cat /etc/roots"
    told = users("run", "--rm", "--userns", "auto", "--rootfs", rootfs, "sh", "-c", script).stdout
    assert told.split() == ["0", "0", "600", "1000", "644", "0", "644", "0", "755", "etc/roots"]
    pid = begin(users, "mapped", rootfs)
    inside, outside, size = uid_map(pid)
    assert (inside, size) == (0, SIZE)
    assert outside >= SIZE
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == Path(f"/proc/{pid}/uid_map").read_text().split()
    assert sandboxing.status(pid, "Uid").split() == [str(outside)] * 4
    assert users.inspect("mapped")["HostConfig"]["IDMappings"]["UidMap"] == [f"0:{outside}:{SIZE}"]
    assert os.stat(f"/proc/{pid}/root/etc/users").st_uid == outside + 1000
    users("exec", "mapped", "sh", "-c", "echo kept > /new; busybox chown 7:8 /new; busybox rm /etc/users")
    upper = Path(users.inspect("mapped")["GraphDriver"]["Data"]["UpperDir"])
    assert ((upper / "new").stat().st_uid, (upper / "new").stat().st_gid) == (7, 8)
    assert users("diff", "mapped").stdout.splitlines() == ["C /etc", "D /etc/users", "A /new"]
    users("stop", "-t", "0", "mapped")
    users("start", "mapped")
    assert uid_map(users.pid("mapped")) == [inside, outside, size]
    assert users("exec", "mapped", "busybox", "stat", "-c", "%u:%g", "/new").stdout == "7:8\n"
    assert os.listdir(tmp_path / "state" / "userns") == [str(outside)]


def test_each_has_ids_of_its_own(users: Sandbox, rootfs: str, tmp_path: Path) -> None:
    """No two share a range unless they are told to; it goes with its container, limits and networks hold as ever."""
    first = uid_map(begin(users, "first", rootfs, "--memory", "64m", "--pids-limit", "9"))
    second = uid_map(begin(users, "second", rootfs, "--net", "none"))
    assert abs(first[1] - second[1]) >= SIZE
    options = ("--pid", "container:first", "--ipc", "container:first", "--net", "container:first")
    pid = begin(users, "guest", rootfs, *options, userns="container:first")
    assert uid_map(pid) == first
    for kind in ("user", "pid", "ipc", "net"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/{users.pid('first')}/ns/{kind}")
    assert users("exec", "guest", "busybox", "id", "-u").stdout == "0\n"
    forks = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 9 & done 2>&1"
    assert "fork" in users("exec", "first", "sh", "-c", forks, check=False).stdout
    users("rm", "-f", "guest")
    lasting = begin(users, "lasting", rootfs, userns="container:first")
    users("rm", "-f", "first")
    assert os.listdir(tmp_path / "state" / "userns") == [str(second[1])]
    wanted = f"{(first[1] - idmap.BUILTIN.start) // SIZE:08x}".ljust(64, "0")  # whose search begins there
    assert idmap.claim(Store(users.root), wanted).uids[0].outside != uid_map(lasting)[1] == first[1]


def test_joined_by_exec_and_enter(users: Sandbox, rootfs: str) -> None:
    """A program that joins is as much nobody as the first, with a terminal too; nsinspect says so."""
    pid = begin(users, "joined", rootfs, "-u", "1000:1000")
    outside = uid_map(pid)[1]
    assert sandboxing.status(pid, "Gid").split() == [str(outside + 1000)] * 4
    users("exec", "-d", "-u", "0", "joined", "sleep", "1001")
    inner = [int(line.split()[1]) for line in users("top", "joined").stdout.splitlines() if "1001" in line]
    assert sandboxing.status(inner[0], "Uid").split() == [str(outside)] * 4
    assert sandboxing.status(inner[0], "Groups").split() == [str(outside)]
    command = [*SANDBOX, "exec", "-t", "joined", "busybox", "stat", "-c", "%u", "/dev/pts/0"]
    done = run([sys.executable, "-c", f"import pty; pty.spawn({command})"], env=users.env)
    assert "1000" in done.stdout.split()
    assert users("enter", str(pid), "--", "/bin/busybox", "id", "-u").stdout == "0\n"
    told = json.loads(run([*NSINSPECT, "--json", "joined"], env=users.env).stdout)
    assert told["security"]["uid_map"] == [{"inside": 0, "outside": outside, "length": SIZE}]
    assert "root-of-host" not in {finding["code"] for finding in told["findings"]}


def test_files_in_and_out(users: Sandbox, rootfs: str, tmp_path: Path) -> None:
    """By cp and export owners are those inside, running or stopped; what this machine's root alone reads goes in."""
    begin(users, "store", rootfs)
    given = tmp_path / "given"
    given.mkdir(0o700)
    (given / "secret").write_text("ours\n")
    (given / "secret").chmod(0o600)
    os.chown(given / "secret", 1000, 1000)
    for state in ("running", "stopped"):
        users("cp", str(given), f"store:/{state}")
        users("cp", "-a", f"store:/{state}/secret", str(tmp_path / state))
        assert ((tmp_path / state).read_text(), (tmp_path / state).stat().st_uid) == ("ours\n", 1000)
        users("export", "-o", str(tmp_path / "all.tar"), "store")
        with tarfile.open(tmp_path / "all.tar") as archive:
            owners = {name: archive.getmember(name).uid for name in ("etc/roots", "etc/users", f"{state}/secret")}
        assert owners == {"etc/roots": 0, "etc/users": 1000, f"{state}/secret": 1000}
        missing = users("cp", "store:/nothing", str(tmp_path / "x"), check=False)
        assert (missing.returncode, "could not find the file /nothing" in missing.stderr) == (1, True)
        users("stop", "-t", "0", "store")
    wanted = ("--since", "1h", "--until", "0s", "-f", "event=extract-to-dir")
    told = users("events", *wanted, "--format", "{{.Action}}").stdout
    assert told == "extract-to-dir\n" * 2
    users("start", "store")
    owners_inside = ("busybox", "stat", "-c", "%u", "/running/secret", "/stopped/secret")
    assert users("exec", "store", *owners_inside).stdout == "1000\n1000\n"


def test_volumes(users: Sandbox, rootfs: str, tmp_path: Path) -> None:
    """A directory of the host is nobody's inside and stays as it is, but with idmap; a volume belongs to the inside."""
    given = tmp_path / "given"
    given.mkdir(0o755)
    paths = (f"{given}:/plain", f"{given}:/mapped:idmap", f"{given}:/ro:ro,idmap", "named:/etc")
    mounts = [word for path in paths for word in ("-v", path)]
    script = "b=busybox; $b stat -c %u /plain /mapped /etc/users; $b touch /plain/no /ro/no; $b touch /mapped/a /etc/y"
    run_it = ("run", "--rm", "--userns", "auto", *mounts, "--rootfs", rootfs, "sh", "-c", script)
    assert users(*run_it).stdout.split() == [str(NOBODY), "0", "1000"]
    assert [(entry.name, entry.stat().st_uid) for entry in os.scandir(given)] == [("a", 0)]
    for userns in ("host", "auto"):
        again = ("run", "--rm", "--userns", userns, "-v", "named:/v", "--rootfs", rootfs)
        assert users(*again, "busybox", "stat", "-c", "%u", "/v/users", "/v/y").stdout.split() == ["1000", "0"]


@pytest.mark.parametrize(
    ("subuid", "subgid", "expected"),
    [
        ("cgscope:200000:65536\nother:300000:65536\n", "cgscope:500000:131072\n", ["200000 500000", "all 1 ranges"]),
        ("cgscope:200000:65535\n", "cgscope:500000:65536\n", ["give cgscope no 65536 ids each"]),
        ("cgscope:200000:65536\n", "other:500000:65536\n", ["give cgscope no 65536 ids each"]),
        ("cgscope:much\n", "cgscope:500000:65536\n", ["/etc/subuid: an entry of cgscope is not of the form"]),
    ],
)
def test_ids_that_the_machine_gives(
    users: Sandbox, rootfs: str, tmp_path: Path, subuid: str, subgid: str, expected: list[str]
) -> None:
    """What /etc/subuid and /etc/subgid give to cgscope is used, and nothing else; none left is said."""
    for name in ("etc", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc" / "subuid").write_text(subuid)
    (tmp_path / "etc" / "subgid").write_text(subgid)
    layers = f"lowerdir=/etc,upperdir={tmp_path}/etc,workdir={tmp_path}/work"
    create = [*SANDBOX, "create", "--userns", "auto", "--rootfs", rootfs, "true"]
    for text in expected:
        mounted = ["unshare", "-m", "sh", "-c", 'mount -t overlay -o "$0" none /etc && exec "$@"', layers, *create]
        done = run(mounted, env=users.env, check=False)
        if done.returncode:
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
            assert text in done.stderr
        else:
            maps = users.inspect(done.stdout.strip())["HostConfig"]["IDMappings"]
            assert [maps["UidMap"][0].split(":")[1], maps["GidMap"][0].split(":")[1]] == text.split()
    assert len(users("ps", "-aq").stdout.split()) == len(expected) - 1


def test_what_cannot_be(users: Sandbox, rootfs: str) -> None:
    """One line, 125, and nothing left, no range either."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    users("create", "--name", "stopped", "--userns", "auto", "--rootfs", rootfs, "true")
    users("run", "-d", "--name", "plain", "--net", "none", "--rootfs", rootfs, "sleep", "1000")
    for options, text in (
        (("--userns", "mine"), "--userns: invalid USER mode: 'mine'"),
        (("--userns", "container:nobody"), "no such container: nobody"),
        (("--userns", "auto", "--ulimit", f"nofile={hard + 1}:{hard + 1}"), f"the hard limit here is {hard}, which"),
        (("--userns", "container:stopped"), "is not running"),
        (("--userns", "container:plain"), "has no user namespace of its own"),
        (("--userns", "auto", "--net", "host"), "cannot share the host's network namespace"),
        (("--userns", "auto", "-u", "70000"), "user 70000:0 does not exist here: its user namespace has no such id"),
        (("--userns", "auto", "-v", "/proc:/x:idmap"), "/proc: its filesystem cannot show files as other users'"),
        (("-v", "/usr:/x:idmap"), "idmap is for a container with --userns auto or container:ID"),
    ):
        done = users("run", "--rm", *options, "--rootfs", rootfs, "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (125, 1), done.stderr
        assert text in done.stderr
    assert len(users("ps", "-aq").stdout.split()) == 2
    assert len(os.listdir(f"{users.root}/userns")) == 1


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"privileged": True}, "privileged mode is incompatible with user namespaces"),
        ({"network": Network("host")}, "the host's network namespace"),
        ({"sharing": Sharing(user="auto", pid="host")}, "the host's PID namespace"),
        ({"sharing": Sharing(user="auto", ipc="host")}, "the host's IPC namespace"),
        ({"sharing": Sharing(user="auto", cgroup="host")}, "the host's cgroup namespace"),
        ({"sharing": Sharing(user="auto", pid="container:other")}, "has its users too: --userns container:other"),
        ({"network": Network("container:other")}, "has its users too: --userns container:other"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], text: str) -> None:
    """Namespaces that others own, and rights over this machine, are refused by name."""
    with pytest.raises(SandboxError, match=text):
        check(Spec("/", ("true",), **{"sharing": Sharing(user="auto"), **given}))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory whose files can be shown as other users'; in the virtual machine all is tmpfs and 9p (6.1)."""
    if "CGSCOPE_VM" not in os.environ:
        yield tmp_path
        return
    need("mkfs.ext4")
    with open(tmp_path / "image", "wb") as image:
        image.truncate(64 << 20)
    run(["mkfs.ext4", "-q", str(tmp_path / "image")])
    mounted = tmp_path / "disk"
    mounted.mkdir()
    run(["modprobe", "-a", "loop", "ext4"])  # the guest has nobody who loads them when they are asked for
    run(["mount", "-o", "loop", str(tmp_path / "image"), str(mounted)])
    yield mounted
    run(["umount", str(mounted)])


@pytest.mark.vm
def test_limits_hold_for_its_root_too(disk: Path) -> None:
    """On v1 and v2 a container of other ids is in its cgroup, is held by it, and its root cannot write there."""
    rootfs = make_root(str(disk / "rootfs"))
    sandbox = Sandbox(str(disk / "state"))
    try:
        pid = begin(sandbox, "held", rootfs, "--pids-limit", "20", "-m", "64m", "--net", "none")
        inside, outside, size = uid_map(pid)
        assert (inside, size) == (0, SIZE)
        assert outside >= SIZE
        kept = [line.split(":", 2)[2] for line in sandboxing.cgroup_paths(pid) if "/cgscope/" in line]
        assert kept
        assert set(kept) == {f"/cgscope/{sandbox.inspect('held')['Id']}"}
        script = "n=0; while [ $n -lt 40 ]; do busybox sleep 1000 >/dev/null 2>&1 & n=$((n+1)); done"
        forked = sandbox("exec", "held", "sh", "-c", script, check=False)
        assert "can't fork" in forked.stderr, forked
        files = "$(busybox find /sys/fs/cgroup -name '*.max' -o -name cgroup.procs)"
        writing = f"for f in {files}; do echo 1 > $f && echo wrote $f; done"
        tried = sandbox("run", "--rm", "--userns", "auto", "--rootfs", rootfs, "sh", "-c", writing, check=False)
        assert "wrote" not in tried.stdout
    finally:
        sandbox.close()
