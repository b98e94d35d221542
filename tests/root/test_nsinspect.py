"""nsinspect on real containers, beside what the kernel and the containers themselves say."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from typing import Any

import pytest

from tests.testbed.commands import NSINSPECT, Sandbox, run
from tests.testbed.processes import children, until

pytestmark = pytest.mark.root

SLEEP = ("--", "sleep", "300")


def report(target: str | int) -> dict[str, Any]:
    """Return what `nsinspect TARGET --json` says."""
    found: dict[str, Any] = json.loads(run([*NSINSPECT, str(target), "--json"]).stdout)
    return found


def host_mountpoints() -> set[tuple[str, str]]:
    """Return filesystem type and mountpoint of every mount of the host."""
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return {(fields[2], fields[1]) for fields in (line.split(" ") for line in file)}


@pytest.mark.vm
def test_pids_list_both(sandbox: Sandbox) -> None:
    """The first process has its PID here and 1 inside, as it says itself, and its container is named."""
    identifier = sandbox.start("ns-pids", *SLEEP)
    pid = sandbox.pid("ns-pids")
    said = report(pid)
    assert said["pids"][-2:] == [pid, 1]
    assert said["container"] == identifier
    assert report("ns-pids")["pid"] == report(identifier[:12])["pid"] == pid


def test_an_inner_process_as_the_container_numbers_it(sandbox: Sandbox) -> None:
    """A later process has the number inside that the container itself gives it."""
    sandbox.start("ns-inner", "--", "sh", "-c", "sleep 300 & echo inner=$!; wait")
    pid = sandbox.pid("ns-inner")
    until(lambda: "inner=" in sandbox("logs", "ns-inner").stdout, "the inner process")
    child = children(pid)[0]
    inner = int(sandbox("logs", "ns-inner").stdout.strip().removeprefix("inner="))
    assert report(child)["pids"][-2:] == [child, inner]


def test_a_tmpfs_is_a_mount_the_host_does_not_have(sandbox: Sandbox) -> None:
    """--tmpfs /tmp, and a tmpfs mounted from inside, are in nsinspect's mounts and not among the host's."""
    sandbox.start("ns-tmpfs", "--tmpfs", "/tmp", "--cap-add", "SYS_ADMIN", *SLEEP)  # noqa: S108
    pid = sandbox.pid("ns-tmpfs")
    before = host_mountpoints()
    assert ("tmpfs", "/tmp") in {(one["type"], one["mountpoint"]) for one in report(pid)["mounts"]}  # noqa: S108
    sandbox("exec", "ns-tmpfs", "mount", "-t", "tmpfs", "from-inside", "/mnt")
    added = [one for one in report(pid)["mounts"] if one["source"] == "from-inside"]
    assert [(one["type"], one["mountpoint"]) for one in added] == [("tmpfs", "/mnt")]
    assert not {where for _, where in host_mountpoints() - before} & {"/tmp", "/mnt"}  # noqa: S108
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
        assert "from-inside" not in file.read()


def test_walls_and_who_is_behind_them(sandbox: Sandbox) -> None:
    """Every namespace the sandbox makes is its own, by the kernel's inode, and holds this container alone."""
    sandbox.start("ns-walls", *SLEEP)
    pid = sandbox.pid("ns-walls")
    said = report(pid)["namespaces"]
    for kind in ("mnt", "pid", "uts", "ipc", "net", "cgroup"):
        assert said[kind]["inode"] == os.stat(f"/proc/{pid}/ns/{kind}").st_ino
        assert said[kind]["inode"] != os.stat(f"/proc/self/ns/{kind}").st_ino
        assert said[kind]["same_as_host"] is False
        assert said[kind]["containers"] == ["ns-walls"]
        assert said[kind]["owner"] == os.stat("/proc/self/ns/user").st_ino
    assert said["pid"]["parent"] == os.stat("/proc/self/ns/pid").st_ino
    assert said["user"]["same_as_host"] is True


def test_the_hosts_network_is_told(sandbox: Sandbox) -> None:
    """With --net host the network namespace is the host's, and a finding says so."""
    sandbox.start("ns-host-net", "--net", "host", *SLEEP)
    said = report(sandbox.pid("ns-host-net"))
    assert said["namespaces"]["net"]["same_as_host"] is True
    assert "host-network" in [finding["code"] for finding in said["findings"]]


def test_exec_is_in_the_containers_namespaces(sandbox: Sandbox) -> None:
    """After `sandbox exec` the program's network namespace is the container's, by the link in /proc."""
    sandbox.start("ns-exec", *SLEEP)
    pid = sandbox.pid("ns-exec")
    link = os.readlink(f"/proc/{pid}/ns/net")
    assert sandbox("exec", "ns-exec", "readlink", "/proc/self/ns/net").stdout.strip() == link
    assert link == f"net:[{report(pid)['namespaces']['net']['inode']}]"
    assert link != os.readlink("/proc/self/ns/net")


