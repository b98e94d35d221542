"""`sandbox oci`: the runtime-spec's life of a container, step by step, and Docker itself with our runtime under it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.root import sandboxing
from tests.testbed import cgroups
from tests.testbed.commands import REPOSITORY, SANDBOX, Completed
from tests.testbed.docker import Docker
from tests.testbed.tools import need

pytestmark = pytest.mark.root

PATIENCE = 60.0


class Runtime:
    """`sandbox oci` with a root of its own, and one bundle of busybox that tests change."""

    def __init__(self, directory: Path) -> None:
        busybox = shutil.which("busybox")
        assert busybox is not None
        self.directory = directory
        self.bundle = directory / "bundle"
        binaries = self.bundle / "rootfs/bin"
        binaries.mkdir(parents=True)
        shutil.copy(busybox, binaries / "busybox")
        for name in ("sh", "sleep", "true", "cat", "id", "ls", "test", "touch", "hostname", "unshare", "grep", "tr"):
            (binaries / name).symlink_to("busybox")
        self.config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": ["sleep", "1000"],
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"]},
            },
            "root": {"path": "rootfs"},
            "hostname": "boxed",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network", "cgroup")],
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": ["/proc/kcore"],
                "readonlyPaths": ["/proc/sys"],
            },
            "annotations": {"who": "a test"},
        }  # fmt: skip

    def __call__(self, *words: str, check: bool = True) -> Completed:
        """Run `sandbox oci WORDS` on the bundle as it is configured now."""
        (self.bundle / "config.json").write_text(json.dumps(self.config))
        command = [*SANDBOX, "oci", "--root", str(self.directory / "root"), "--log", str(self.directory / "log"),
                   "--log-format", "json", *words]  # fmt: skip
        # Not through pipes: the container's program has our standard streams, and outlives `create`.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=REPOSITORY,
                                  check=False, timeout=120).returncode  # fmt: skip
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        assert code == 0 or not check, texts[1]
        return Completed(command, code, *texts)

    def state(self, name: str) -> dict[str, Any]:
        """Return what `state` says."""
        found: dict[str, Any] = json.loads(self("state", name).stdout)
        return found

    def set(self, *path: str, value: object) -> None:
        """Change one value of the configuration."""
        place = self.config
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value

    def close(self) -> None:
        """Remove every container."""
        for name in self("list", "-q").stdout.split():
            self("delete", "--force", name, check=False)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Give a runtime; its containers are gone afterwards."""
    need("busybox")
    made = Runtime(tmp_path)
    yield made
    made.close()


def create(runtime: Runtime, name: str, *options: str, check: bool = True) -> Completed:
    """Make a container from the bundle."""
    return runtime("create", "--bundle", str(runtime.bundle), *options, name, check=check)


def test_a_user_namespace_of_its_own(runtime: Runtime) -> None:
    """Its root is the id that the bundle gives him outside, also for exec; the rootfs is the engine's, as it is."""
    outside = 1_900_000_000
    for key in ("uidMappings", "gidMappings"):
        runtime.set("linux", key, value=[{"containerID": 0, "hostID": outside, "size": 65536}])
    runtime.config["linux"]["namespaces"].append({"type": "user"})
    os.chown(runtime.bundle / "rootfs", outside, outside)
    create(runtime, "mapped")
    runtime("start", "mapped")
    pid = runtime.state("mapped")["pid"]
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(outside), "65536"]
    assert sandboxing.status(pid, "Uid").split() == [str(outside)] * 4
    assert runtime("exec", "mapped", "sh", "-c", "id -u; touch /new; cat /dev/null; test -c /dev/zero").stdout == "0\n"
    assert (runtime.bundle / "rootfs/new").stat().st_uid == outside
    runtime.config["linux"]["gidMappings"].append({"containerID": 9, "hostID": 9, "size": 0})
    done = create(runtime, "wrong", check=False)
    assert (done.returncode, "cannot map the ids 0 1900000000 65536 9 9 0: Invalid" in done.stderr) == (1, True)


