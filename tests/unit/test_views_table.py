"""The table, its header, its columns and the facts of one container."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from inspector.fields import FIELDS
from inspector.schema import Document
from inspector.views.cells import throttled
from inspector.views.columns import COLUMNS, column
from inspector.views.detail import heading, identity_lines, order_processes, usage_lines
from inspector.views.header import header, scene_of
from inspector.views.layout import Line, in_parts, place, row
from inspector.views.scene import Scene
from inspector.views.table import limits_line, print_lines, table
from inspector.views.text import fit, width_of
from tests.unit.documents import MIB, container, document, process

HOSTILE = "evil\x1b[31m\u202ename\udc9b"
ESCAPED = "evil\\x1b[31m\\u202ename\\x9b"


def plain(lines: list[Line]) -> str:
    """Return lines as text."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def page(of: Document, width: int | None = None, cpu: str = "core") -> str:
    """Return the whole page for all containers of a document."""
    return plain(table(of, of["containers"], scene_of(of, cpu), width))


@pytest.mark.parametrize("width", [80, 100, 132, 200, 400])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Rows fit the terminal, whatever the names are; a wider one shows more columns."""
    rows = [container("web"), container("n" * 300, image="i" * 300, cpu={"limit_set_by": "/" + "p" * 300})]
    placed = place(rows, Scene(), width)
    assert all(sum(width_of(text) for text, _ in row(one, placed, Scene())) <= width + 1 for one in rows)
    assert {"name", "runtime", "cpu", "limit", "throttled", "mem", "pids"} <= {entry.column.name for entry in placed}
    assert (len(placed) > 9) == (width > 100)


def test_off_a_terminal_nothing_is_cut() -> None:
    """A pipe gets names in full, and one that is very long costs the other lines no width."""
    lines = page(document(container("n" * 300), container("web"))).splitlines()
    long, short = (next(line for line in lines if line.startswith(name)) for name in ("n" * 300 + " docker", "web "))
    assert len(short) < 130
    assert len(long) > 300


def test_a_limit_of_an_ancestor_is_marked_and_explained() -> None:
    """A limit set by an ancestor has a ^, and a line below the table names the ancestor."""
    child = container("child", cpu={"limit_cores": 0.1, "limit_set_by": "/parent", "throttled_ratio": 0.0,
                                    "inherited_throttled_ratio": 0.97})  # fmt: skip
    shown = page(document(child))
    assert "^0.10" in shown
    assert "^97.0%" in shown
    assert "child: 0.10 cores set by /parent" in shown
    assert "set by /docker/aaaa" not in shown


def test_a_quota_above_that_stops_nothing_now() -> None:
    """That an ancestor's quota stopped it in no period is known, and no dash."""
    child = container("child", cpu={"throttled_ratio": None, "inherited_throttled_ratio": 0.0})
    assert throttled(child, Scene()) == ("^0.0%", "dim")
    idle = container("child", cpu={"throttled_ratio": 0.0, "inherited_throttled_ratio": 0.0})
    assert throttled(idle, Scene()) == ("0.0%", "dim")


def test_unknown_is_a_dash_and_unlimited_is_none() -> None:
    """No limit is "none" where we can know it, "-" where ancestors are hidden; a rate not yet known is "-"."""
    free = container(cpu={"usage_cores": None, "limit_cores": None, "limit_set_by": None, "limit_ratio": None},
                     memory={"limit_bytes": None, "limit_set_by": None, "limit_ratio": None})  # fmt: skip
    placed = place([free], Scene(), 80)
    texts = [text.strip() for text, _ in row(free, placed, Scene())]
    cells = dict(zip([entry.column.name for entry in placed], texts, strict=True))
    assert (cells["cpu"], cells["limit"]) == ("-", "none")
    assert cells["mem"].endswith("none")
    hidden = Scene(hidden_ancestors=True)
    assert row(free, place([free], hidden, 80), hidden)[3][0].strip() == "-"


def test_cpu_percent_has_three_meanings_and_says_which() -> None:
    """The title and the header say what CPU % is a share of, and the figure follows."""
    one = document(container(cpu={"usage_cores": 0.2, "limit_ratio": 1.0}))
    for cpu, figure in (("core", "20.0%"), ("limit", "100.0%"), ("host", "10.0%")):
        shown = page(one, cpu=cpu)
        assert f"CPU%{cpu}" in shown
        assert figure in shown.splitlines()[-1]


