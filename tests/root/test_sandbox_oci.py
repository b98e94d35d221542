"""`sandbox oci`: the runtime-spec's life of a container, step by step."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.root import sandboxing
from tests.root.bundles import PATIENCE, Runtime, create, wait_for_program
from tests.testbed import cgroups
from tests.testbed.commands import REPOSITORY, SANDBOX, run
from tests.testbed.leaks import cgroup_mounts

pytestmark = pytest.mark.root


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
    # Made, but not begun: the program is not there yet, and nothing of who made it is open.
    opened = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{told['pid']}/fd") if int(entry.name) > 2}
    assert opened == {f"{runtime.directory}/root/one/gate", "/memfd:start (deleted)"}
    assert b"sleep" not in Path(f"/proc/{told['pid']}/cmdline").read_bytes().split(b"\0")
    assert "container with id exists: one" in create(runtime, "one", check=False).stderr
    assert "is not stopped: created" in runtime("delete", "one", check=False).stderr
    runtime.set("process", "args", value=["true"])  # too late
    runtime("start", "one")
    assert runtime.state("one")["status"] == "running"
    wait_for_program(told["pid"], b"sleep")
    assert "container one is running, not created" in runtime("start", "one", check=False).stderr
    assert json.loads(runtime("ps", "--format", "json", "one").stdout) == [told["pid"]]
    runtime("kill", "one", "KILL")
    assert sandboxing.wait_for(lambda: runtime.state("one")["status"] == "stopped", PATIENCE)
    for words in (("kill", "one"), ("start", "one"), ("exec", "one", "true")):
        assert runtime(*words, check=False).returncode == (255 if words[0] == "exec" else 1), words
    runtime("delete", "one")
    assert "container does not exist: one" in runtime("state", "one", check=False).stderr
    assert runtime("delete", "--force", "one").stderr == ""
    last = json.loads((runtime.directory / "log").read_text().splitlines()[-1])
    assert (last["level"], last["msg"]) == ("error", "container does not exist: one")
    assert os.listdir(runtime.directory / "root") == []


@pytest.mark.vm
def test_what_is_inside(runtime: Runtime) -> None:
    """Namespaces, rights, paths, limits and devices are those of config.json, and nothing else is given."""
    runtime.set("process", "user", value={"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o27})
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
    assert done.stdout.splitlines() == ["uid=7 gid=8 groups=9", "boxed", "50", "99", "refused", "/dev/zwei"]
    assert "Function not implemented" in done.stderr
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert (status["CapBnd"], status["CapEff"], status["NoNewPrivs"]) == ("0000000000000021", "0" * 16, "1")
    assert (status["Gid"], status["Groups"].strip(), status["Umask"]) == ("8\t8\t8\t8", "9", "0027")
    assert cgroups.read(f"{cgroups.path_of(pid, 'pids')}/pids.max").strip() == "33"
    for kind in ("mnt", "pid", "ipc", "uts", "net", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert runtime("exec", "told", "touch", "/proc/sys/x", check=False).returncode != 0
    assert runtime("exec", "--user", "0:0", "told", "id").stdout == "uid=0 gid=0\n"
    assert runtime("exec", "told", "nosuch", check=False).returncode == 255
    unheard = runtime("exec", "-d", "--pid-file", "/nosuch/pid", "told", "sleep", "1000", check=False)
    assert (unheard.returncode, "/nosuch/pid" in unheard.stderr) == (255, True)
    assert sandboxing.wait_for(lambda: json.loads(runtime("ps", "-f", "json", "told").stdout) == [pid], PATIENCE)


def test_a_root_of_others(runtime: Runtime) -> None:
    """Where others can write there is no state of ours: what they wrote would be killed and removed."""
    root = runtime.directory / "root"
    root.mkdir()
    for mode, owner in ((0o777, 0), (0o770, 0), (0o700, 5)):
        root.chmod(mode)
        os.chown(root, owner, 0)
        for words in (("create", "--bundle", str(runtime.bundle), "x"), ("delete", "x"), ("state", "x")):
            done = runtime(*words, check=False)
            assert (done.returncode, "others can write there" in done.stderr) == (1, True), done.stderr
        assert "others can write there" in runtime("list", check=False).stderr
    os.chown(root, 0, 0)
    assert os.listdir(root) == []


def test_a_shell_at_a_terminal(runtime: Runtime) -> None:
    """What `spec` writes is a container that `run` shows on the caller's terminal, and passes what is typed."""
    runtime("run", "--help")
    (runtime.bundle / "config.json").unlink()
    assert run([*SANDBOX, "oci", "spec", "--bundle", str(runtime.bundle)]).stderr == ""
    assert "exists: remove it first" in run([*SANDBOX, "oci", "spec", "-b", str(runtime.bundle)], check=False).stderr
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(REPOSITORY)
        words = ["oci", "--root", str(runtime.directory / "root"), "run", "-b", str(runtime.bundle), "shell"]
        os.execv(SANDBOX[0], [*SANDBOX, *words])  # noqa: S606  what pty.fork() is for
    os.write(master, b"test -t 0 && echo $((40 + 2)) > /dev/pts/0; exit 3\n")
    seen = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while data := os.read(master, 1000):
            seen += data
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert b"\n42\r\n" in seen