def test_the_life_of_a_container(runtime: Runtime) -> None:
    """B122, B123: created, running, stopped, gone; what does not fit a status is refused and changes nothing."""
    pid_file = runtime.directory / "pid"
    create(runtime, "one", "--pid-file", str(pid_file))
    told = runtime.state("one")
    assert (told["status"], told["id"], told["bundle"]) == ("created", "one", str(runtime.bundle))
    assert told["annotations"] == {"who": "a test"}
    assert told["pid"] == int(pid_file.read_text())
    # Made, but not begun: the program is not there yet.
    assert b"sleep" not in Path(f"/proc/{told['pid']}/cmdline").read_bytes().split(b"\0")
    assert "container with id exists: one" in create(runtime, "one", check=False).stderr
    assert "is not stopped: created" in runtime("delete", "one", check=False).stderr
    runtime.set("process", "args", value=["true"])  # too late
    runtime("start", "one")
    assert runtime.state("one")["status"] == "running"
    wait_for_program(told["pid"], b"sleep")
    assert "cannot start a container that is running" in runtime("start", "one", check=False).stderr
    assert json.loads(runtime("ps", "--format", "json", "one").stdout) == [told["pid"]]
    runtime("kill", "one", "KILL")
    assert sandboxing.wait_for(lambda: runtime.state("one")["status"] == "stopped", PATIENCE)
    for words in (("kill", "one"), ("start", "one"), ("exec", "one", "true")):
        assert runtime(*words, check=False).returncode == 1, words
    runtime("delete", "one")
    assert "container does not exist: one" in runtime("state", "one", check=False).stderr
    assert runtime("delete", "--force", "one").stderr == ""
    last = json.loads((runtime.directory / "log").read_text().splitlines()[-1])
    assert (last["level"], last["msg"]) == ("error", "container does not exist: one")
    assert os.listdir(runtime.directory / "root") == []


def wait_for_program(pid: int, word: bytes) -> None:
    """Wait until a process runs a program with this word in its command line."""
    assert sandboxing.wait_for(lambda: word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"), PATIENCE)


@pytest.mark.vm
def test_what_is_inside(runtime: Runtime) -> None:
    """Namespaces, rights, paths, limits and devices are those of config.json, and nothing else is given."""
    runtime.set("process", "user", value={"uid": 7, "gid": 8, "additionalGids": [9]})
    runtime.set("process", "rlimits", value=[{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}])
    runtime.set("process", "noNewPrivileges", value=True)
    runtime.set("linux", "sysctl", value={"net.core.somaxconn": "99"})
    runtime.set("linux", "resources", "pids", value={"limit": 33})
    runtime.set("linux", "devices", value=[{"path": "/dev/zwei", "type": "c", "major": 1, "minor": 5}])
    runtime.set("linux", "seccomp", value={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]})  # fmt: skip
    create(runtime, "told")
    runtime("start", "told")
    pid = runtime.state("told")["pid"]
    wait_for_program(pid, b"sleep")
    script = "id; hostname; ulimit -n; cat /proc/sys/net/core/somaxconn; unshare -m true || echo refused; ls /dev/zwei"
    done = runtime("exec", "told", "sh", "-c", script)
    assert done.stdout.splitlines() == ["uid=7 gid=8 groups=8,9", "boxed", "50", "99", "refused", "/dev/zwei"]
    assert "Function not implemented" in done.stderr
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert (status["CapBnd"], status["CapEff"], status["NoNewPrivs"]) == ("0000000000000021", "0" * 16, "1")
    assert cgroups.read(f"{cgroups.path_of(pid, 'pids')}/pids.max").strip() == "33"
    for kind in ("mnt", "pid", "ipc", "uts", "net", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert runtime("exec", "told", "touch", "/proc/sys/x", check=False).returncode != 0
    assert runtime("exec", "--user", "0:0", "told", "id").stdout == "uid=0 gid=0 groups=0\n"
    assert runtime("exec", "told", "nosuch", check=False).returncode == 1


@pytest.mark.vm
def test_limits_change_while_it_runs(runtime: Runtime) -> None:
    """An update takes the resources that are named, and leaves the others; pause and resume stop and go on."""
    runtime.set("linux", "resources", "memory", value={"limit": 64 << 20})
    create(runtime, "limited")
    runtime("start", "limited")
    pid = runtime.state("limited")["pid"]
    (runtime.directory / "new.json").write_text(json.dumps({"cpu": {"quota": 30000, "period": 100000}}))
    runtime("update", "--resources", str(runtime.directory / "new.json"), "limited")
    version = cgroups.hierarchy("cpu")[1]
    quota = cgroups.read(f"{cgroups.path_of(pid, 'cpu')}/{'cpu.cfs_quota_us' if version == 1 else 'cpu.max'}")
    assert quota.split()[0] == "30000"
    version = cgroups.hierarchy("memory")[1]
    memory = "memory.limit_in_bytes" if version == 1 else "memory.max"
    assert cgroups.read(f"{cgroups.path_of(pid, 'memory')}/{memory}").strip() == str(64 << 20)
    runtime("pause", "limited")
    runtime("resume", "limited")
    runtime("delete", "--force", "limited")
    assert sandboxing.wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe"))  # a zombie has none


def test_hooks(runtime: Runtime) -> None:
    """B124: hooks run in their order with the state on their input; one that fails leaves nothing of the container."""
    log = runtime.directory / "hooks"

    def hook(name: str) -> list[dict[str, Any]]:
        script = f"echo {name} $(grep -o '\"status\": \"[a-z]*\"') >> {log}"
        return [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]

    names = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    runtime.set("hooks", value={name: hook(name) for name in names})
    create(runtime, "hooked")
    runtime("start", "hooked")
    runtime("delete", "--force", "hooked")
    told = [line.replace('"status": ', "").replace('"', "").split() for line in log.read_text().splitlines()]
    assert told == [["prestart", "creating"], ["createRuntime", "creating"],
                    ["createContainer", "created"], ["poststart", "running"],
                    ["poststop", "stopped"]]  # fmt: skip
    runtime.set("hooks", value={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]})
    failed = create(runtime, "failed", check=False)
    assert "hook createRuntime /bin/sh: exit code 3: no" in failed.stderr
    assert os.listdir(runtime.directory / "root") == []


