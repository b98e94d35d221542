"""`sandbox oci`: the runtime-spec's life of a container, step by step, and Docker itself with our runtime under it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.root import sandboxing
from tests.root.bundles import PATIENCE, Runtime, create, wait_for_program
from tests.testbed import cgroups, runtimes
from tests.testbed.commands import REPOSITORY, SANDBOX, run
from tests.testbed.docker import Docker
from tests.testbed.leaks import cgroup_mounts
from tests.testbed.tools import need

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


def test_no_room_for_one_more(runtime: Runtime) -> None:
    """`exec` names the limit and the cgroup that lets no more processes in; `list` that cannot be written is 1."""
    runtime.set("linux", "resources", "pids", value={"limit": 1})
    create(runtime, "full")
    runtime("start", "full")
    done = runtime("exec", "full", "true", check=False)
    group = cgroups.path_of(runtime.state("full")["pid"], "pids")
    assert done.returncode == 255
    assert done.stderr == f"sandbox: no more processes: the limit of 1 is reached in the cgroup {group} (pids.max)\n"
    for options in (["-q"], []):
        with open("/dev/full", "w", encoding="ascii") as full:
            command = [*SANDBOX, "oci", "--root", str(runtime.directory / "root"), "list", *options]
            ended = subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL, cwd=REPOSITORY, check=False)
        assert ended.returncode == 1, options


def limits_of(pid: int) -> list[str]:
    """Return the memory, CPU quota and processes that the kernel keeps a process's cgroups to."""
    one = {controller: cgroups.hierarchy(controller)[1] == 1 for controller in ("memory", "cpu")}
    files = {
        "memory": "memory.limit_in_bytes" if one["memory"] else "memory.max",
        "cpu": "cpu.cfs_quota_us" if one["cpu"] else "cpu.max",
        "pids": "pids.max",
    }
    return [cgroups.read(f"{cgroups.path_of(pid, name)}/{file}").split()[0] for name, file in files.items()]


def test_what_a_mount_finds(runtime: Runtime) -> None:
    """A tmpfs is as open as the directory it hides, and has its files where asked; /sys can be the machine's own."""
    below = runtime.bundle / "rootfs/kept"
    below.mkdir()
    (below / "file").write_text("from the image")
    below.chmod(0o712)
    runtime.config["mounts"] += [
        {"destination": "/kept", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "tmpcopyup"]},
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
    ]
    script = "cat /kept/file; stat -c ' %a' /kept; ls -d /sys/kernel; > /kept/x"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "mounted", check=False)
    assert done.stdout.splitlines() == ["from the image 712", "/sys/kernel"]
    assert "Read-only file system" in done.stderr
    assert (below / "file").exists()


def test_what_is_read_only_or_bound(runtime: Runtime) -> None:
    """/dev can be read-only with its devices, programs below a read-only path run, a source may be in the root."""
    runtime.config["mounts"][1]["options"].append("ro")
    runtime.config["mounts"] += [
        {"destination": "/one", "type": "tmpfs", "source": "tmpfs", "options": ["noexec"]},
        {"destination": "/two", "source": str(runtime.bundle / "rootfs/one"), "options": ["bind"]},
    ]
    runtime.set("linux", "readonlyPaths", value=["/bin", "/bin"])
    runtime.set("linux", "maskedPaths", value=["/proc/version", "/proc/version"])
    runtime.config["linux"]["namespaces"].pop()  # its own cgroups: without, they are bound
    script = "cat /dev/null && echo read; touch /dev/x; touch /bin/x; touch /two/y; ls /one; cat /proc/self/mountinfo"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "bound")
    first, second, *mounts = done.stdout.splitlines()
    assert (first, second) == ("read", "y")
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [
        "/dev/x: Read-only file system", "/bin/x: Read-only file system"]  # fmt: skip
    options = {line.split()[4]: line.split()[5] for line in mounts}
    assert len([line for line in mounts if line.split()[4] in ("/bin", "/proc/version")]) == 2
    assert "noexec" not in options["/bin"]
    assert all("nosuid" in flags for path, flags in options.items() if path.startswith("/sys/fs/cgroup"))


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