def test_a_terminal_has_its_size_before_the_program_begins(runtime: Runtime, tmp_path: Path) -> None:
    """The program finds the size that is asked for, and lines end as asked for, however long we take to set it."""
    (runtime.bundle / "rootfs/bin/stty").symlink_to("busybox")
    create(runtime, "sized")
    runtime("start", "sized")
    process = {**runtime.config["process"], "args": ["stty", "size"], "terminal": True,
               "consoleSize": {"height": 10, "width": 110}}  # fmt: skip
    (tmp_path / "process.json").write_text(json.dumps(process))
    runtime.tracer = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=ioctl:delay_enter=50000"]
    assert runtime("exec", "-p", str(tmp_path / "process.json"), "sized").stdout == "10 110\n"
    runtime.tracer = []


def test_descriptors_are_handed_on(runtime: Runtime) -> None:
    """--preserve-fds gives a program what its caller has open from 3 on, and so does socket activation; no others.

    B126.
    """
    script = "read x <&3; read y <&4; echo $x $y $LISTEN_FDS; ls /proc/self/fd"
    runtime.set("process", "args", value=["sh", "-c", script])
    ends = []
    for fd, text in ((30, b"one\n"), (31, b"two\n"), (32, b"three\n")):
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        ends.append(read)
        os.dup2(read, fd)

    def place() -> None:
        for fd in (30, 31, 32):
            os.dup2(fd, fd - 27)

    told = ("run", "--bundle", str(runtime.bundle))
    ours = {"pass_fds": (3, 4, 5), "preexec_fn": place}
    done = runtime(*told, "--preserve-fds", "2", "given", given=ours)
    assert done.stdout.split() == ["one", "two", "0", "1", "2", "3", "4", "5"]  # 5 is what `ls` reads
    runtime.set("process", "args", value=["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd"])
    done = runtime(*told, "--preserve-fds", "1", "activated",
                   given={**ours, "env": {**os.environ, "LISTEN_FDS": "1"}})  # fmt: skip
    assert done.stdout.split() == ["1", "1", "0", "1", "2", "3", "4", "5"]
    missing = runtime(*told, "--preserve-fds", "9", "missing", check=False)
    assert (missing.returncode, "--preserve-fds 9: descriptor " in missing.stderr) == (1, True)
    log = ("oci", "--root", str(runtime.directory / "root"), "--log", str(runtime.directory / "log"))
    missing = run([*SANDBOX, *log, *told, "--preserve-fds", "1", "log"], check=False)
    assert "--preserve-fds 1: descriptor 3 is not open" in missing.stderr  # the file of --log is not the caller's
    for fd in (*ends, 30, 31, 32):
        os.close(fd)


