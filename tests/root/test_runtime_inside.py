"""What ctop says inside a container beside what it says outside, at the same moment, for each runtime.

The same container, its limits and its usage; the kernel's own files, read all
the while from outside, are the judge of both. Where the kernel hides the
cgroups from inside, what follows from that is asserted: null, said to be so.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from inspector.schema import Container, Document
from tests.testbed import cgroups, runtimes
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import REPOSITORY, Sandbox, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import until
from tests.testbed.runtimes import SHOWN, Box
from tests.testbed.watching import Watch

pytestmark = pytest.mark.root

NAME = "inside"
QUOTA_US, MEMORY, PIDS = 50_000, 256 << 20, 100
HELD = 32 << 20
LOAD = [sys.executable, "-IS", "-c", f"held = b'x' * {HELD}\nwhile True: pass", f"cgscope-load-{os.getpid()}"]
CTOP = f"cd {REPOSITORY} && exec {sys.executable} -B -m inspector.ctop --json -d 0.5"
TICK = 1 / os.sysconf("SC_CLK_TCK")
SLACK_BYTES = 1 << 20  # what the kernel charges and gives back while nothing happens
ANOTHER_PYTHON = 24 << 20  # ctop itself runs in the container as well

OWN_QUOTA = ("quota_us", "period_us", "burst_us", "weight")
LIMITS = ("--cpu-quota", str(QUOTA_US), "--cpu-period", "100000", "--memory", str(MEMORY), "--pids-limit", str(PIDS))
VOLUMES = [word for path in SHOWN for word in ("-v", f"{path}:{path}:ro")]


@dataclass(frozen=True, slots=True)
class Place:
    """What the runtimes that need a daemon or a store of their own are run with."""

    docker: Callable[[], Docker]
    sandbox: Sandbox


@contextlib.contextmanager
def docker(place: Place, *arguments: str) -> Iterator[Box]:
    """Run the load in Docker."""
    daemon = place.docker()
    with daemon.running(NAME, *arguments, *LIMITS, *VOLUMES, IMAGE, *LOAD):
        yield Box(lambda words: daemon("exec", NAME, *words).stdout)


@contextlib.contextmanager
def sandbox(place: Place) -> Iterator[Box]:
    """Run the load in our sandbox."""
    place.sandbox.start(NAME, *LIMITS, "--", *LOAD)
    yield Box(lambda words: place.sandbox("exec", NAME, *words).stdout)


def containerd(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load with `ctr`, which by default mounts no cgroups."""
    limits = ("--cpu-quota", str(QUOTA_US), "--cpu-period", "100000", "--memory-limit", str(MEMORY))
    mounts = [word for path in SHOWN for word in ("--mount", f"type=bind,src={path},dst={path},options=rbind:ro")]
    return runtimes.containerd(NAME, *limits, *mounts, command=LOAD)