def test_files_that_belong_to_others(runtime: Runtime) -> None:
    """An idmapped mount shows its files as other users'; what is recursive holds below the mount too.

    Of a new filesystem, below which there is nothing, it is as what is not.
    """
    source = runtime.directory / "source"
    (source / "below").mkdir(parents=True)
    os.chown(source, 5, 5)
    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    runtime.config["mounts"] += [
        {"destination": "/one", "source": str(source), "options": ["bind"], "uidMappings": ids, "gidMappings": ids},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/t/x", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/new", "type": "tmpfs", "source": "tmpfs", "options": ["rro", "rnoexec"]},
        {"destination": "/two", "source": str(runtime.bundle / "rootfs/t"), "options": ["rbind", "rro"]},
    ]
    script = "stat -c %u:%g /one; touch /t/x/a; touch /two/x/b; grep -c '/new .*ro.*noexec' /proc/mounts"
    runtime.set("process", "args", value=["sh", "-c", script])
    done = runtime("run", "--bundle", str(runtime.bundle), "mapped", check=False)
    assert done.stdout == "100005:100005\n1\n"
    assert done.stderr == "touch: /two/x/b: Read-only file system\n"
    runtime.config["mounts"][-1]["options"] = ["bind", "idmap"]
    assert f"idmap: {runtime.bundle}/rootfs/t: which ids, neither" in create(runtime, "mapped", check=False).stderr