@pytest.mark.parametrize("kind", ["device", "link"])
def test_a_pid_file_takes_nothings_place(runtime: Runtime, tmp_path: Path, kind: str) -> None:
    """A device is refused, and nothing starts; a link stays one, and what it leads to is written."""
    place, behind = tmp_path / "link", tmp_path / "behind"
    place.symlink_to(behind)
    if kind == "device":
        os.mknod(behind, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    else:
        behind.touch()
    done = create(runtime, "one", "--pid-file", str(place), check=False)
    assert place.is_symlink()
    if kind == "device":
        assert (done.returncode, "must be a directory or a regular file" in done.stderr) == (1, True)
        assert stat.S_ISCHR(behind.stat().st_mode)
        assert not (runtime.directory / "root").exists()
    else:
        assert behind.read_text() == str(runtime.state("one")["pid"])


def test_a_root_shared_with_another_runtime(runtime: Runtime) -> None:
    """The root that containerd gives keeps runc's containers and ours: theirs are none of ours, and are left alone."""
    other = runtime.directory / "root/others"
    other.mkdir(parents=True, mode=0o700)
    (other / "state.json").write_text('{"id": "others", "init_process_pid": 1, "cgroup_paths": {}}')
    parent = f"cgscope-oci-{os.getpid()}"
    existing = f"{cgroup_mounts()[0]}/{parent}"
    os.mkdir(existing)  # which the other one may have made
    try:
        runtime.set("linux", "cgroupsPath", value=f"/{parent}/ours")
        runtime.set("process", "args", value=["true"])
        assert runtime("run", "--bundle", str(runtime.bundle), "ours").returncode == 0
    finally:
        os.rmdir(existing)
    assert runtime("list", "-q").stdout == ""
    for words in (("state",), ("kill",), ("delete",), ("delete", "--force")):
        done = runtime(*words, "others", check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "container others is another runtime's" in done.stderr
    done = runtime("create", "--bundle", str(runtime.bundle), "others", check=False)
    assert "container with id exists" in done.stderr
    assert (other / "state.json").exists()


def test_a_root_of_others_is_left_alone(runtime: Runtime) -> None:
    """`delete --force` of what is not there removes nothing where others can write."""
    half = runtime.directory / "root" / "half"
    half.mkdir(parents=True)
    half.parent.chmod(0o777)
    try:
        done = runtime("delete", "--force", "half", check=False)
        assert (done.returncode, "others can write there" in done.stderr, half.is_dir()) == (1, True, True)
    finally:
        half.parent.chmod(0o700)
    runtime("delete", "--force", "half")
    assert not half.exists()


def test_hooks(runtime: Runtime) -> None:
    """B124: hooks run in their order with the state on their input; one that fails leaves nothing of the container."""
    log = runtime.directory / "hooks"

    def hook(name: str) -> list[dict[str, Any]]:
        script = f'echo {name} $(grep -o \'"status": "[a-z]*"\') >> {log}'
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
    runtime.set("process", "args", value=["true"])
    # In the container: its environment, and the filter of its calls.
    script = "test $HOME$PATH = //bin"
    runtime.set("hooks", value={"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]})
    runtime("run", "--bundle", str(runtime.bundle), "inside")
    runtime.set("linux", "seccomp", value={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]})  # fmt: skip
    runtime.set("hooks", value={"startContainer": [{"path": "/bin/unshare", "args": ["unshare", "-m", "true"]}]})
    bound = runtime("run", "--bundle", str(runtime.bundle), "bound", check=False)
    assert bound.returncode == 1
    assert "error running startContainer hook #0: /bin/unshare: exit code 1: unshare: " in bound.stderr
    runtime.config["linux"].pop("seccomp")
    runtime.set("hooks", value={"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]})
    failed = create(runtime, "failed", check=False)
    assert "error running createRuntime hook #0: /bin/sh: exit code 3: no" in failed.stderr
    # `run` holds back signals that are for the container: from a hook it holds none.
    none = ["grep", "-q", "SigBlk:.0000000000000000", "/proc/self/status"]
    runtime.set("hooks", value={"poststart": [{"path": "/bin/grep", "args": none}]})
    runtime.set("process", "args", value=["true"])
    runtime("run", "--bundle", str(runtime.bundle), "unblocked")
    assert os.listdir(runtime.directory / "root") == ["~"]  # where filters are


def sent_to(path: str, make: Callable[[], object]) -> list[int]:
    """Listen at a socket while something is made; returns the descriptors that are sent there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        server.settimeout(PATIENCE)
        make()
        peer, _ = server.accept()
        with peer:
            return socket.recv_fds(peer, 100, 1)[1]


def test_a_terminal_is_sent_to_the_console_socket(runtime: Runtime) -> None:
    """The master goes to whoever asked for it, with the size that was asked for."""
    path = str(runtime.directory / "console")
    runtime.set("process", "terminal", value=True)
    runtime.set("process", "consoleSize", value={"height": 11, "width": 22})
    runtime.set("process", "args", value=["sh", "-c", "test -t 0 && test -t 2 && echo on a terminal; sleep 1000"])
    assert "--console-socket" in create(runtime, "silent", check=False).stderr
    [master] = sent_to(path, lambda: create(runtime, "shown", "--console-socket", path))
    assert os.isatty(master)
    assert os.get_terminal_size(master) == (22, 11)
    runtime("start", "shown")
    assert os.read(master, 1000) == b"on a terminal\r\n"
    os.close(master)


def test_what_was_never_started_ends(runtime: Runtime) -> None:
    """A created container heeds the signals that end a program, though it is the first process of its namespace."""
    create(runtime, "waits")
    runtime("kill", "waits", "TERM")
    assert sandboxing.wait_for(lambda: runtime.state("waits")["status"] == "stopped", PATIENCE)
    runtime("delete", "waits")


def test_a_pidfd_is_sent_to_its_socket(runtime: Runtime) -> None:
    """The first process ends by it. A socket that nobody listens at is an error, and leaves no container."""
    path = str(runtime.directory / "pidfd")
    assert f"pidfd socket {path}: No such file" in create(runtime, "lost", "--pidfd-socket", path, check=False).stderr
    [pidfd] = sent_to(path, lambda: create(runtime, "held", "--pidfd-socket", path))
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert sandboxing.wait_for(lambda: runtime.state("held")["status"] == "stopped", PATIENCE)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("ociVersion",), "2.0.0", "is not 1.x"),
        (("process", "args"), [], "process.args is empty"),
        (("process", "cwd"), "x", "is not an absolute path"),
        (("process", "args"), ["nosuch"], "executable file not found"),
        (("root", "path"), "nosuch", "no such directory"),
        (("mounts",), [{"destination": "/x", "source": "/nosuch", "options": ["bind"]}], "no such file"),
        (("mounts",), [{"destination": "/x", "type": "tmpfs", "options": ["remount"]}], "'remount' is not supported"),
        (("mounts",), [{"destination": "/proc", "source": "/etc", "options": ["bind"]}], "/etc is another directory"),
        (("linux", "namespaces"), [{"type": "mnt"}], "is no kind of namespace"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "uts", "path": "/dev/null"}], "Invalid argument"),
        (("linux", "resources"), {"memory": {"limit": "x"}}, "linux.resources"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_JUMP"}, "seccomp"),
        (("hooks",), {"createContainer": [{"path": "/bin/false"}]}, "createContainer hook #0: /bin/false: exit code 1"),
        (("hooks",), {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $$"]}]}, "signal: killed"),
        (
            ("linux", "seccomp"),
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]},
            "SCMP_ACT_NOTIFY needs a supervisor",
        ),
        (
            ("linux", "seccomp"),
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": "/nosuch",
                "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
            },
            "listenerPath /nosuch: failed to connect",
        ),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}, "without a listenerPath"),
        (("linux", "sysctl"), {"net.core.somaxconn": "9", "kernel.pid_max": "9"}, "kernel.pid_max is not allowed"),
        (("linux", "namespaces"), [{"type": "mount"}], "hostname needs a uts namespace"),
        (("process", "rlimits"), [{"type": "RLIMIT_FLY", "soft": 1, "hard": 1}], "unknown RLIMIT_FLY"),
        (("linux", "rootfsPropagation"), "both", "rootfsPropagation 'both' is none of"),
        (("linux", "resources"), {"blockIO": {"leafWeight": 5}}, "blockIO.leafWeight is not supported"),
        (("process", "scheduler"), {"policy": "SCHED_FIFO"}, "process.scheduler: Invalid argument"),
        (("linux", "resources"), {"unified": {"memory/high": "x"}}, "linux.resources.unified"),
    ],
)
def test_what_cannot_be_made(runtime: Runtime, path: tuple[str, ...], value: object, text: str) -> None:
    """One line that names the place in config.json, exit code 1, and the machine is as it was (B125)."""
    runtime.set(*path, value=value)
    done = create(runtime, "bad", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert text in done.stderr
    assert runtime("list", "-q", check=False).stdout == ""
