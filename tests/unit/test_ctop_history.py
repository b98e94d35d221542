"""The last minutes of every container: bounded rings, and the line of blocks they make."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from inspector.ctop.history import KEPT, SERIES, SLACK, History
from inspector.ctop.options import parse
from inspector.ctop.state import State
from inspector.schema import Container, Document
from inspector.views.cells import cpu_graph, memory_graph
from inspector.views.scene import Scene
from inspector.views.sparkline import condensed, sparkline
from tests.unit.documents import container, document

#: What the view's state makes, and the documents it is given. The bounded caches of `rich` and of the cells, which
#: fill slower or faster with the tests that ran before, are in other files.
OF_THE_VIEW = [
    tracemalloc.Filter(inclusive=True, filename_pattern=made)
    for made in ("*/inspector/ctop/*", "*/tests/unit/documents.py")
]


def at(second: float, *containers: Container) -> Document:
    """Return a document of a moment."""
    return {**document(*containers), "taken_at": second}


def test_a_track_has_every_series_with_none_where_unknown() -> None:
    """The values come in order, oldest first, beside their times."""
    history = History()
    history.add(at(1, container("web", cpu={"usage_cores": None})))
    cpu = {"usage_cores": 0.5, "throttled_ratio": 0.5, "inherited_throttled_ratio": 0.75}
    history.add(at(2, container("web", cpu=cpu)))
    track = history.of(container("web")["id"])
    assert track.times == [1, 2]
    assert track.cpu_cores == [None, 0.5]
    assert track.throttled_ratio[1] == 0.75
    assert track.memory_bytes == [container("web")["memory"]["working_set_bytes"]] * 2
    assert all(len(getattr(track, name)) == 2 for name in SERIES)
    assert track.tail("cpu_cores", 1) == [0.5]


def test_what_is_not_known_is_empty() -> None:
    """A container that was never seen has a track without samples."""
    assert History().of("nobody").times == []
    assert History().of("nobody").cpu_cores == []


def test_the_same_document_again_changes_nothing_and_an_earlier_one_takes_back() -> None:
    """A redraw adds no sample; a replay that steps back forgets what is later."""
    history = History()
    for second in (1, 2, 2, 3):
        history.add(at(second, container("web", cpu={"usage_cores": float(second)})))
    track = history.of(container("web")["id"])
    assert track.cpu_cores == [1, 2, 3]
    history.add(at(2, container("web", cpu={"usage_cores": 2.0})))
    assert track.cpu_cores == [1, 2]


def test_what_stands_still_is_noted_at_every_sample() -> None:
    """A container whose part of the document is the same object has its values again, also after a step back."""
    history, still = History(), container("web")
    history.add(at(1, container("web", cpu={"usage_cores": 0.7})))
    for second in (2, 3, 4, 1, 2):
        history.add(at(second, still))
    track = history.of(still["id"])
    assert track.times == [1, 2]
    assert track.cpu_cores == pytest.approx([still["cpu"]["usage_cores"]] * 2)


def test_of_who_is_gone_the_samples_alone_are_kept() -> None:
    """The last document's part, which takes as much as a hundred samples, is let go; one that comes back goes on."""
    history, job = History(), container("job")
    for second in range(SLACK + 2):
        history.add(at(second, *([job] if second in (0, SLACK + 1) else [])))
        track = history.of(job["id"])
        assert (job in gc.get_referents(track)) == (second < SLACK - 1 or second == SLACK + 1)
    assert track.times == [0, SLACK + 1]
    assert track.cpu_cores == pytest.approx([job["cpu"]["usage_cores"]] * 2)


def test_a_day_is_bounded() -> None:
    """A day of containers that are born and die keeps the last minutes of those seen in them, and no more memory."""
    history = History()
    lasting = container("lasting")
    sizes = []
    tracemalloc.start()
    try:
        for second in range(12 * KEPT):
            history.add(at(second, lasting, container(f"job-{second // 10}")))
            if second % KEPT == KEPT - 1:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(history) <= 1 + (KEPT + SLACK) // 10 + 1
    assert len(history.of(lasting["id"]).times) == KEPT
    assert history.of(container("job-0")["id"]).times == []
    assert sizes[-1] < sizes[2] * 1.2