def test_a_table_says_when_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of a recording, one of many in a file, or read later."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert "1 of 1 shown · CPU% is of one core · 2023-11-15 23:59:59\n" in page(
        document(container(), taken_at=1_700_092_799.5)
    )


def test_findings_are_listed_the_worst_first() -> None:
    """What a person should know stands below the table."""
    mild = {"code": "b", "severity": "info", "text": "shares the host's network"}
    bad = {"code": "a", "severity": "critical", "text": "was killed for lack of memory"}
    lines = page(document(container("web", findings=[mild, bad]))).splitlines()
    assert lines[-2:] == ["critical web: was killed for lack of memory", "info     web: shares the host's network"]


def test_an_empty_machine_gets_a_header_and_a_hint() -> None:
    """Without containers the page says so, and what -a would show."""
    shown = plain(table(document(container("x", kind="cgroup")), [], Scene()))
    assert "Linux 6.1.0" in shown
    assert "no containers found; 1 service or control group: ctop -a shows it" in shown
    shown = plain(table(document(container("x", kind="cgroup"), container("y", kind="cgroup")), [], Scene()))
    assert "no containers found; 2 services and control groups: ctop -a shows them" in shown


def test_a_filter_that_nothing_matches_is_told_of() -> None:
    """Where there are containers, that none is shown is not that there is none."""
    shown = plain(table(document(container("x")), [], Scene()))
    assert shown.splitlines()[-1] == "nothing matches the filter"


def test_inside_a_container_its_own_totals_stand_beside_what_proc_claims() -> None:
    """The header inside a container has the container's limits, and /proc's figures as a claim."""
    me = container("me", id="self-1")
    view = {"inside_container": True, "hidden_ancestors": True, "self": "self-1"}
    lines = header(document(me, viewpoint=view), Scene(), [me])
    shown = plain(lines)
    assert "CPU 0.20 of 0.20 cores (/proc claims 2 CPUs)" in shown
    assert "memory 12MiB of 64MiB (/proc claims 8GiB)" in shown
    assert "unknown, not unlimited" in shown
    assert all(sum(width_of(text) for text, _ in line) <= 80 for line in lines)


def test_a_memory_limit_of_a_cgroup_out_of_sight_is_marked() -> None:
    """Inside a container v1 tells of a limit above, not whose it is: it is not the container's own."""
    above = {"limit_bytes": 32 * MIB, "limit_set_by": None}
    me = container("me", memory=above)
    shown = page(document(me))
    assert "12MiB /   ^32MiB" in shown
    assert "^        me: 32MiB of memory set by a cgroup above that we cannot see\n" in shown + "\n"
    assert "limit 32MiB, set by a cgroup above that we cannot see" in plain(usage_lines(me, 200))
    own = container("me", memory={**above, "own_limit_bytes": 32 * MIB})
    assert "^" not in page(document(own))


def test_one_core_is_no_cores() -> None:
    """Figures of one have their unit in the singular."""
    me = container("me", id="self-1", cpu={"usage_cores": 1.0, "limit_cores": 1.0, "limit_set_by": "/parent"},
                   pids={"limit": 1})  # fmt: skip
    view = {"inside_container": True, "hidden_ancestors": True, "self": "self-1"}
    inside, outside = document(me, viewpoint=view), document(me)
    inside["host"]["cpus"] = outside["host"]["cpus"] = 1
    assert "CPU 1 of 1 core (/proc claims 1 CPU)" in plain(header(inside, Scene(), [me]))
    assert " of 1 core " in plain(header(outside, Scene(), [me]))
    assert "1 core set by /parent" in page(document(me))
    assert "may use 1 core (by /parent), 64MiB of memory, 1 task" in plain([limits_line(me)])
    assert " 1 core (100.0% of its limit)" in plain(usage_lines(me, 200))


def test_what_could_not_be_seen_is_said() -> None:
    """Hidden processes and unreadable files are in the header."""
    shown = plain(header(document(denied=41, problems=["cannot parse \x1b", "another"]), Scene(), []))
    assert "41 processes hidden: access denied (CAP_SYS_PTRACE lifts most of that)" in shown
    assert "not readable" not in shown
    assert "problem: cannot parse \\x1b (and 1 more)" in shown


