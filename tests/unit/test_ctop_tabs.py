"""Each tab of a container's page, from documents made by hand, as the text that a person sees.

The texts are in tests/data/panel; CGSCOPE_SNAPSHOTS=write writes them anew,
for a person to look at the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from inspector import findings, security
from inspector.advice import ADVICE
from inspector.closeup import Address, Ask, Chain, Closeup, Level, unknown
from inspector.ctop.history import History
from inspector.ctop.pages import TABS
from inspector.ctop.panel import Panel
from inspector.ctop.walk import Walk
from inspector.layers import Change, Volume
from inspector.nsinspect import facts
from inspector.schema import Container
from inspector.views.scene import Scene
from inspector.views.text import width_of
from tests.testbed.commands import REPOSITORY
from tests.unit.closeups import closeup, namespace, report
from tests.unit.documents import container, document, process

SNAPSHOTS = Path(__file__).parents[1] / "data" / "panel"
HOSTILE = "e\x1b[31m\u202e\x07"
MIB = 2**20
NAMES = [tab.name for tab in TABS]


class Walked(Walk):
    """A walk that has ended."""

    def __init__(self, *changes: Change) -> None:
        super().__init__(lambda _: "not started")
        assert self.wait(30)
        self.state, self.problem, self.changes = "done", "", list(changes)
        for change in changes:
            self.totals[change.kind] = self.totals[change.kind].plus(change)


CHANGES = (
    Change("added", "/etc/motd", "file", 12, 4096),
    Change("changed", "/etc", "directory", 0, 0),
    Change("deleted", "/usr/share/doc", "directory", 2**20, 0),
)


def web() -> Container:
    """Return a container with three processes, one a thread pool, and a finding."""
    rows = [
        process(4242, comm="nginx", cmdline="nginx: master process", ppid=1, cpu_cores=0.02, threads=2),
        process(4243, comm="nginx", cmdline="nginx: worker process", ppid=4242, cpu_cores=0.15, uid=33,
                rss_bytes=4 * MIB),
        process(4250, comm="cron", cmdline="/usr/sbin/cron -f", ppid=4242, cpu_cores=None, uid=None, state="D"),
    ]  # fmt: skip
    text = "throttled in 20% of its periods by its own quota"
    return container(processes=rows, findings=[{"code": "cpu-throttled", "severity": "warning", "text": text}])


def panel_of(
    one: Container | None = None, look: Closeup | None = None, *, unicode: bool = True, samples: int = 40
) -> Panel:
    """Return the page of a container after some samples and an answer."""
    one = one or web()
    panel = Panel(lambda _: Walked(*CHANGES), unicode=unicode)
    history = History()
    panel.open(one["id"])
    for number in range(samples):
        cpu = {"usage_cores": 0.2 * number / samples, "throttled_ratio": 0.5 if number > samples / 2 else 0.0}
        sample: Container = {**one, "cpu": {**one["cpu"], **cpu}}  # type: ignore[typeddict-item]  # mypy: a copy
        of = document(sample, taken_at=1_700_093_600.0 + number)
        history.add(of)
        panel.update(of, Scene(now=of["taken_at"]), history.of(one["id"]))
    if look is not None or one["name"] == "web":
        panel.take(look or closeup(one["id"]))
    return panel


def text_of(panel: Panel, width: int, height: int) -> str:
    """Return the page in sight: heading, tabs, titles, lines."""
    page = panel.page(width, height)
    lines = [*panel.heading(), panel.tabs(width), *([panel.column_titles(width)] if panel.has_titles else [])]
    lines += [page.draw(index) for index in range(page.lines)]
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("tab", range(len(TABS)), ids=NAMES)
def test_a_tab_is_as_it_was(tab: int, width: int) -> None:
    """Every tab, at 80 columns and at 200, is the text in tests/data/panel."""
    panel = panel_of()
    panel.turn_to(tab)
    if TABS[tab].name == "filesystem":
        assert panel.press("c", 20)
    found = text_of(panel, width, 19 if width == 80 else 45)
    place = SNAPSHOTS / f"{TABS[tab].name}-{width}.txt"
    if os.environ.get("CGSCOPE_SNAPSHOTS") == "write":
        place.write_text(found, encoding="utf-8")
    assert found == place.read_text(encoding="utf-8")


@pytest.mark.parametrize("tab", range(len(TABS)), ids=NAMES)
def test_ascii_alone_draws_in_ascii(tab: int) -> None:
    """Without Unicode the graphs have no braille; what else we draw is replaced where it is put on the screen."""
    panel = panel_of(unicode=False)
    panel.turn_to(tab)
    drawn = set(text_of(panel, 80, 19)) - {"█", "·", "│", "─", "├", "└"}
    assert all(mark.isascii() or mark in "▁▂▃▄▅▆▇" for mark in drawn)


@pytest.mark.parametrize("tab", range(len(TABS)), ids=NAMES)
def test_lines_fit_80_columns_or_scroll(tab: int) -> None:
    """No line is wider than the page says it can be scrolled."""
    panel = panel_of()
    panel.turn_to(tab)
    page = panel.page(80, 19)
    widest = max(sum(width_of(text) for text, _ in page.draw(index)) for index in range(page.lines))
    assert widest <= max(page.width, 80)
    assert sum(width_of(text) for text, _ in panel.tabs(80)) <= 80


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("tab", range(len(TABS)), ids=NAMES)
def test_hostile_text_is_escaped(tab: int, width: int) -> None:
    """No control or bidi character that a process, a mount, a volume or a message brings is on the page."""
    rows = [process(4242, comm=HOSTILE, cmdline=HOSTILE, state="\x1b")]
    root = dict.fromkeys(("type", "source", "upper", "work"), HOSTILE)
    one = container(HOSTILE, id=HOSTILE, runtime=HOSTILE, image=HOSTILE, labels={HOSTILE: HOSTILE}, evidence=[HOSTILE],
                    cgroups={HOSTILE: HOSTILE}, processes=rows, state=HOSTILE,
                    findings=[{"code": HOSTILE, "severity": "warning", "text": HOSTILE}],
                    rootfs={**root, "lower": [HOSTILE]})  # fmt: skip
    told = report(
        comm=HOSTILE,
        namespaces={"net": namespace(1, containers=[HOSTILE, "other" + HOSTILE])},
        findings=[{"code": "runtime-socket", "severity": "critical", "text": HOSTILE}],
        unreadable=[{"what": HOSTILE, "error": HOSTILE, "needs": HOSTILE}],
        rootfs=one["rootfs"],
    )
    told["security"] = {**told["security"], "lsm": HOSTILE, "devices": [HOSTILE], "masked_paths": [HOSTILE]}
    told["mounts"] = [{**mount, "mountpoint": HOSTILE, "type": HOSTILE} for mount in told["mounts"]]
    look = closeup(
        HOSTILE, report=told, users={0: HOSTILE}, problems=(HOSTILE,),
        volumes=(Volume("bind", HOSTILE, HOSTILE, read_only=False, fstype=HOSTILE),),
        chains=(Chain(HOSTILE, "cores", 1.0, HOSTILE, (Level(HOSTILE, 1.0, 0.5), Level(HOSTILE, None, None))),),
        traffic=tuple(one._replace(name=HOSTILE) for one in closeup().traffic or ()),
        addresses=(Address(HOSTILE, "127.0.0.1"),),
    )  # fmt: skip
    panel = panel_of(one, look, samples=2)
    panel.press("H", 20)
    panel.turn_to(tab)
    lines = text_of(panel, width, 19).splitlines()
    assert all(line.isprintable() for line in lines)
    assert "\\x1b" in "".join(lines)


def test_what_a_source_cannot_tell_is_said() -> None:
    """Through a recording every tab that needs a close look says so, and shows what the document tells."""
    one = web()
    panel = panel_of(one, unknown(Ask(one["id"], frozenset({"report"})), "a recording"))
    for tab in range(len(TABS)):
        panel.turn_to(tab)
        shown = text_of(panel, 80, 19)
        assert ("not known through a recording" in shown) == bool(TABS[tab].parts)
    panel.turn_to(NAMES.index("limits"))
    assert "limit 0.20 cores, set by /docker/aaaa" in text_of(panel, 120, 19)
    bare = container(processes=None)
    assert "its processes: not known through a recording" in text_of(
        panel_of(bare, unknown(Ask(bare["id"], frozenset()), "a recording")), 80, 19
    )


def test_the_hosts_own_namespaces_cannot_be_missed() -> None:
    """A namespace of the host that a container should not be in is in capitals, on top and in its line."""
    panel = panel_of()
    panel.turn_to(NAMES.index("namespaces"))
    page = panel.page(80, 19)
    lines = [page.draw(index) for index in range(page.lines)]
    assert lines[0][0] == ("! IN THE HOST'S OWN NAMESPACES: ", "bad")
    assert [cell for line in lines for cell in line if cell[0].startswith("THE HOST'S") and cell[1] == "bad"] != []
    shown = text_of(panel, 80, 19)
    assert re.search(r"^net +shared +4026532003 +3 +sidecar$", shown, re.MULTILINE)


def test_the_binding_limit_is_marked() -> None:
    """Of a chain exactly one level binds, and "hidden" is said where a cgroup namespace hides the rest."""
    panel = panel_of()
    panel.turn_to(NAMES.index("limits"))
    shown = text_of(panel, 80, 19)
    assert re.search(r"^  binds +0\.20 of +0\.20 +97\.5% .* /docker$", shown, re.MULTILINE)
    assert shown.count("  binds ") == 3
    assert "? " in shown
    assert "hidden: cgroups above cannot be seen here" in shown


def test_a_cgroup_that_is_shared_is_not_its_own() -> None:
    """A level that others use too is called shared; CPU time that no cgroup accounts is that of its processes."""
    one = web()
    levels = (Level("/docker/aaaa", 0.5, None), Level("/", 2, 0.6, machine=True))
    cpu = Chain("cpu", "cores", 0.5, "/docker/aaaa", levels)
    memory = Chain("memory", "bytes", 1024.0, "/shared", (Level("/shared", 1024.0, 512.0),), shared=True)
    panel = panel_of(one, closeup(one["id"], chains=(cpu, memory)))
    panel.turn_to(NAMES.index("limits"))
    shown = text_of(panel, 80, 19)
    assert re.search(r"^  binds +0\.20 of +0\.50 +39\.0% .* its own /docker/aaaa$", shown, re.MULTILINE)
    assert "1KiB, set by the cgroup that it shares" in shown
    assert re.search(r"^  binds +512B of +1KiB +50\.0% .* shared /shared$", shown, re.MULTILINE)


def test_a_control_group_in_the_hosts_namespaces_is_no_alarm() -> None:
    """Only a container should have its own; a cgroup's mounts are told to be the host's."""
    one = container("web", kind="cgroup")
    hosts = {kind: namespace(1, hosts=True) for kind in ("mnt", "net", "pid")}
    panel = panel_of(one, closeup(one["id"], report=report(namespaces=hosts)))
    panel.turn_to(NAMES.index("namespaces"))
    assert "! IN THE HOST" not in text_of(panel, 80, 19)
    panel.turn_to(NAMES.index("filesystem"))
    assert "no mounts of its own" in text_of(panel, 80, 19)


def test_a_mount_that_was_copied_from_the_host_is_not_from_outside() -> None:
    """After `unshare -m` what the host has at the same place is left out."""
    one = web()
    volumes = (Volume("bind", "/srv", "/data", read_only=False, fstype="ext4"),
               Volume("bind", "/dev", "/dev", read_only=False, fstype="devtmpfs"))  # fmt: skip
    panel = panel_of(one, closeup(one["id"], volumes=volumes))
    panel.turn_to(NAMES.index("filesystem"))
    assert "/data from /srv" in text_of(panel, 80, 19)
    assert "/dev from /dev" not in text_of(panel, 80, 19)


def test_every_finding_has_advice() -> None:
    """Each code that the README lists has what to do, and there is no advice for anything else."""
    with open(os.path.join(REPOSITORY, "README.md"), encoding="utf-8") as file:
        section = file.read().split("## Findings")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))
    assert listed == set(ADVICE)
    assert listed >= {*findings.CODES, *security.CODES, *facts.CODES}
    assert all(text.endswith(".") and len(text) > 20 for text in ADVICE.values())


def test_an_end_is_told_with_its_time_and_reason() -> None:
    """When the container is no more in the sample its last figures stay; why is asked once, and then shown."""
    one = web()
    panel = panel_of(one)
    panel.update(document(taken_at=1_700_093_700.0), Scene(), History().of(one["id"]))
    asked = panel.ask()
    assert asked == Ask(one["id"], frozenset({"end"}), "/docker/aaaa", 1_700_093_700.0)
    assert "ENDED at " in text_of(panel, 80, 19)
    assert "nginx: worker process" in text_of(panel, 80, 19)
    assert panel.process is None
    panel.take(Closeup(one["id"], 0.0, ended="killed by SIGKILL"))
    assert "killed by SIGKILL" in text_of(panel, 80, 19)
    assert panel.ask() == asked  # more may come
    why = "nginx (pid 7) was killed for lack of memory (OOM)"
    panel.take(Closeup(one["id"], 0.0, frozenset({"end"}), ended=why, ended_by=("the kernel's log" + HOSTILE,)))
    assert re.search(r"ENDED at \d\d:\d\d:\d\d: nginx \(pid 7\) was killed", text_of(panel, 80, 19))
    assert panel.finding()[1][0].startswith("the kernel's log")
    assert panel.finding()[1][0].isprintable()
    panel.turn_to(NAMES.index("findings"))
    assert re.search(r"ended +nginx \(pid 7\) was killed", text_of(panel, 80, 19))
    panel.turn_to(0)
    assert panel.ask() is None
    panel.update(document(one, taken_at=1_700_093_800.0), Scene(), History().of(one["id"]))
    assert "ENDED" not in text_of(panel, 80, 19)
    assert panel.process is not None
    panel.update(document(taken_at=1_700_093_900.0), Scene(), History().of(one["id"]))
    assert "was killed" not in text_of(panel, 80, 19)
    assert panel.ask() == Ask(one["id"], frozenset({"end"}), "/docker/aaaa", 1_700_093_900.0)


def test_the_last_figures_are_those_of_its_life() -> None:
    """A sample that meets it in its end, out of its cgroup already, is not what is kept; what goes on so is alive."""
    one = web()
    left = container("web", cpu={"source": "processes", "usage_cores": None}, memory={"working_set_bytes": None,
                     "anon_bytes": 0, "limit_bytes": None}, processes=[])  # fmt: skip
    past = History().of(one["id"])
    panel = panel_of(one)
    before = text_of(panel, 80, 19).splitlines()[1:]  # without the age
    panel.update(document(left), Scene(), past)
    assert text_of(panel, 80, 19).splitlines()[1:] == before
    panel.update(document(), Scene(), past)
    assert "nginx: worker process" in text_of(panel, 80, 19)
    assert "of 64MiB" in text_of(panel, 80, 19)
    panel = panel_of(one)
    panel.update(document(left), Scene(), past)
    panel.update(document(left), Scene(), past)
    assert "of 64MiB" not in text_of(panel, 80, 19)


def test_an_answer_about_another_container_is_not_taken() -> None:
    """An answer that was under way when another page was opened is not shown there."""
    panel = panel_of(look=closeup("another"))
    panel.turn_to(NAMES.index("security"))
    assert "reading ..." in text_of(panel, 80, 19)


def test_a_document_that_lies_about_parents() -> None:
    """Processes that are each other's parents are drawn once each, as is one that is its own."""
    rows = [process(1, ppid=2), process(2, ppid=1), process(3, ppid=3), process(4, ppid=3)]
    panel = panel_of(container(processes=rows))
    assert panel.press("t", 20)
    page = panel.page(80, 19)
    assert sorted(int(page.draw(index)[0][0]) for index in range(page.lines)) == [1, 2, 3, 4]


def test_nothing_is_known() -> None:
    """A container of which nothing but its name is known still has its eight tabs."""
    full = container()
    groups: dict[str, Any] = {"cpu": full["cpu"], "memory": full["memory"], "pids": full["pids"], "io": full["io"],
                              "network": full["network"]}  # fmt: skip
    unknown_: dict[str, Any] = {group: dict.fromkeys(values) for group, values in groups.items()}
    bare = container(
        runtime=None, image="", pid=None, created_at=None, started_at=None,
        evidence=[], cgroups={}, namespaces={}, labels={},
        rootfs={"type": None, "source": None, "read_only": None, "lower": [], "upper": None, "work": None},
        **unknown_,
    )  # fmt: skip
    panel = panel_of(bare, Closeup(bare["id"], 0.0), samples=0)
    panel.update(document(bare), Scene(), History().of("none"))
    for tab in range(len(TABS)):
        panel.turn_to(tab)
        assert text_of(panel, 80, 19)