@pytest.mark.parametrize(
    ("values", "top", "unicode", "line"),
    [
        ([0.0, 0.5, 1.0], 1.0, True, "  ▁▅█"),
        ([1.0, None, 2.0], None, True, "  ▅ █"),
        ([0.0, 1.0, 5.0], 1.0, False, "  _##"),
        ([], None, True, "     "),
        ([0.0] * 9, None, True, "▁▁▁▁▁"),
        ([None, -1.0], None, True, "    ▁"),
    ],
)
def test_sparkline(values: list[float | None], top: float | None, unicode: bool, line: str) -> None:
    """The newest value is on the right; unknown is blank; ASCII where blocks cannot be shown."""
    assert sparkline(values, 5, top, unicode) == line


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], []),
        ([1.0, None, 3.0, 4.0], [1.0, None, 3.0, 4.0]),
        ([9.0, 1.0, 2.0, 5.0, 4.0], [9.0, 2.0, 5.0]),
        ([None, None, 1.0, None, None, None], [None, 1.0, None]),
    ],
)
def test_many_values_in_few_blocks(values: list[float | None], shown: list[float | None]) -> None:
    """Each block is the most of as many values, the newest last; unknown is where none is known."""
    assert condensed(values, 4) == shown


def test_the_tables_graphs_are_of_minutes() -> None:
    """What a container did for one second is in sight for two minutes, at its place in time, and then gone."""
    history = History()

    def graph(second: int) -> str:
        used, memory = (0.5, 60 << 20) if second == 100 else (0.0, 0)
        one = container("web", cpu={"usage_cores": used}, memory={"working_set_bytes": memory, "limit_bytes": 64 << 20})
        history.add(at(second, one))
        scene = Scene(past=lambda name, series, count: history.of(name).tail(series, count))
        assert cpu_graph(one, scene)[0].count("█") == memory_graph(one, scene)[0].count("█")
        return cpu_graph(one, scene)[0]

    found = [graph(second) for second in range(230)]
    assert found[7] == "▁" * 8
    assert found[100].endswith("█")
    places = [7 - age // 15 for age in range(19, 120)]
    assert [line.index("█") for line in found[119:220]] == places
    assert found[220] == "▁" * 8


def test_a_sparkline_without_room_is_nothing() -> None:
    """No columns, no blocks."""
    assert sparkline([1.0], 0) == ""


def test_a_day_of_the_view_leaks_nothing() -> None:
    """A day by the clock, with containers that are born and die: what the view's state holds stays as it was."""
    state = State(parse(["-a", "--tree"], terminal=True))
    sizes, counts = [], []
    tracemalloc.start()
    try:
        for tick in range(541):  # every 160 seconds, for a day
            second = tick * 160.0
            rows = [container(f"job-{tick}-{number}", pod=f"pod-{tick // 10}") for number in range(3)]
            state.update(at(second, container("lasting"), *rows))
            state.titles(120)
            state.select(words=f"job-{tick}", sort=("cpu", "name", "mem")[tick % 3])
            state.fold_all()
            state.say(f"tick {tick}")
            for index in range(len(state.shown)):
                state.row(index)
            state.move_to(tick % 7)
            if tick % 90 == 0:
                gc.collect()  # what is held, not what waits to be collected
                held = tracemalloc.take_snapshot().filter_traces(OF_THE_VIEW)
                sizes.append(sum(trace.size for trace in held.traces))
                counts.append((len(state.history), len(state.folded), len(state.shown)))
    finally:
        tracemalloc.stop()
    assert max(count for count, *_ in counts) <= 1 + 3 * (KEPT + SLACK)
    assert max(folded for _, folded, _ in counts) <= 2
    assert sizes[-1] < sizes[4] * 1.1