def test_header_says_what_was_denied_as_what_it_is() -> None:
    """Files that may not be read are files, not processes that are hidden."""
    shown = plain(header(document(denied=3, denied_files=2), Scene(), []))
    assert "1 process hidden: access denied" in shown
    assert "2 files not readable: access denied (CAP_DAC_READ_SEARCH lifts that)" in shown
    shown = plain(header(document(denied=1, denied_files=1), Scene(), []))
    assert "hidden" not in shown
    assert "1 file not readable" in shown


def test_who_shares_a_network_is_named_and_the_rest_counted() -> None:
    """Of those that are not named it is said how many there are, where the document tells."""
    for count, told in ((31, "shared with one, two and 29 more"), (2, "shared with one, two"), (None, "with one, two")):
        one = container(network={"shared_with": ["one", "two"], "shared_with_count": count})
        shown = plain(usage_lines(one, 200))
        assert told in shown
        assert (" more" in shown) == (count == 31)


def test_hostile_names_never_reach_the_terminal() -> None:
    """Names, images, paths, findings and processes are escaped in the table and in the facts."""
    evil = container(HOSTILE, id=HOSTILE, runtime=HOSTILE, image=HOSTILE, labels={HOSTILE: HOSTILE}, pod=HOSTILE,
                     evidence=[HOSTILE], cgroups={HOSTILE: "/" + HOSTILE}, state=HOSTILE,
                     cpu={"limit_set_by": "/" + HOSTILE, "throttled_by": "/" + HOSTILE, "cpuset": HOSTILE,
                          "inherited_throttled_ratio": 1.0},
                     memory={"limit_set_by": "/" + HOSTILE}, network={"shared_with": [HOSTILE]},
                     rootfs={"type": HOSTILE, "source": HOSTILE, "lower": [HOSTILE], "upper": HOSTILE},
                     findings=[{"code": HOSTILE, "severity": "warning", "text": HOSTILE}],
                     processes=[process(4242, comm=HOSTILE, cmdline=HOSTILE, state="\x1b")])  # fmt: skip
    of = document(evil, host={"hostname": HOSTILE, "kernel": HOSTILE}, problems=[HOSTILE])
    every = [*COLUMNS, *(column(field.name) for field in FIELDS)]
    lines = [*table(of, [evil], Scene(), None, every), heading(evil, Scene())]
    lines += [*usage_lines(evil, 80), *identity_lines(evil, 80)]
    assert ESCAPED in plain(lines)
    assert all(text.isprintable() for line in lines for text, _ in line)


@pytest.mark.parametrize("name", [*(entry.name for entry in COLUMNS), *(field.name for field in FIELDS)])
def test_every_column_shows_known_and_unknown(name: str) -> None:
    """Each short name and each field of the document is a column that never fails."""
    known = container()
    groups = {"cpu": known["cpu"], "memory": known["memory"], "pids": known["pids"], "io": known["io"],
              "network": known["network"]}  # fmt: skip
    unknown: dict[str, Any] = {group: dict.fromkeys(values) for group, values in groups.items()}
    nothing = container(runtime=None, image="", pid=None, created_at=None, started_at=None, parent=None, **unknown)
    shown = column(name)
    assert shown.show(known, Scene())[0] is not None
    dashes = ("", "-", "      - /        -")
    always_known = ("name", "id", "kind", "state", "pids", "procs", "members")
    assert name in always_known or shown.show(nothing, Scene())[0] in dashes


def test_colour_only_where_asked() -> None:
    """Without colour there is not one escape sequence; with it a full limit stands out."""
    of = document(container("web"))
    lines = table(of, of["containers"], Scene())
    bare, coloured = io.StringIO(), io.StringIO()
    print_lines(lines, bare, colour=False)
    print_lines(lines, coloured, colour=True)
    assert "\x1b" not in bare.getvalue()
    assert "\x1b[1;31m" in coloured.getvalue()
    assert "web" in bare.getvalue()


@pytest.mark.parametrize("unicode", [True, False])
def test_a_name_that_the_encoding_cannot_write_keeps_its_width(unicode: bool) -> None:
    """In the C locale what follows a Chinese name stands in its column; with --no-unicode alone the name stays."""
    lines = [[(fit("\u65e5\u672c-1", 8), ""), ("\u2026x", "")]]
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if unicode else "utf-8", errors="backslashreplace")
    print_lines(lines, out, colour=False, unicode=False)
    out.seek(0)
    assert out.read() == ("????-1  ~x\n" if unicode else "\u65e5\u672c-1  ~x\n")


