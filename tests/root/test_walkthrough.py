"""The container basics that the project comes from, one experiment after the other, with our command for Docker's.

The numbers are the sections' of that text. What is a later matter is not here: building, committing and pushing images.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.testbed import cgroups
from tests.testbed.commands import CTOP, NSINSPECT, SANDBOX, Sandbox, ctop_document, find, run
from tests.testbed.image_archives import docker_archive, entry, folder, link, tar
from tests.testbed.netbed import NetworkBed
from tests.testbed.tools import need

pytestmark = pytest.mark.root

PATIENCE = 60.0
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
# The text's Flask application, on the standard library.
APPLICATION = """
import http.server, os, socket
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = "<h3>Hello {}!</h3><b>Hostname:</b> {}<br/>".format(os.getenv("NAME", "world"), socket.gethostname())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer(("0.0.0.0", 80), Hello).serve_forever()
"""


@pytest.fixture
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkBed]:
    """Give the `sandbox` command a state directory and a network namespace of its own."""
    need("ip", "nft", "nsenter", "unshare")
    found = NetworkBed(str(tmp_path_factory.mktemp("cgscope")))
    yield found
    found.close()


@pytest.fixture
def image(sandbox: Sandbox, tmp_path: Path) -> str:
    """Load an image of two layers: busybox with a few files, and one more on top that changes and deletes."""
    need("busybox")
    binary = Path(str(shutil.which("busybox"))).read_bytes()
    names = ("sh", "cat", "ls", "rm", "sleep", "mount", "grep", "ps", "id", "hostname", "httpd", "touch", "mkdir")
    below = [
        folder("bin"),
        entry("bin/busybox", binary, mode=0o755),
        *(link(f"bin/{name}", "busybox") for name in names),
        folder("etc"),
        entry("etc/release", b"below\n"),
        folder("data"),
        entry("data/old", b"old\n"),
        entry("data/gone", b"gone\n"),
    ]
    above = [folder("data"), entry("data/old", b"newer\n"), entry("data/.wh.gone")]
    archive = tmp_path / "image.tar"
    config = {"Cmd": ["sleep", "1000"], "Env": ["PATH=/bin", "NAME=World"], "WorkingDir": "/data"}
    archive.write_bytes(docker_archive([tar(below), tar(above)], ("walk:1",), config))
    sandbox("load", "-q", "-i", str(archive))
    return "walk:1"


def test_05_1_a_container_is_a_process(sandbox: Sandbox, image: str) -> None:
    """`run -it IMAGE /bin/sh`: a terminal, in which the shell is process 1; on the machine it has another number."""
    master, slave = pty.openpty()
    command = [*SANDBOX, "run", "-it", "--name", "shell", image, "/bin/sh"]
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=sandbox.env, start_new_session=True
    ) as shell:
        os.close(slave)
        os.write(master, b"echo number-$$\n")
        said = b""
        while b"number-1\r" not in said:
            said += os.read(master, 4096)
        assert sandbox.pid("shell") > 1
        listed = sandbox("exec", "shell", "ps").stdout.splitlines()[1:]
        assert re.match(r" *1 .* /bin/sh", listed[0])
        os.write(master, b"exit 3\n")
        assert shell.wait() == 3
    os.close(master)


def test_05_2_namespaces_are_what_clone_was_asked_for(sandbox: Sandbox, image: str) -> None:
    """A container differs from another process in nothing but its namespaces; each can be left out."""
    sandbox("run", "-d", "--name", "walled", image)
    pid = sandbox.pid("walled")
    assert all(os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS)
    sandbox("run", "-d", "--name", "open", "--pid", "host", "--net", "host", "--uts", "host", image)
    other = sandbox.pid("open")
    shared = {kind for kind in KINDS if os.readlink(f"/proc/{other}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")}
    assert shared == {"pid", "net", "uts"}
    plan = sandbox("run", "--dry-run", "--net", "none", image, "true").stdout
    [made] = [line.split()[1:] for line in plan.splitlines() if line.startswith("unshare")]
    assert set(made) == {"ns", "pid", "uts", "ipc", "net", "cgroup"}


def test_05_6_a_control_group_by_hand() -> None:
    """A directory under cpu with a busy loop in it, 20000 for its quota: from one core to a fifth, in `ctop -a`."""
    with cgroups.CpuGroup("cgscope-test-by-hand") as group:
        pid = group.burn()
        found = find(ctop_document("-a", "-d", "0.5"), group.path)
        assert (found["cpu"]["quota_us"], found["cpu"]["limit_cores"], found["pid"]) == (None, None, pid)
        group.set_quota(20000)
        found = find(ctop_document("-a", "-d", "2"), group.path)
        assert (found["cpu"]["limit_cores"], found["cpu"]["quota_us"]) == (0.2, 20000)
        assert 0 < (found["cpu"]["usage_cores"] or 0) < 0.3


def test_05_7_limits_are_files_of_the_control_group(sandbox: Sandbox, image: str) -> None:
    """`run --cpu-period=100000 --cpu-quota=20000`: exactly that is in the container's control group."""
    sandbox("run", "-d", "--name", "limited", "--cpu-period=100000", "--cpu-quota=20000", image)
    pid = sandbox.pid("limited")
    directory = cgroups.path_of(pid, "cpu")
    assert sandbox.inspect("limited")["Id"] in directory
    if cgroups.hierarchy("cpu")[1] == 1:
        values = [cgroups.read(f"{directory}/cpu.cfs_{name}_us").strip() for name in ("period", "quota")]
    else:
        values = cgroups.read(f"{directory}/cpu.max").split()[::-1]
    assert values == ["100000", "20000"]


