"""`nsinspect --namespaces` beside `lsns`, on this machine with whatever runs here."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from inspector.kernel.host import Host
from inspector.kernel.namespaces import INITIAL
from inspector.namespace_census import _Census
from tests.testbed.commands import NSINSPECT, run
from tests.testbed.tools import need

PATIENCE_SECONDS = 120.0


def flat(nodes: list[dict[str, Any]]) -> dict[int, tuple[str, int, int]]:
    """Return what lsns prints as a tree: by inode, the type, the number of processes and the lowest PID."""
    found: dict[int, tuple[str, int, int]] = {}
    for node in nodes:
        found[int(node["ns"])] = (node["type"], int(node["nprocs"]), int(node["pid"]))
        found.update(flat(node.get("children", [])))
    return found


def lsns() -> dict[int, tuple[str, int, int]]:
    """Ask lsns; its own process, which is in every one of our namespaces, is there as nsinspect's is in ours."""
    return flat(json.loads(run(["lsns", "-J"]).stdout)["namespaces"])


def ours() -> dict[int, tuple[str, int, int]]:
    """Ask nsinspect; namespaces without processes are beyond lsns (util-linux 2.38)."""
    rows = json.loads(run([*NSINSPECT, "--namespaces", "--json"]).stdout)["namespaces"]
    return {row["inode"]: (row["type"], row["processes"], row["pid"]) for row in rows if row["processes"]}


def agreeing() -> dict[int, tuple[str, int, int]]:
    """Return what both say of each namespace, once they have said the same of every one that there is.

    Processes come and go, so what they disagree about is asked about again.
    """
    need("lsns")
    agreed: dict[int, tuple[str, int, int]] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before, mine, after = lsns(), ours(), lsns()
        agreed |= {inode: row for inode, row in mine.items() if row in (before.get(inode), after.get(inode))}
        lasting = before.keys() & after.keys()
        if lasting <= agreed.keys() and mine.keys() <= before.keys() | after.keys():
            return agreed
    assert {inode: mine.get(inode) for inode in lasting - agreed.keys()} == {}
    assert mine.keys() <= before.keys() | after.keys()
    return agreed


def test_every_namespace_and_count_is_that_of_lsns() -> None:
    """Inode, type, number of processes (kernel threads too) and lowest PID are lsns's, for all eight types."""
    assert {kind for kind, _, _ in agreeing().values()} >= {"mnt", "net", "pid", "uts", "ipc", "user", "cgroup"}


def test_an_owner_is_told_by_whoever_is_still_there() -> None:
    """Of a namespace whose first process has ended since it was counted, the next one is asked."""
    inode = os.stat("/proc/self/ns/uts").st_ino
    with Host() as host:
        asked = _Census(host).relations({("uts", inode): ["/proc/0/ns/uts", "/proc/self/ns/uts"]})
    assert asked["uts", inode].owners[0] == os.stat("/proc/self/ns/user").st_ino
    assert asked["uts", inode].owners[-1] == INITIAL["user"]
