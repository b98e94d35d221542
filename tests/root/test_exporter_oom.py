"""A container that is killed for lack of memory is told of, by name, though it and its cgroup are gone."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from pathlib import Path

import pytest

from inspector.schema import Document
from tests.root.test_exporter_prometheus import exporting, get, until
from tests.testbed import cgroups, leaks
from tests.testbed.commands import Sandbox, ctop_document, find
from tests.unit.exporting import Series, parsed, series_of

pytestmark = [pytest.mark.root, pytest.mark.vm]

SLACK_SECONDS = 60.0  # the log has a clock of its own, which drifts, most of all where the machine is emulated
# Allocates in small steps, so that the limit is met and reclaim tried before the kernel kills it.
EAT = ("sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done")


def test_a_victim_is_told_after_its_container_is_gone(tmp_path: Path, sandbox: Sandbox) -> None:
    """The kill of a container is a series with its name, and the victim's, when the container was removed meanwhile."""
    options = ("--collector.disable-defaults", "--collector.oom", "--collector.machine", "--collector.processes")
    began = time.time()
    with exporting(tmp_path / "exporter.log", *options) as url:
        before = parsed(get(f"{url}/metrics"))
        if series_of(before, "cgscope_kernel_log_readable") != [1]:
            pytest.skip("the kernel's log cannot be read here")
        cgroup = f"/cgscope/{sandbox.start('eaten', '--memory', '16m', *EAT)}"
        until(lambda: not sandbox.inspect("eaten")["State"]["Running"], "the container to be killed")
        sandbox("rm", "eaten")
        until(lambda: killed(parsed(get(f"{url}/metrics")), cgroup), "the kill")
        series = parsed(get(f"{url}/metrics"))
    assert killed(series, cgroup) == [1]
    assert not series_of(series, "container_processes", id=cgroup)
    assert series_of(series, "container_oom_last_victim_info", id=cgroup, task="sh") == [1]
    [at] = series_of(series, "container_oom_last_kill_timestamp_seconds", id=cgroup)
    assert began - SLACK_SECONDS <= at <= time.time() + SLACK_SECONDS


def test_a_victim_is_named_by_the_page_as_by_ctop(tmp_path: Path, sandbox: Sandbox) -> None:
    """Who it was, and that it was at the limit of a cgroup above, is the same sentence in both documents."""
    parent = f"cgscope-oom-{os.getpid()}"
    limit = ("--cgroup-parent", f"/{parent}")
    script = f"while ! [ -e /go ]; do sleep 0.1; done; {shlex.join(EAT)} & wait; sleep 1000"
    sandbox.start("fed", *limit, "sh", "-c", script)
    directory = os.path.dirname(cgroups.path_of(sandbox.pid("fed"), "memory"))
    try:
        name = "memory.limit_in_bytes" if cgroups.hierarchy("memory")[1] == 1 else "memory.max"
        cgroups.write(f"{directory}/{name}", "24M")
        sandbox("exec", "fed", "touch", "/go")
        until(lambda: finding(ctop_document("-d", "0.2")), "the kill")
        with exporting(tmp_path / "exporter.log") as url:
            told = finding(json.loads(get(f"{url}/api/v1/containers?interval=0.2")))
            if series_of(parsed(get(f"{url}/metrics")), "cgscope_kernel_log_readable") != [1]:
                pytest.skip("the kernel's log cannot be read here")
        assert told == finding(ctop_document("-d", "0.2"))
        assert re.search(rf"; the last sh \(PID \d+\) at TIME, at the limit of /\S*{parent} \(kernel's log\)$", told)
    finally:
        sandbox("rm", "-f", "fed")
        leaks.remove_cgroups(one for one in leaks.take().cgroups if one.endswith(f"/{parent}"))


def finding(document: Document) -> str:
    """Return what a document says of the kill in the container, but for the second; "" for nothing."""
    found = (each for each in find(document, "fed")["findings"] if each["code"] == "oom-killed")
    return next((re.sub(r"at \d\d:\d\d:\d\d", "at TIME", each["text"]) for each in found), "")


def killed(series: Series, cgroup: str) -> list[float]:
    """Return how many processes of a container were killed, where it is told of: with an image, seen alive or not."""
    return [
        value
        for (name, labels), value in series.items()
        if name == "container_oom_kills_total" and ("id", cgroup) in labels and "image" in dict(labels) and value
    ]