def test_05_8_proc_does_not_know_of_limits_and_we_do(sandbox: Sandbox) -> None:
    """Inside, /proc tells of the machine; `ctop` and `nsinspect` there tell of the container, as they do outside."""
    sandbox.start("told", "--cpus", "0.2", "-m", "256m", "sleep", "1000")
    claimed = int(sandbox("exec", "told", "grep", "-c", "^processor", "/proc/cpuinfo").stdout)
    assert claimed == os.cpu_count()
    inside = json.loads(sandbox("exec", "told", *CTOP, "--json", "-d", "0.2").stdout)
    [own] = inside["containers"]
    outside = find(ctop_document("-d", "0.2"), "told")
    for document in (own, outside):
        assert (document["cpu"]["limit_cores"], document["memory"]["limit_bytes"]) == (0.2, 256 << 20)
    has = json.loads(sandbox("exec", "told", *NSINSPECT, "1", "--json").stdout)["really_has"]
    assert (has["cpus"], has["memory_bytes"]) == (0.2, 256 << 20)


def test_05_8_a_mount_is_seen_in_its_namespace_only(sandbox: Sandbox, image: str) -> None:
    """`--tmpfs /tmp`: the container has an empty /tmp in memory, and this machine knows nothing of that mount."""
    before = sandboxing.mounts()
    sandbox("run", "-d", "--name", "mounted", "--tmpfs", "/tmp", image)  # noqa: S108
    inside = sandbox("exec", "mounted", "grep", " /tmp ", "/proc/mounts").stdout
    assert inside.split()[:3] == ["tmpfs", "/tmp", "tmpfs"]  # noqa: S108
    assert sandbox("exec", "mounted", "ls", "/tmp").stdout == ""  # noqa: S108
    assert sandboxing.mounts() == before


def test_05_9_a_root_filesystem_from_a_few_files(sandbox: Sandbox, tmp_path: Path) -> None:
    """Copy a shell and ls with their libraries into a directory, and make it the root: there is nothing else."""
    root = tmp_path / "root"
    shell = shutil.which("bash")
    assert shell is not None
    sandbox("rootfs", "copy", str(root), shell, "/bin/ls")
    done = sandbox("run", "--rm", "--rootfs", str(root), shell, "-c", "/bin/ls /; echo $$; cd /..; pwd")
    names = done.stdout.split()
    assert names[-2:] == ["1", "/"]
    assert {"bin", "proc", "sys", "dev", "etc"} <= set(names[:-2]) <= {*os.listdir(root), "proc", "sys", "dev", "etc"}


def test_05_11_layers(sandbox: Sandbox, image: str) -> None:
    """Layers of the image are read-only and lie on each other; a change is copied up, a deletion is a whiteout."""
    assert "Storage Driver: overlay2" in sandbox("info").stdout.splitlines()
    listed = json.loads(sandbox("image", "inspect", image).stdout)[0]
    assert len(listed["RootFS"]["Layers"]) == 2
    sandbox("run", "-d", "--name", "layered", image)
    data = sandbox.inspect("layered")["GraphDriver"]["Data"]
    upper = Path(data["UpperDir"])
    assert sandbox("exec", "layered", "sh", "-c", "cat /data/old; ls /data").stdout.split() == ["newer", "old"]
    assert not list(upper.rglob("old"))
    sandbox("exec", "layered", "sh", "-c", "echo mine >> /data/old; rm /etc/release; echo new > /data/new")
    assert (upper / "data/old").read_text() == "newer\nmine\n"
    whiteout = os.stat(upper / "etc/release")
    assert whiteout.st_rdev == 0
    lowers = data["LowerDir"].split(":")
    assert any((Path(lower) / "etc/release").exists() for lower in lowers)
    changes = sorted(sandbox("diff", "layered").stdout.splitlines())
    assert changes == ["A /data/new", "C /data", "C /data/old", "C /etc", "D /etc/release"]
    # The init layer: the container's own name and hosts, which are no change of it.
    hostname = sandbox.inspect("layered")["Config"]["Hostname"]
    assert sandbox("exec", "layered", "cat", "/etc/hostname").stdout == f"{hostname}\n"
    told = json.loads(run([*NSINSPECT, "layered", "--json"]).stdout)["rootfs"]
    assert told["upper"] == data["UpperDir"]
    assert set(lowers) <= set(told["lower"])


