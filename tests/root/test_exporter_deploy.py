"""The exporter as it is deployed sees what it sees on the machine itself: in containers, and with two capabilities."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.testbed.commands import EXPORTER, REPOSITORY, Sandbox, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.tools import need

pytestmark = pytest.mark.root

SUBJECT = "deploy-subject"
LIMITS = ("--cpu-period", "100000", "--cpu-quota", "20000", "--memory", "64m", "--pids-limit", "50")
MOUNTS = ("-v", "/proc:/host/proc:ro", "-v", "/sys:/host/sys:ro")
PATHS = ("--path.procfs=/host/proc", "--path.sysfs=/host/sys", "--path.rootfs=/rootfs")
# What a machine's file system needs to have of ours, so that our Python runs in a container that has nothing.
PYTHON = {REPOSITORY, sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64"}
TRIES = 10
# Moved by everything on the machine, up and down.
MOVING = {"machine_memory_available_bytes", "container_fs_inodes_free"}
# About the exporter itself, which is another one each time, and layers, which it counts when it has the time.
OWN = ("cgscope_scrape", "cgscope_denied_reads", "process_", "container_layer_", "container_fs_usage_bytes")

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class View(NamedTuple):
    """What one exporter shows: every series, and the containers by `id`, with their names."""

    series: Series
    names: dict[str, str]


def view(text: str) -> View:
    """Read a page of metrics."""
    series: Series = {}
    names = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.startswith(OWN):
                series[sample.name, frozenset(sample.labels.items())] = sample.value
            if sample.name == "container_last_seen" and sample.labels["image"]:
                names[sample.labels["id"]] = sample.labels["name"]
    return View(series, names)


def here() -> View:
    """Return what the exporter of the machine itself shows."""
    return view(run([*EXPORTER, "--once"]).stdout)


def of(seen: View, name: str) -> Series:
    """Return the machine's series, and those of one container."""
    return {
        key: value for key, value in seen.series.items() if ("name", name) in key[1] or key[0].startswith("machine_")
    }


def check(inside: Callable[[], str], own: str) -> None:
    """Compare the page that `inside` returns with the machine's own exporter's, before it and after.

    The list of containers is the same, but for the one called `own`, in which
    the exporter runs. The subject sleeps: a figure that moves all the same has
    to lie between the two. It is looked at anew while others make containers,
    and when a figure of the kernel's was settled later (memory, some time after
    the last use).
    """
    for _ in range(TRIES):
        before, seen, after = here(), view(inside()), here()
        stayed = before.names.items() & after.names.items()
        missing = stayed - seen.names.items()
        strange = {name for id_, name in seen.names.items() if id_ not in before.names | after.names} - {own}
        first, then, last = (of(one, SUBJECT) for one in (before, seen, after))
        same = then.keys() == first.keys() == last.keys()
        wrong = {
            key: (first.get(key), value, last.get(key))
            for key, value in then.items()
            if key[0] not in MOVING and key in first and key in last
            if not min(first[key], last[key]) <= value <= max(first[key], last[key])
        }
        if same and not missing and not strange and not wrong:
            break
    assert (missing, strange) == (set(), set())
    assert SUBJECT in seen.names.values()
    assert {name for name, _ in then} >= {
        "machine_cpu_cores", "container_cpu_usage_seconds_total", "container_spec_cpu_quota", "container_pids_limit",
        "container_memory_limit_bytes", "container_cpu_limit_info",
    }  # fmt: skip
    assert then.keys() == first.keys() == last.keys()
    assert wrong == {}


@pytest.fixture(name="subject")
def subject_fixture(docker: Docker) -> Iterator[None]:
    """Run a container of Docker's with every limit, asleep."""
    with docker.running(SUBJECT, *LIMITS, IMAGE, "sleep", "1000"):
        yield


def propagation() -> str:
    """Return the option with which the machine's later mounts are seen; its root can be private, without systemd."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        [root] = [line for line in file if line.split()[4] == "/"][-1:]
    return ",rslave" if " shared:" in root else ""


def docker_run(docker: Docker, *options: str) -> str:
    """Run the exporter in a container of Docker's that has our Python, as the README's `docker run` line does."""
    python = [option for path in sorted(PYTHON) if os.path.isdir(path) for option in ("-v", f"{path}:{path}:ro")]
    caps = ("--cap-drop", "ALL", "--cap-add", "SYS_PTRACE", "--cap-add", "DAC_READ_SEARCH")
    safe = ("--read-only", "--security-opt", "no-new-privileges", "--network", "none", "--pid", "host",
            "--name", "deploy-exporter")  # fmt: skip
    mounts = (*MOUNTS, "-v", f"/:/rootfs:ro{propagation()}", *python, "-w", REPOSITORY)
    return docker("run", "--rm", *safe, *caps, *options, *mounts, IMAGE, *EXPORTER, *PATHS, "--once").stdout


@pytest.mark.usefixtures("subject")
def test_in_docker_it_sees_the_machine(docker: Docker) -> None:
    """In a container with the machine's files mounted, its process IDs and two capabilities: the same as outside."""
    check(lambda: docker_run(docker), "deploy-exporter")


def test_the_kernels_log_is_read_where_it_is_granted(docker: Docker) -> None:
    """With CAP_SYSLOG and the right to the device the log is readable in Docker's container, and not without them."""
    granted = docker_run(docker, "--cap-add", "SYSLOG", "--device-cgroup-rule", "c 1:11 r")
    assert "\ncgscope_kernel_log_readable 1\n" in granted
    assert "\ncgscope_kernel_log_readable 0\n" in docker_run(docker)


def test_in_the_sandbox_it_sees_the_machine(sandbox: Sandbox) -> None:
    """In a container of our own runtime, with a cgroup namespace of its own: the same as outside."""
    sandbox.start(SUBJECT, *LIMITS, "sleep", "1000")
    paths = {REPOSITORY, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")}
    python = [option for path in sorted(paths) for option in ("-v", f"{path}:{path}:ro")]
    options = ("--rm", "--name", "deploy-exporter", "--rootfs", "/", "--pid", "host", "--cap-add", "SYS_PTRACE",
               "--cap-add", "DAC_READ_SEARCH", *MOUNTS, "-v", "/:/rootfs:ro", *python, "-w", REPOSITORY)  # fmt: skip
    check(lambda: sandbox("run", *options, "--", *EXPORTER, *PATHS, "--once").stdout, "deploy-exporter")


@pytest.mark.usefixtures("subject")
def test_two_capabilities_are_enough() -> None:
    """As an ordinary user with what the systemd unit grants, in a mount namespace of its own: the same as root."""
    need("setpriv", "unshare")
    caps = "-all,+sys_ptrace,+dac_read_search"
    user = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]
    command = ["unshare", "--mount", "setpriv", *user, "--inh-caps", caps, "--ambient-caps", caps,
               "--bounding-set", caps, *EXPORTER, "--once"]  # fmt: skip
    check(lambda: run(command).stdout, "")