def test_another_containers_users(runtime: Runtime) -> None:
    """A container can live in the user namespace of another and in its other namespaces; exec writes into a pipe.

    What is to be idmapped without ids of its own has those of that namespace.
    """
    outside = 1_900_000_000
    ids = [{"containerID": 0, "hostID": outside, "size": 65536}]
    runtime.config["linux"].update(uidMappings=ids, gidMappings=ids)
    runtime.config["linux"]["namespaces"].append({"type": "user"})
    os.chown(runtime.bundle / "rootfs", outside, outside)
    create(runtime, "owner")
    pid = runtime.state("owner")["pid"]
    joined = [{"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in (
        ("user", "user"), ("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]  # fmt: skip
    for key in ("uidMappings", "gidMappings", "resources"):
        runtime.config["linux"].pop(key)
    runtime.set("linux", "namespaces", value=[{"type": "mount"}, {"type": "cgroup"}, *joined])
    runtime.config.pop("hostname")
    (runtime.directory / "roots").mkdir()
    runtime.config["mounts"].append(
        {"destination": "/mapped", "source": str(runtime.directory / "roots"), "options": ["bind", "idmap"]}
    )
    create(runtime, "guest")
    runtime("start", "guest")
    guest = runtime.state("guest")["pid"]
    wait_for_program(guest, b"sleep")
    assert sandboxing.status(guest, "Uid").split() == [str(outside)] * 4
    for one in joined:
        assert os.stat(f"/proc/{guest}/ns/{one['path'].rpartition('/')[2]}").st_ino == os.stat(one["path"]).st_ino
    words = ("exec", "guest", "stat", "-c", "%u", "/mapped")
    command = [*SANDBOX, "oci", "--root", str(runtime.directory / "root"), *words]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"0\n"


def test_what_is_not_there(runtime: Runtime) -> None:
    """No /proc: it starts; a capability that no kernel has: it is left out, and said; /dev as a link: it is refused."""
    runtime.set("mounts", value=[])
    runtime.set("linux", "maskedPaths", value=[])
    runtime.set("linux", "readonlyPaths", value=[])
    runtime.set("process", "capabilities", value={"bounding": ["CAP_KILL", "CAP_FLY"]})
    runtime.set("process", "args", value=["ls", "/"])
    begin = ("run", "--bundle", str(runtime.bundle), "bare")
    done = runtime(*begin)
    assert done.stdout.split() == ["bin", "dev"]
    assert done.stderr == "sandbox: warning: left out, as no such capability is known: FLY\n"
    assert runtime(*begin).stdout.split() == ["bin", "dev"]  # what the first one left in the root is in nobody's way
    shutil.rmtree(runtime.bundle / "rootfs/dev")
    (runtime.bundle / "rootfs/dev").symlink_to("/outside")
    assert "/dev is a symbolic link" in runtime(*begin, check=False).stderr
    unwritable = run([*SANDBOX, "oci", "--log", "/nosuch/log", "list"], check=False)
    assert (unwritable.returncode, "--log /nosuch/log: No such file" in unwritable.stderr) == (1, True)


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


@pytest.mark.vm
def test_limits_change_while_it_runs(runtime: Runtime) -> None:
    """An update takes the resources that are named, and leaves the others; pause and resume stop and go on."""
    runtime.set("linux", "resources", "memory", value={"limit": 64 << 20})
    create(runtime, "limited")
    runtime("start", "limited")
    pid = runtime.state("limited")["pid"]
    runtime("update", "--memory", "48m", "--pids-limit", "40", "limited")
    assert [limits_of(pid)[index] for index in (0, 2)] == [str(48 << 20), "40"]
    runtime("update", "--memory", "64m", "limited")
    (runtime.directory / "new.json").write_text(json.dumps({"cpu": {"quota": 30000, "period": 100000}}))
    runtime("update", "--resources", str(runtime.directory / "new.json"), "limited")
    assert limits_of(pid) == [str(64 << 20), "30000", "40"]
    runtime("pause", "limited")
    assert runtime.state("limited")["status"] == "paused"
    for words in (("exec", "limited", "true"), ("pause", "limited"), ("delete", "limited")):
        assert "limited" in runtime(*words, check=False).stderr, words
    runtime("resume", "limited")
    assert runtime.state("limited")["status"] == "running"
    runtime("pause", "limited")
    runtime("kill", "limited", "KILL")
    assert sandboxing.wait_for(lambda: runtime.state("limited")["status"] == "stopped", PATIENCE)
    runtime("delete", "--force", "limited")
    assert sandboxing.wait_for(lambda: not os.path.exists(f"/proc/{pid}/exe"))  # a zombie has none


def test_how_it_is_scheduled(runtime: Runtime) -> None:
    """Policy, I/O priority, personality, NUMA nodes, clocks and CPUs are those of config.json, or of exec's process."""
    cpus = sorted(os.sched_getaffinity(0))
    runtime.set("process", "scheduler", value={"policy": "SCHED_BATCH", "nice": 7})
    runtime.set("process", "ioPriority", value={"class": "IOPRIO_CLASS_BE", "priority": 6})
    runtime.set("process", "execCPUAffinity", value={"initial": str(cpus[0]), "final": str(cpus[-1])})
    runtime.set("linux", "personality", value={"domain": "LINUX32"})
    runtime.set("linux", "memoryPolicy", value={"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})
    runtime.config["linux"]["namespaces"].append({"type": "time"})
    runtime.set("linux", "timeOffsets", value={"boottime": {"secs": 1337, "nanosecs": 314}})
    os.sched_setaffinity(0, cpus[:1])  # which is not for the container
    try:
        create(runtime, "timed")
    finally:
        os.sched_setaffinity(0, cpus)
    runtime("start", "timed")
    pid = runtime.state("timed")["pid"]
    wait_for_program(pid, b"sleep")
    assert (os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)) == (os.SCHED_BATCH, 7)
    assert sorted(os.sched_getaffinity(pid)) == cpus
    assert run(["ionice", "-p", str(pid)]).stdout == "best-effort: prio 6\n"
    files = "cat /proc/self/timens_offsets; grep Cpus_allowed_list /proc/self/status"
    asked = f"uname -m; head -n 1 /proc/self/numa_maps; {files}"
    machine, numa, _, boottime, allowed = runtime("exec", "timed", "sh", "-c", asked).stdout.splitlines()
    assert (machine in ("i686", "armv8l"), numa.split()[1]) == (True, "bind=static:0")
    assert (boottime.split(), allowed.split()[1]) == (["boottime", "1337", "314"], str(cpus[-1]))
    own = runtime.directory / "process.json"
    own.write_text(json.dumps({"args": ["sleep", "1000"], "env": ["PATH=/bin"], "cwd": "/", "ioPriority": {
        "class": "IOPRIO_CLASS_IDLE"}}))  # fmt: skip
    runtime("exec", "-d", "--pid-file", str(runtime.directory / "second"), "--process", str(own), "timed")
    second = int((runtime.directory / "second").read_text())
    assert run(["ionice", "-p", str(second)]).stdout == "idle\n"


def test_exec_begins_on_cpus_that_the_container_does_not_have(runtime: Runtime) -> None:
    """`initial` is for before its cgroups are joined (runtime-spec config.md): its cpuset need not have that CPU."""
    first, *_, last = (*os.sched_getaffinity(0), *os.sched_getaffinity(0))
    runtime.set("process", "execCPUAffinity", value={"initial": str(first)})
    runtime.set("linux", "resources", "cpu", value={"cpus": str(last)})
    create(runtime, "pinned")
    runtime("start", "pinned")
    said = runtime("exec", "pinned", "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    assert said.split() == ["Cpus_allowed_list:", str(last)]


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


@pytest.mark.vm
def test_what_it_uses_is_told(runtime: Runtime) -> None:
    """`events --stats` says what the kernel's files say; `ps` is ps(1)'s table of its processes; `list` has all."""
    runtime.set("linux", "resources", "pids", value={"limit": 33})
    runtime.set("linux", "resources", "cpu", value={"idle": 1})
    create(runtime, "told")
    runtime("start", "told")
    pid = runtime.state("told")["pid"]
    wait_for_program(pid, b"sleep")
    [line] = runtime("events", "--stats", "told").stdout.splitlines()
    event = json.loads(line)
    assert (event["type"], event["id"], event["data"]["pids"]) == ("stats", "told", {"current": 1, "limit": 33})
    assert event["data"]["memory"]["usage"]["usage"] > 0
    assert event["data"]["cpu"]["usage"]["total"] > 0
    assert cgroups.read(f"{cgroups.path_of(pid, 'cpu')}/cpu.idle").strip() == "1"
    head, row = runtime("ps", "told").stdout.splitlines()
    assert row.split()[head.split().index("PID")] == str(pid)
    head, row = runtime("list").stdout.splitlines()
    assert head.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert row.split()[:3] == ["told", str(pid), "running"]
    assert "must be greater than 0" in runtime("events", "--interval", "0s", "told", check=False).stderr
    assert "bad sub cgroup path" in runtime("exec", "--cgroup", "../..", "told", "true", check=False).stderr
    assert runtime("kill", "told", "0").stderr == ""
    watched = subprocess.Popen([*SANDBOX, "oci", "--root", str(runtime.directory / "root"), "events", "--interval",
                                "10ms", "told"], stdout=subprocess.PIPE)  # fmt: skip
    assert watched.stdout is not None
    with watched.stdout:
        assert json.loads(watched.stdout.readline())["type"] == "stats"
        runtime("delete", "--force", "told")
        watched.stdout.read()
    assert watched.wait(PATIENCE) == 0


@pytest.mark.vm
def test_a_cgroup_that_is_frozen_or_shared(runtime: Runtime) -> None:
    """A frozen cgroup is refused, not waited in, and so is one with processes in it.

    Without a PID namespace of its own a kill reaches all of them. B092.
    """
    runtime.config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "uts", "network")]
    runtime.set("process", "args", value=["sh", "-c", "sleep 1000 & exec sleep 1000"])
    create(runtime, "loose")
    runtime("start", "loose")
    assert sandboxing.wait_for(lambda: len(json.loads(runtime("ps", "-f", "json", "loose").stdout)) == 2, PATIENCE)
    pids = json.loads(runtime("ps", "-f", "json", "loose").stdout)
    below = cgroups.path_of(pids[0], "freezer")
    runtime.set("linux", "cgroupsPath", value=f"/cgscope-oci/{os.path.basename(below)}")
    assert "container's cgroup is not empty: 2 process(es)" in create(runtime, "late", check=False).stderr
    runtime("pause", "loose")
    waits = subprocess.Popen([*SANDBOX, "oci", "--root", str(runtime.directory / "root"), "exec", "--ignore-paused",
                              "loose", "true"], stderr=subprocess.DEVNULL)  # fmt: skip
    assert waits.poll() is None
    runtime("resume", "loose")
    assert waits.wait(PATIENCE) == 0
    runtime("kill", "loose", "KILL")
    assert sandboxing.wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids), PATIENCE)
    runtime("delete", "--force", "loose")
    state = f"{below}/freezer.state"
    os.makedirs(below)  # the one above has gone with the container, unless others are in it
    try:
        one = os.path.exists(state)
        Path(state if one else f"{below}/cgroup.freeze").write_text("FROZEN" if one else "1")
        runtime.set("linux", "cgroupsPath", value=f"/cgscope-oci/{os.path.basename(below)}")
        assert "cgroup unexpectedly frozen" in create(runtime, "cold", check=False).stderr
    finally:
        os.rmdir(below)
        with contextlib.suppress(OSError):  # others are in it
            os.rmdir(os.path.dirname(below))


def test_a_cgroup_of_two(runtime: Runtime) -> None:
    """A cgroup above two containers that was made for the first goes with the second."""
    parent = f"cgscope-oci-{os.getpid()}"
    parents = [f"{mount}/{parent}" for mount in cgroup_mounts()]
    for name in ("first", "second"):
        runtime.set("linux", "cgroupsPath", value=f"/{parent}/{name}")
        create(runtime, name)
    runtime("delete", "--force", "first")
    assert all(map(os.path.isdir, parents))
    runtime("delete", "--force", "second")
    assert not any(map(os.path.exists, parents))


def test_a_cgroup_that_another_has_since(runtime: Runtime) -> None:
    """The removal of a container that has ended does not end one that was given its cgroup meanwhile."""
    parent = f"cgscope-oci-{os.getpid()}"
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/same")
    create(runtime, "first")
    runtime("kill", "first", "KILL")
    assert sandboxing.wait_for(lambda: runtime.state("first")["status"] == "stopped", PATIENCE)
    create(runtime, "second")
    runtime("start", "second")
    assert runtime("ps", "--format", "json", "first").stdout.strip() == "[]"
    runtime("kill", "--all", "first", "KILL")
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/same/inner")
    create(runtime, "third")
    runtime("delete", "first")  # the third is in a cgroup of the second's, not of this one's
    assert [runtime.state(name)["status"] for name in ("second", "third")] == ["running", "created"]
    runtime("delete", "--force", "third")
    runtime("delete", "--force", "second")
    assert not sandboxing.has_cgroup(parent)


def test_a_cgroup_below_another_containers(runtime: Runtime) -> None:
    """Deleting the outer of two leaves the inner one alone, and is an error until that is gone, as with runc."""
    parent = f"cgscope-oci-{os.getpid()}"
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/outer")
    create(runtime, "outer")
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/outer/inner")
    create(runtime, "inner")
    runtime("start", "inner")
    done = runtime("delete", "--force", "outer", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "container inner is in a cgroup below this one's" in done.stderr
    assert sandboxing.wait_for(lambda: runtime.state("outer")["status"] == "stopped", PATIENCE)
    assert runtime("delete", "outer", check=False).returncode == 1
    assert runtime.state("inner")["status"] == "running"
    runtime("delete", "--force", "inner")
    runtime("delete", "outer")
    assert not sandboxing.has_cgroup(parent)


def test_a_cgroup_above_another_containers(runtime: Runtime) -> None:
    """A create that fails in a cgroup above a container's does not end that one."""
    parent = f"cgscope-oci-{os.getpid()}"
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/outer/inner")
    create(runtime, "inner")
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/outer")
    runtime.set("hooks", value={"createContainer": [{"path": "/bin/false"}]})
    assert create(runtime, "late", check=False).returncode == 1
    assert runtime.state("inner")["status"] == "created"
    runtime("delete", "--force", "inner")
    assert not sandboxing.has_cgroup(parent)


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


def test_a_foreign_process_in_a_cgroup(runtime: Runtime) -> None:
    """Who is in a container's cgroup and not in its PID namespace is not killed with it, as with runc."""
    parent = f"cgscope-oci-{os.getpid()}"
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/home")
    create(runtime, "home")
    guest = subprocess.Popen(["sleep", "1000"])
    below = f"{cgroup_mounts()[0]}/{parent}/home"
    os.mkdir(f"{below}/guest")
    try:
        Path(f"{below}/guest/cgroup.procs").write_text(str(guest.pid))
        done = runtime("delete", "--force", "home", check=False)
        assert (done.returncode, "still in use" in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr
        assert guest.poll() is None
    finally:
        guest.kill()
        guest.wait()
    runtime("delete", "--force", "home")
    assert not sandboxing.has_cgroup(parent)


def test_a_cgroup_of_one_that_was_never_made(runtime: Runtime) -> None:
    """What a create that was killed has recorded keeps nobody else's container from being killed."""
    parent = f"cgscope-oci-{os.getpid()}"
    runtime.set("linux", "cgroupsPath", value=f"/{parent}/same")
    create(runtime, "lives")
    told = json.loads((runtime.directory / "root/lives/state.json").read_text())
    half = runtime.directory / "root/half"
    half.mkdir(mode=0o700)
    (half / "state.json").write_text(json.dumps({**told, "id": "half", "pid": 0}))
    assert runtime.state("half")["status"] == "creating"
    runtime("delete", "--force", "lives")
    assert not sandboxing.has_cgroup(parent)
    runtime("delete", "--force", "half")
    assert os.listdir(runtime.directory / "root") == []


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


def test_docker_runs_its_containers_on_it(wrapper: str) -> None:
    """`docker run --runtime`: exit codes, an exec, a limited loop, stats, pause, update, restart, a terminal."""
    need("dockerd")
    with Docker(tempfile.mkdtemp(prefix="cgscope-docker-"), "--add-runtime", f"cgscope={wrapper}") as docker:
        options = ("--runtime", "cgscope", "--network", "none")
        assert docker("run", "--rm", *options, "busybox", "true").stdout == ""
        assert docker("run", "--rm", *options, "busybox", "nosuch", check=False).returncode == 127
        assert docker("run", "--rm", *options, "busybox", "/bin", check=False).returncode == 126
        assert docker("run", "--rm", *options, "busybox", "sh", "-c", "exit 9", check=False).returncode == 9
        assert "Read-only file system" in docker("run", "--rm", "--read-only", *options, "busybox", "sh", "-c",
                                                 "echo x > /y", check=False).stderr  # fmt: skip
        loop = ("--cpu-quota", "20000", *options[:2], "busybox", "sh", "-c", "while :; do :; done")
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
            assert limits_of(pid)[1] == "30000"
            assert "while" in docker("top", "looped").stdout
            docker("restart", "-t", "0", "looped")
            assert docker("exec", "looped", "true").returncode == 0
        assert docker("ps", "-aq").stdout == ""


@pytest.fixture
def wrapper(tmp_path: Path) -> str:
    """Give our runtime as one file, as engines want it."""
    path = tmp_path / "sandbox-oci"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -P -m sandbox.cli oci "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_podman_runs_its_containers_on_it(wrapper: str) -> None:
    """`podman --runtime`: limits, an exec, a pause, other limits, an end that it hears of, and a removal."""
    limits = ("--memory", "64m", "--cpu-quota", "20000", "--pids-limit", "50")
    with runtimes.podman("boxed", *limits, runtime=wrapper) as box:
        tool = box.tool
        assert tool is not None

        def told(what: str) -> str:
            return tool("inspect", "-f", f"{{{{.State.{what}}}}}", "boxed").strip()

        pid = int(told("Pid"))
        assert limits_of(pid) == [str(64 << 20), "20000", "50"]
        assert box.inside(["sh", "-c", "echo in; hostname"]).split()[0] == "in"
        tool("pause", "boxed")
        assert told("Status") == "paused"
        tool("unpause", "boxed")
        tool("update", "--memory", "96m", "boxed")
        assert limits_of(pid)[0] == str(96 << 20)
        tool("stop", "-t", "0", "boxed")
        assert (told("Status"), told("ExitCode")) == ("exited", "137")
        tool("start", "boxed")
        assert limits_of(int(told("Pid")))[2] == "50"
        tool("rm", "-f", "-t", "0", "boxed")
        assert tool("ps", "-aq") == ""


def test_containerd_runs_its_containers_on_it(wrapper: str) -> None:
    """`ctr run --runc-binary`: a limited container, an exec, a pause, an end that it hears of."""
    with runtimes.containerd("boxed", "--memory-limit", str(64 << 20), "--cpu-quota", "20000", runtime=wrapper) as box:
        tool = box.tool
        assert tool is not None
        pid = int(tool("task", "ls").splitlines()[1].split()[1])
        assert limits_of(pid)[:2] == [str(64 << 20), "20000"]
        assert box.inside(["sh", "-c", "echo in"]) == "in\n"
        assert str(pid) in tool("task", "ps", "boxed")
        tool("task", "pause", "boxed")
        assert "PAUSED" in tool("task", "ls")
        tool("task", "resume", "boxed")
        tool("task", "kill", "-s", "KILL", "boxed")
        assert sandboxing.wait_for(lambda: "STOPPED" in tool("task", "ls"), PATIENCE)


def test_modes_of_given_devices(runtime: Runtime) -> None:
    """A device of config.json has the mode and the owner that it says."""
    device = {"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7, "gid": 8}
    runtime.set("linux", "devices", value=[device])
    create(runtime, "moded")
    runtime("start", "moded")
    pid = runtime.state("moded")["pid"]
    wait_for_program(pid, b"sleep")
    found = os.stat(f"/proc/{pid}/root/dev/one")
    assert (stat.S_ISCHR(found.st_mode), stat.S_IMODE(found.st_mode), found.st_rdev) == (True, 0o600, os.makedev(1, 3))
    assert (found.st_uid, found.st_gid) == (7, 8)