def test_05_12_an_application_on_a_published_port(bed: NetworkBed) -> None:
    """`run -p 4000:80`: it answers on the machine's port and at its own address, with the container's id for a name."""
    program = ("python3", "-c", APPLICATION)
    bed("run", "-d", "--name", "hello", "-p", "4000:80", "-e", "NAME=World", "--rootfs", "/", *program)
    found = bed.inspect("hello")
    short, address = found["Id"][:12], found["NetworkSettings"]["IPAddress"]
    expected = f"<h3>Hello World!</h3><b>Hostname:</b> {short}<br/>"
    assert bed.get("127.0.0.1", 4000, "/") == expected
    assert bed.get(address, 80, "/") == expected
    assert "4000->80/tcp" in bed("ps").stdout
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == address


def test_05_14_exec_enters_namespaces(sandbox: Sandbox, image: str) -> None:
    """`inspect --format '{{ .State.Pid }}'` leads to /proc/PID/ns; what exec starts has the same links."""
    sandbox("run", "-d", "--name", "entered", image)
    pid = int(sandbox("inspect", "--format", "{{ .State.Pid }}", "entered").stdout)
    assert pid == sandbox.pid("entered")
    sandbox("exec", "-d", "entered", "sleep", "1001")
    assert sandboxing.wait_for(lambda: len(others(pid)) == 1, PATIENCE)
    [other] = others(pid)
    for kind in (*KINDS, "user"):
        assert os.readlink(f"/proc/{other}/ns/{kind}") == os.readlink(f"/proc/{pid}/ns/{kind}"), kind
    told = [json.loads(run([*NSINSPECT, str(one), "--json"]).stdout)["namespaces"] for one in (pid, other)]
    assert [one["net"]["inode"] for one in told] == [os.stat(f"/proc/{pid}/ns/net").st_ino] * 2


def others(pid: int) -> list[int]:
    """Return the processes of a container but its first."""
    directory = cgroups.path_of(pid, "pids")
    return [int(text) for text in cgroups.read(f"{directory}/cgroup.procs").split() if int(text) != pid]


def test_05_14_set_ns(bed: NetworkBed) -> None:
    """`enter PID --net CMD`, the text's set_ns program: our own files and rights, and the container's interfaces."""
    address = bed.httpd("served", "--net", "bridge")
    pid = bed.pid("served")
    done = bed("enter", str(pid), "--net", "ip", "-o", "-4", "address", "show", "eth0")
    assert f" {address}/" in done.stdout
    links = bed("enter", str(pid), "--net", "readlink", "/proc/self/ns/net", "/proc/self/ns/mnt").stdout.split()
    assert links == [os.readlink(f"/proc/{pid}/ns/net"), os.readlink("/proc/self/ns/mnt")]


def test_05_14_the_network_of_another_container(bed: NetworkBed) -> None:
    """`run --net container:ID`: the same interfaces and addresses; `--net host`: those of the machine."""
    address = bed.httpd("first", "--net", "bridge")
    shown = ("--rm", "--rootfs", "/", "ip", "-o", "-4", "address")
    joined = bed("run", "--net", f"container:{bed.inspect('first')['Id'][:12]}", *shown).stdout
    assert f" {address}/" in joined
    mine = bed("run", "--net", "host", *shown).stdout
    assert mine == bed.namespace.run("ip", "-o", "-4", "address").stdout
    assert f" {address}/" not in mine


def test_05_15_volumes(sandbox: Sandbox, image: str, tmp_path: Path) -> None:
    """`-v DIR:/test`: files go both ways; in the container's own layer /test is an empty directory."""
    shared = tmp_path / "home"
    shared.mkdir()
    (shared / "from-outside").write_text("out\n")
    sandbox("run", "-d", "--name", "bound", "-v", f"{shared}:/test", image)
    assert sandbox("exec", "bound", "sh", "-c", "cat /test/from-outside; echo in > /test/from-inside").stdout == "out\n"
    assert (shared / "from-inside").read_text() == "in\n"
    upper = Path(sandbox.inspect("bound")["GraphDriver"]["Data"]["UpperDir"])
    assert not (upper / "test").exists() or os.listdir(upper / "test") == []
    assert sandbox("diff", "bound").stdout.splitlines() in ([], ["A /test"])


def test_05_8_alive_and_hollow(sandbox: Sandbox, image: str) -> None:
    """A container whose process 1 lives while its application is gone has a name for that: `ctop` says hollow."""
    script = "httpd -f -p 80 & while :; do sleep 1; done"
    sandbox("run", "-d", "--name", "hollowed", image, "sh", "-c", script)
    pid = sandbox.pid("hollowed")
    assert sandboxing.wait_for(lambda: servers(pid) != [], PATIENCE)
    assert find(ctop_document("-d", "0.5"), "hollowed")["state"] == "running"
    [server] = servers(pid)
    os.kill(server, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while find(ctop_document("-d", "0.5"), "hollowed")["state"] != "hollow":
        assert time.monotonic() < deadline


def servers(pid: int) -> list[int]:
    """Return the web servers of a container."""
    found = []
    for one in others(pid):
        with contextlib.suppress(OSError):  # the sleeps come and go
            if Path(f"/proc/{one}/cmdline").read_bytes().startswith(b"httpd"):
                found.append(one)
    return found