def test_facts_fit_the_width() -> None:
    """Long facts are broken over lines instead of being lost; an ancestor that does not throttle is not named."""
    one = container(evidence=["cgroup " + "x" * 200])
    lines = [*usage_lines(one, 80), *identity_lines(one, 80)]
    shown = plain(lines)
    assert "by an ancestor" not in shown
    assert shown.count("x") >= 200
    assert all(sum(width_of(text) for text, _ in line) <= 80 for line in lines)


def test_without_a_limit_nothing_is_said_of_it() -> None:
    """No share of a limit that is not there, nor throttling without a quota; with one, that it is not known yet."""
    unlimited = {"limit_ratio": None, "limit_cores": None, "quota_us": None, "throttled_ratio": None,
                 "throttled_seconds": 0.0}  # fmt: skip
    shown = plain(usage_lines(container(cpu=unlimited, memory={"limit_ratio": None, "limit_bytes": None}), 200))
    assert "of its limit" not in shown
    assert "throttled" not in shown
    assert shown.count("no limit seen") == 2
    waiting = plain(usage_lines(container(cpu={**unlimited, "quota_us": 20000}), 200))
    assert "throttled in - of periods" in waiting
    assert "of its limit" in waiting


def test_processes_are_sorted() -> None:
    """By CPU with the unknown last, by memory, by PID."""
    rows = [process(1, cpu_cores=None, rss_bytes=3), process(3, cpu_cores=0.1, rss_bytes=1)]
    rows.append(process(2, cpu_cores=0.9, rss_bytes=2))
    assert [entry["pid"] for entry in order_processes(rows, "cpu")] == [2, 3, 1]
    assert [entry["pid"] for entry in order_processes(rows, "mem")] == [1, 2, 3]
    assert [entry["pid"] for entry in order_processes(rows, "pid")] == [1, 2, 3]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("width", [*range(20, 80), 120, 200])
def test_a_narrow_terminal_has_what_matters_most(width: int, *, many: bool) -> None:
    """Name, CPU and mark are there at 20 columns, and nothing sticks out; a wider one has no column less."""
    rows = [container("n" * 30, **({"node": "a"} if many else {}))]
    placed = place(rows, Scene(), width)
    names = [one.column.name for one in placed]
    assert {"name", "cpu"} <= set(names)
    assert {"mark", "note"} & set(names)
    assert sum(one.width + 1 for one in placed) - 1 <= width
    assert width < (71 if many else 60) or {"mem", "limit", "pids"} <= set(names)
    if width < 79:
        assert set(names) <= {one.column.name for one in place(rows, Scene(), 80)}


def test_columns_stay_when_a_row_goes() -> None:
    """What a long name or a note has taken it keeps, so that the columns behind it do not jump."""
    long = container("n" * 40, findings=[{"code": "memory-near-limit", "severity": "critical", "text": "x"}])
    kept: dict[str, int] = {}
    for width in (120, 200):
        kept.clear()
        place([container("web"), long], Scene(), width, before=kept)
        before = place([container("web"), long], Scene(), width, before=kept)
        assert place([container("web")], Scene(), width, before=kept) == before
        assert place([container("web")], Scene(), width) != before


@pytest.mark.parametrize("width", [1, 5, 9, 10, 11, 20, 200])
def test_a_line_in_parts(width: int) -> None:
    """A line that is too wide is parted at a blank, or anywhere; nothing but that blank is lost, no meaning either."""
    line: Line = [("y/n  ", "title"), ("stop 逆逆逆逆 or not?", "warn"), ("  ", "")]
    parts = in_parts(line, width, 3)
    texts = ["".join(text for text, _ in part) for part in parts]
    assert len(parts) <= 3
    assert "".join("".join(texts).split()) == "y/nstop逆逆逆逆ornot?"
    assert all(width_of(text.rstrip()) <= max(width, 1) for text in texts[:-1])
    assert len(parts) == 3 or width_of(texts[-1].rstrip()) <= width
    assert in_parts(line, width, 1) == [line]
    assert {meaning for part in parts for text, meaning in part if text.strip()} == {"title", "warn"}