def podman(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load in Podman."""
    return runtimes.podman(NAME, *LIMITS, *VOLUMES, command=LOAD)


def lxc(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load in LXC, which mounts the cgroups of the container's own cgroup namespace."""
    settings = [
        "lxc.mount.auto = proc:mixed sys:mixed cgroup:ro:force",
        f"lxc.cgroup.cpu.cfs_quota_us = {QUOTA_US}",
        f"lxc.cgroup.memory.limit_in_bytes = {MEMORY}",
        f"lxc.cgroup.pids.max = {PIDS}",
        *(f"lxc.mount.entry = {path} {path[1:]} none ro,bind,create=dir 0 0" for path in SHOWN),
    ]
    return runtimes.lxc(NAME, *settings, command=LOAD)


@contextlib.contextmanager
def below_a_quota(start: Callable[..., contextlib.AbstractContextManager[Box]], *arguments: str) -> Iterator[Box]:
    """Run the load with a program that makes no cgroup, started in one with a quota under the cpu controller alone."""
    with CpuGroup("cgscope-inside") as group:
        group.set_quota(QUOTA_US)
        join = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', group.directory]
        with start(*arguments, command=LOAD, within=join) as box:
            yield box


def nspawn(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load in systemd-nspawn, which shows the cgroups from its starter's on."""
    return below_a_quota(runtimes.nspawn, NAME, *(f"--bind-ro={path}" for path in SHOWN))


def bubblewrap(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load in bwrap, with no /sys."""
    return below_a_quota(runtimes.bubblewrap, *(word for path in SHOWN for word in ("--ro-bind", path, path)))


def unshare(_: Place) -> contextlib.AbstractContextManager[Box]:
    """Run the load with unshare, in a cgroup namespace whose root lies below what the machine has mounted."""
    return below_a_quota(runtimes.unshare)


@dataclass(frozen=True, slots=True)
class Subject:
    """A runtime, and what its container shows of itself inside.

    `cgroups`: "whole" paths as outside, "top" where its cgroup is the root of
    its namespace, "none" where no cgroup is mounted. `runtime`: what it is
    recognised as from inside. `own`: its cgroup is its alone. `named`: its
    cgroup bears a name that its namespace hides.
    """

    start: Callable[[Place], contextlib.AbstractContextManager[Box]]
    cgroups: str
    runtime: str | None
    own: bool = True
    limits_pids: bool = True
    named: bool = False
    hides_ancestors: bool = True


SUBJECTS = {
    "docker, the host's cgroup namespace": Subject(lambda at: docker(at, "--cgroupns", "host"), "whole", "docker"),
    "docker, its own cgroup namespace": Subject(lambda at: docker(at, "--cgroupns", "private"), "top", "docker"),
    "containerd": Subject(containerd, "none", "containerd", limits_pids=False),
    "podman": Subject(podman, "whole", "podman"),
    "lxc": Subject(lxc, "top", "lxc", named=True),
    "nspawn": Subject(nspawn, "top", "nspawn", own=False),
    "bubblewrap": Subject(bubblewrap, "none", "bubblewrap", own=False),
    "unshare": Subject(unshare, "whole", None, own=False, hides_ancestors=False),
    "sandbox": Subject(sandbox, "top", "sandbox"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """What ctop says from one side, of all and of the container, and when it had ended."""

    document: Document
    own: Container
    ended: float


@dataclass(frozen=True, slots=True)
class Views:
    """One container from both sides, and the kernel's figures meanwhile: CPU seconds, bytes, throttled periods."""

    subject: Subject
    inside: Side
    outside: Side
    watch: Watch


def load_pid() -> int:
    """Return the PID of the load, 0 where it does not run or does not hold its memory yet."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if LOAD[-1].encode() in file.read().split(b"\0")[4:5] and process_figures(int(pid))[1] >= HELD:
                return int(pid)
    return 0


def process_figures(pid: int) -> tuple[float, ...]:
    """Return the CPU seconds and the anonymous memory of one process, as /proc gives them (and 0)."""
    fields = cgroups.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in cgroups.read(f"/proc/{pid}/status").splitlines())
    ticks = int(fields[11]) + int(fields[12])
    return ticks * TICK, int(status.get("RssAnon", "0 kB").split()[0]) * 1024, 0


def cgroup_figures(pid: int) -> tuple[float, ...]:
    """Return the CPU seconds, memory and throttled periods of a process's cgroup, as its files give them."""
    name = "memory.usage_in_bytes" if cgroups.hierarchy("memory")[1] == 1 else "memory.current"
    used = int(cgroups.read(f"{cgroups.path_of(pid, 'memory')}/{name}"))
    return cgroups.usage_seconds(pid), used, cgroups.statistics(cgroups.path_of(pid, "cpu"))["nr_throttled"]


def seen(look: Callable[[], str], pid_namespace: int) -> Side:
    """Return what one side says, and of the container with this PID namespace."""
    document: Document = json.loads(look())
    (own,) = (one for one in document["containers"] if one["namespaces"].get("pid") == pid_namespace)
    return Side(document, own, time.time())


@pytest.fixture(scope="module", params=SUBJECTS)
def views(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    """Start the load with one runtime; look from inside and from outside at once while the kernel's files are read."""
    subject = SUBJECTS[request.param]
    store = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    place = Place(lambda: request.getfixturevalue("docker"), store)
    command = ["sh", "-c", CTOP]
    with contextlib.closing(store), subject.start(place) as box, ThreadPoolExecutor(1) as pool:
        until(load_pid, "the load to hold its memory")
        pid = load_pid()
        namespace = os.stat(f"/proc/{pid}/ns/pid").st_ino
        with Watch(lambda: cgroup_figures(pid) if subject.own else process_figures(pid)) as watch:
            outside = pool.submit(seen, lambda: run(command).stdout, namespace)
            inside = seen(lambda: box.inside(command), namespace)
            views = Views(subject, inside, outside.result(), watch)
        yield views


def test_it_is_the_same_container(views: Views) -> None:
    """It knows itself: by the id it has outside, as a container, with the same namespaces, start and root."""
    here, there = views.inside.own, views.outside.own
    assert views.inside.document["viewpoint"]["inside_container"] is True
    assert views.outside.document["viewpoint"]["inside_container"] is False
    assert views.inside.document["viewpoint"]["self"] == here["id"]
    assert here["id"] == (f"pid-{here['namespaces']['pid']}" if views.subject.named else there["id"])
    assert (here["kind"], there["kind"]) == ("container", "container")
    assert here["runtime"] == views.subject.runtime
    assert here["namespaces"] == there["namespaces"]
    assert here["started_at"] == pytest.approx(there["started_at"], abs=1)
    assert here["rootfs"] == there["rootfs"]
    assert here["pid"] == 1
    assert views.inside.document["problems"] == []


def test_its_limits_are_the_same(views: Views) -> None:
    """Quota, weight, cpuset, memory and task limits: equal where its cgroup is to be seen, and unknown where not."""
    here, there, subject = views.inside.own, views.outside.own, views.subject
    assert there["cpu"]["limit_cores"] == QUOTA_US / 100_000
    assert there["memory"]["own_limit_bytes"] == (MEMORY if subject.own else None)
    assert there["pids"]["limit"] == (PIDS if subject.own and subject.limits_pids else None)
    if subject.cgroups == "none":
        limits = here["cpu"]["limit_cores"], here["cpu"]["quota_us"], here["memory"]["limit_bytes"]
        assert (*limits, here["pids"]["limit"], here["cpu"]["limit_set_by"]) == (None,) * 5
        assert here["cgroups"] == {}
        return
    for name in ("source", "cpuset", "limit_cores", *(OWN_QUOTA if subject.own else ())):
        assert here["cpu"][name] == there["cpu"][name], name  # type: ignore[literal-required]
    if not subject.own:  # v1 lists nobody outside the PID namespace: from inside, the cgroup may be others' too
        assert here["cpu"]["quota_us"] is None
    for name in ("source", "own_limit_bytes", "oom_kills"):
        assert here["memory"][name] == there["memory"][name], name  # type: ignore[literal-required]
    assert here["pids"]["limit"] == there["pids"]["limit"]
    whole = subject.cgroups == "whole"
    assert here["cpu"]["limit_set_by"] == (there["cpu"]["limit_set_by"] if whole else "/")
    assert here["cgroups"].items() <= (there["cgroups"] if whole else dict.fromkeys(there["cgroups"], "/")).items()
    assert {"cpu", "cpuacct", "memory", "pids"} <= here["cgroups"].keys()


def test_what_cannot_be_seen_is_said(views: Views) -> None:
    """Limits above may be hidden from inside, all the more where no cgroup is mounted; from outside none are."""
    assert views.inside.document["viewpoint"]["hidden_ancestors"] is views.subject.hides_ancestors
    assert views.outside.document["viewpoint"]["hidden_ancestors"] is False


def test_its_usage_is_the_same(views: Views) -> None:
    """CPU time and memory are from both sides what the kernel's own files said when that side looked."""
    for side in (views.inside, views.outside):
        cpu, memory, interval = side.own["cpu"], side.own["memory"], side.document["interval_seconds"]
        taken_at, started_at = side.document["taken_at"], side.own["started_at"]
        assert interval is not None
        assert started_at is not None
        assert cpu["usage_seconds"] is not None
        assert cpu["usage_cores"] is not None
        # Figures are read after `taken_at`; within a quota, that can take some periods.
        (least, most), (low, high), _ = views.watch.between(taken_at, side.ended)
        if cpu["source"] == "cgroup":
            assert least - TICK <= cpu["usage_seconds"] <= most + TICK
            (least, most), *_ = views.watch.between(taken_at - interval, taken_at)
            assert least - TICK <= cpu["usage_seconds"] - cpu["usage_cores"] * interval <= most + TICK
            assert memory["usage_bytes"] is not None
            assert max(HELD, low - SLACK_BYTES) <= memory["usage_bytes"] <= high + SLACK_BYTES
        else:
            # The sum over its processes: the load, ctop itself, and what else was in there.
            assert (cpu["source"], memory["source"]) == ("processes", "processes")
            assert memory["anon_bytes"] is not None
            assert HELD <= memory["anon_bytes"] <= high + ANOTHER_PYTHON
            assert (0 if views.subject.own else least - TICK) < cpu["usage_seconds"]
            assert cpu["usage_seconds"] <= QUOTA_US / 100_000 * (side.ended - started_at + 2)


def test_its_throttling_is_the_same(views: Views) -> None:
    """A loop is throttled by its quota as often as cpu.stat counts; without cgroups nothing is said of it inside."""
    for side in (views.inside, views.outside):
        cpu = side.own["cpu"]
        if side is views.inside and views.subject.cgroups == "none":
            assert [cpu["throttled_periods"], cpu["throttled_ratio"], cpu["inherited_throttled_ratio"]] == [None] * 3
            continue
        own = cpu["throttled_ratio"]
        ratio = own if own is not None else cpu["inherited_throttled_ratio"]
        assert ratio is not None
        assert cpu["throttled_by"] == (cpu["limit_set_by"] if ratio else None)
        if views.subject.own:
            assert cpu["throttled_periods"] is not None
            least, most = views.watch.between(side.document["taken_at"], side.ended)[2]
            assert least <= cpu["throttled_periods"] <= most