def test_a_terminal_is_sent_to_the_console_socket(runtime: Runtime) -> None:
    """The master goes to whoever asked for it, with the size that was asked for."""
    path = str(runtime.directory / "console")
    runtime.set("process", "terminal", value=True)
    runtime.set("process", "consoleSize", value={"height": 11, "width": 22})
    runtime.set("process", "args", value=["sh", "-c", "test -t 0 && test -t 2 && echo on a terminal; sleep 1000"])
    assert "--console-socket" in create(runtime, "silent", check=False).stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        server.settimeout(PATIENCE)
        create(runtime, "shown", "--console-socket", path)
        peer, _ = server.accept()
        with peer:
            _, descriptors, _, _ = socket.recv_fds(peer, 100, 1)
    [master] = descriptors
    assert os.isatty(master)
    assert os.get_terminal_size(master) == (22, 11)
    runtime("start", "shown")
    assert os.read(master, 1000) == b"on a terminal\r\n"
    os.close(master)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("ociVersion",), "2.0.0", "is not 1.x"),
        (("process", "args"), [], "process.args is empty"),
        (("process", "cwd"), "x", "is not an absolute path"),
        (("process", "args"), ["nosuch"], "executable file not found"),
        (("process", "capabilities", "bounding"), ["CAP_FLY"], "unknown FLY"),
        (("root", "path"), "nosuch", "no such directory"),
        (("mounts",), [{"destination": "/x", "source": "/nosuch", "options": ["bind"]}], "no such file"),
        (("mounts",), [{"destination": "/x", "type": "tmpfs", "options": ["shared"]}], "'shared' is not supported"),
        (("linux", "namespaces"), [{"type": "mnt"}], "is no kind of namespace"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "uts", "path": "/dev/null"}], "Invalid argument"),
        (("linux", "resources"), {"memory": {"limit": "x"}}, "linux.resources"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_JUMP"}, "seccomp"),
        (("hooks",), {"createContainer": [{"path": "/bin/false"}]}, "hook createContainer /bin/false: exit code 1"),
        (("linux", "seccomp"), {"listenerPath": "/x"}, "linux.seccomp.listenerPath is not supported"),
        (("linux", "rootfsPropagation"), "shared", "rootfsPropagation 'shared' is not supported"),
        (("process", "rlimits"), [{"type": "RLIMIT_FLY", "soft": 1, "hard": 1}], "unknown RLIMIT_FLY"),
        (("process", "scheduler"), {"policy": "SCHED_FIFO"}, "process.scheduler is not supported"),
    ],
)
def test_what_cannot_be_made(runtime: Runtime, path: tuple[str, ...], value: object, text: str) -> None:
    """One line that names the place in config.json, exit code 1, and the machine is as it was (B125)."""
    runtime.set(*path, value=value)
    done = create(runtime, "bad", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert text in done.stderr
    assert runtime("list", "-q").stdout == ""


def test_docker_runs_its_containers_on_it(tmp_path: Path) -> None:
    """`docker run --runtime`: exit codes, an exec, a limited loop, stats, pause, update, restart, a terminal."""
    need("dockerd")
    wrapper = tmp_path / "sandbox-oci"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -P -m sandbox.cli oci "$@"\n')
    wrapper.chmod(0o755)
    with Docker(tempfile.mkdtemp(prefix="cgscope-docker-"), "--add-runtime", f"cgscope={wrapper}") as docker:
        options = ("--runtime", "cgscope", "--network", "none")
        assert docker("run", "--rm", *options, "busybox", "true").stdout == ""
        assert docker("run", "--rm", *options, "busybox", "nosuch", check=False).returncode == 127
        assert docker("run", "--rm", *options, "busybox", "/bin", check=False).returncode == 126
        assert docker("run", "--rm", *options, "busybox", "sh", "-c", "exit 9", check=False).returncode == 9
        assert "Read-only file system" in docker("run", "--rm", "--read-only", *options, "busybox", "sh", "-c",
                                                 "echo x > /y", check=False).stderr  # fmt: skip
        loop = ("--cpu-quota", "20000", "--runtime", "cgscope", "busybox", "sh", "-c", "while :; do :; done")
        with docker.running("looped", *loop) as identifier:
            pid = docker.pid("looped")
            assert docker("exec", "looped", "sh", "-c", "echo in; exit 7", check=False).returncode == 7
            assert identifier in Path(f"/proc/{pid}/cgroup").read_text()
            # The oracle is the kernel's own counter: never more than a fifth of a core, and some of it.
            begun, used = time.monotonic(), cgroups.usage_seconds(pid)
            assert sandboxing.wait_for(lambda: cgroups.usage_seconds(pid) > used + 0.3, PATIENCE)
            assert cgroups.usage_seconds(pid) - used <= 0.2 * (time.monotonic() - begun) + 0.05
            docker("pause", "looped")
            assert docker("inspect", "-f", "{{.State.Status}}", "looped").stdout.strip() == "paused"
            docker("unpause", "looped")
            docker("update", "--cpu-quota", "30000", "looped")
            version = cgroups.hierarchy("cpu")[1]
            quota = cgroups.read(f"{cgroups.path_of(pid, 'cpu')}/{'cpu.cfs_quota_us' if version == 1 else 'cpu.max'}")
            assert quota.split()[0] == "30000"
            assert "while" in docker("top", "looped").stdout
            docker("restart", "-t", "0", "looped")
            assert docker("exec", "looped", "true").returncode == 0
        assert docker("ps", "-aq").stdout == ""


def test_modes_of_given_devices(runtime: Runtime) -> None:
    """A device of config.json has the mode that it says."""
    device = {"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
    runtime.set("linux", "devices", value=[device])
    create(runtime, "moded")
    runtime("start", "moded")
    pid = runtime.state("moded")["pid"]
    wait_for_program(pid, b"sleep")
    found = os.stat(f"/proc/{pid}/root/dev/one")
    assert (stat.S_ISCHR(found.st_mode), stat.S_IMODE(found.st_mode), found.st_rdev) == (True, 0o600, os.makedev(1, 3))