@pytest.mark.vm
def test_limits_and_what_there_really_is(sandbox: Sandbox) -> None:
    """The limits are those it was given, each set by its own cgroup, and /proc says otherwise."""
    limits = ("--cpu-quota", "20000", "--cpu-period", "100000", "--memory", "64m", "--pids-limit", "50")
    began = time.monotonic()
    sandbox.start("ns-limits", *limits, *SLEEP)
    said = report("ns-limits")
    assert said["limits"]["cpu"]["value"] == pytest.approx(0.2)
    assert said["limits"]["memory"]["value"] == 64 << 20
    assert said["limits"]["pids"]["value"] == 50
    for kind in ("cpu", "memory", "pids"):
        assert said["limits"][kind]["set_by"] == said["limits"][kind]["chain"][0]["path"]
        assert said["limits"][kind]["hidden_ancestors"] is False
    assert said["proc_says"]["cpus"] == os.cpu_count()
    assert said["proc_says"]["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert said["really_has"]["cpus"] == pytest.approx(0.2)
    assert said["really_has"]["memory_bytes"] == 64 << 20
    assert said["really_has"]["uptime_seconds"] <= time.monotonic() - began + 1
    assert said["proc_says"]["uptime_seconds"] > said["really_has"]["uptime_seconds"]


def test_the_root_is_the_overlay_of_the_container(sandbox: Sandbox) -> None:
    """The layers are those that `sandbox inspect` tells."""
    sandbox.start("ns-root", *SLEEP)
    root = report("ns-root")["rootfs"]
    data = sandbox.inspect("ns-root")["GraphDriver"]["Data"]
    assert root["type"] == "overlay"
    assert root["upper"] == data["UpperDir"]
    assert ":".join(root["lower"]) == data["LowerDir"]


def test_capabilities_as_given(sandbox: Sandbox) -> None:
    """A capability that was added is there, one that was dropped is not, and the inheritable set is empty."""
    sandbox.start("ns-caps", "--cap-add", "SYS_PTRACE", "--cap-drop", "NET_RAW", *SLEEP)
    security = report("ns-caps")["security"]
    assert "CAP_SYS_PTRACE" in security["capabilities"]["effective"]
    assert "CAP_NET_RAW" not in security["capabilities"]["bounding"]
    assert security["capabilities"]["inheritable"] == []


@pytest.mark.vm
def test_from_inside(sandbox: Sandbox) -> None:
    """Within the container the same limits show, with what is above them hidden, and the same namespaces."""
    sandbox.start("ns-inside", "--cpu-quota", "20000", "--cpu-period", "100000", *SLEEP)
    outside = report("ns-inside")
    inside = json.loads(sandbox("exec", "ns-inside", *NSINSPECT, "1", "--json").stdout)
    assert inside["pid"] == 1
    assert inside["limits"]["cpu"]["value"] == outside["limits"]["cpu"]["value"] == pytest.approx(0.2)
    assert inside["limits"]["cpu"]["hidden_ancestors"] is True
    for kind in ("mnt", "pid", "net", "uts"):
        assert inside["namespaces"][kind]["inode"] == outside["namespaces"][kind]["inode"]
        assert inside["namespaces"][kind]["same_as_host"] is not True


def test_a_process_with_escape_sequences_in_its_name(sandbox: Sandbox) -> None:
    """A hostile name and command line come out escaped."""
    code = "open('/proc/self/comm','w').write('\\x1b[31mred'); import time; print('ok', flush=True); time.sleep(300)"
    sandbox.start("ns-evil", "--", NSINSPECT[0], "-c", code, "\x1b]0;title\x07")
    until(lambda: "ok" in sandbox("logs", "ns-evil").stdout, "the name")
    shown = run([*NSINSPECT, "ns-evil"]).stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown


def test_a_container_that_does_not_run_any_more(sandbox: Sandbox) -> None:
    """Its name leads to how it ended, and who was killed, as the state file and the kernel's log have it."""
    sandbox.start("here", *SLEEP)  # which leads to where all of them are kept
    id_ = sandbox.start("hungry", "-m", "16m", "--", sys.executable, "-c", "kept = bytearray(64 << 20)")
    assert sandbox("wait", "hungry").stdout == "137\n"
    said = run([*NSINSPECT, "hungry"], check=False)
    assert (said.returncode, said.stdout) == (1, "")
    told = re.fullmatch(
        r"nsinspect: container hungry \(sandbox\) does not run: it ended \S+ ago, "
        r"python\S* \(pid \d+\) was killed for lack of memory \(OOM\), exit code 137 \(SIGKILL\?\) \((.*)\)\n",
        said.stderr,
    )
    assert told, said.stderr
    assert told[1] == f"{sandbox.root}/containers/{id_}/state.json"
