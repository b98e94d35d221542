"""How rows become text, beside the same lines written one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.sight import Options, Sight
from exporter.subjects import Subjects
from exporter.table import Group, Printer, Row
from inspector.kernel.host import Host
from tests.unit import parts

VALUES = st.none() | st.sampled_from([0, 1, 10**20, 0.1, 1795939091.406])


def sight_of(count: int) -> Sight:
    """Return a look at some containers."""
    seen = parts.observation(100.0, containers=[parts.container(f"c{number}") for number in range(count)])
    return Sight(Host("/nonexistent"), seen, None, Subjects().of(seen), Options(), {}, {})


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3) | VALUES.map(lambda one: [one] * 3), max_size=4))
def test_a_column_is_its_lines(scrapes: list[list[float | None]]) -> None:
    """Whatever the values are, all alike or none, and were at the scrapes before."""
    sources: list[Any] = []
    row = Row("container_example", "gauge", "An example.", lambda source: source[0], ',kind="x"')
    printer = Printer(Group((row,), lambda _: list(sources)))
    sight = sight_of(3)
    labels = sight.subjects.labels
    for values in scrapes:
        told = values[: len(labels)] + [None] * (len(labels) - len(values))
        sources[:] = [(value,) for value in told]
        lines = [
            f'container_example{{{label},kind="x"}} {value}\n'
            for label, value in zip(labels, told, strict=True)
            if value is not None
        ]
        assert b"".join(column.block.plain() for column in printer.write(sight)) == "".join(lines).encode()
