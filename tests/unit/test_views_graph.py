"""Graphs of dots, and the order of processes: what the text snapshots do not say by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.closeup import Thread
from inspector.views.graph import AXIS, beside, graph, strip
from inspector.views.layout import Line
from inspector.views.past import past_lines
from inspector.views.processes import SORTS, Entry, arrange
from inspector.views.text import cores
from tests.unit.documents import process

VALUES = st.lists(st.none() | st.floats(0, 1e18, allow_nan=False), max_size=80)


def text(line: Line) -> str:
    """Return a line without its colours."""
    return "".join(shown for shown, _ in line)


def test_the_newest_value_is_at_the_right_and_the_top_is_the_largest() -> None:
    """A rising line fills its last column to the top, and both ends of the scale are written beside it."""
    lines = [text(line) for line in graph([0.0, 1.0, 2.0, 4.0], AXIS + 1 + 2, 2, cores)]
    assert lines == ["       4│ ⢸", "       0│⢠⣿"]


def test_the_limit_is_a_line_and_what_reaches_it_is_bad() -> None:
    """Where nothing is used the limit is drawn; a column that comes up to it is in another colour."""
    values, limits = [None, None, 0.5, 0.5, 1.0, 1.0], [1.0] * 6
    top, bottom = graph(values, AXIS + 1 + 3, 2, cores, limits)
    assert top[1:] == [("──", "warn"), ("⣿", "bad")]
    assert bottom[1:] == [(" ", ""), ("⣿", "good"), ("⣿", "bad")]


def test_in_ascii_a_column_is_one_sample() -> None:
    """Each mark says how much of its row is filled."""
    lines = [text(line)[AXIS + 1 :] for line in graph([0.0, 0.25, 1.0, 2.0], AXIS + 1 + 4, 2, cores, unicode=False)]
    assert lines == ["   #", " .##"]


@given(VALUES, VALUES, st.integers(1, 60), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_graph_is_as_wide_and_high_as_it_was_told(
    values: list[float | None], limits: list[float | None], width: int, height: int, unicode: bool
) -> None:
    """Whatever the figures are, there are so many lines of so many columns."""
    lines = graph(values, width, height, cores, limits, unicode=unicode)
    assert [len(text(line)) for line in lines] == [max(width, AXIS + 2)] * height
    below = strip(values, width, "bad", per_column=2 if unicode else 1, unicode=unicode)
    assert len(text(below)) == max(width, AXIS + 2)


@pytest.mark.parametrize("width", [20, 80, 149, 150, 300])
@pytest.mark.parametrize("height", [1, 5, 19, 60])
def test_history_on_any_screen(width: int, height: int) -> None:
    """One sample and many, all unknown and known, make a page on every screen."""
    names = ("cpu_cores", "limit_cores", "throttled_ratio", "memory_bytes", "limit_bytes", "read_bytes_per_second",
             "write_bytes_per_second", "receive_bytes_per_second", "transmit_bytes_per_second")  # fmt: skip
    for count, value in ((1, None), (1, 0.0), (300, 5.0)):
        times = [float(one) for one in range(count)]
        lines = past_lines({name: [value] * count for name in names}, times, width, height)
        assert "CPU in cores" in text(lines[0])
        assert text(lines[-1]).rstrip().endswith("now")
    assert past_lines({}, [], width, height) == [[("no samples yet", "dim")]]


def test_blocks_stand_beside_each_other() -> None:
    """A block that is lower than the others leaves its columns blank."""
    lines = beside([[[("a", "")], [("b", "")]], [[("c", "")]]], 3)
    assert [text(line) for line in lines] == ["a  c  ", "b     "]


def test_every_sort_puts_what_is_not_known_last() -> None:
    """The most comes first, of PIDs the lowest, and the unknown last."""
    rows = [process(1, cpu_cores=None, rss_bytes=3, cpu_seconds=1.0), process(3, cpu_cores=0.1, rss_bytes=1),
            process(2, cpu_cores=0.9, rss_bytes=2, cpu_seconds=9.0)]  # fmt: skip
    order = {name: [entry.row["pid"] for entry in arrange(rows, name)] for name in SORTS}
    assert order == {"cpu": [2, 3, 1], "mem": [1, 2, 3], "time": [2, 3, 1], "pid": [1, 2, 3]}
    assert [entry.row["pid"] for entry in arrange(rows, "mem", reverse=True)] == [3, 2, 1]


def test_threads_stand_below_their_process_in_the_tree() -> None:
    """A process of several threads has them below it by CPU, behind the line to its next sibling."""
    rows = [process(1, ppid=0), process(2, ppid=1), process(3, ppid=1)]
    threads = {2: (Thread(2, "main", "S", 0.0, 0.0), Thread(9, "pool", "R", 0.5, 0.0)), 3: (Thread(3, "x", "S", 0, 0),)}
    entries = arrange(rows, "pid", tree=True, threads=threads)
    assert [(one.branch, one.thread.comm if one.thread else one.row["pid"]) for one in entries] == [
        ("", 1), ("├─", 2), ("│   ", "pool"), ("│   ", "main"), ("└─", 3),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), max_size=12, unique_by=lambda pair: pair[0]))
def test_a_tree_has_every_process_once(pairs: list[tuple[int, int]]) -> None:
    """Whoever calls whom a parent, in circles too, each process is drawn once."""
    entries = arrange([process(pid, ppid=ppid) for pid, ppid in pairs], "pid", tree=True)
    assert sorted(entry.row["pid"] for entry in entries) == sorted(pid for pid, _ in pairs)
    assert all(isinstance(entry, Entry) for entry in entries)
