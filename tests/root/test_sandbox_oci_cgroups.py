"""`sandbox oci` and cgroups: limits, what is used, and containers that share a cgroup or have one below another's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.bundles import PATIENCE, Runtime, create, limits_of, wait_for_program
from tests.testbed import cgroups
from tests.testbed.commands import REPOSITORY, SANDBOX, run
from tests.testbed.leaks import cgroup_mounts

pytestmark = pytest.mark.root


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
