"""What a tick of the live view costs, beside Textual's DataTable with the same figures in the same run.

    python -m tests.bench.bench_ctop

CPU time per tick, in which every row changes, at 120x45; the ratio is what
counts, since the times are the machine's.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from inspector.ctop.app import Ctop
from inspector.ctop.options import parse
from inspector.schema import Document
from inspector.views.cells import Scene
from inspector.views.layout import place
from tests.unit.documents import container, document

TICKS = 10
SIZE = (120, 45)


def documents(rows: int) -> list[Document]:
    """Return two documents in which every row differs from the other's."""
    return [
        document(*(
            container(f"container-{number:04}", cpu={"usage_cores": (number * 7 + shift) % rows / 100})
            for number in range(rows)
        ))
        for shift in (0, rows // 2)
    ]  # fmt: skip


class Still:
    """A source that is asked once only: the bench delivers its documents itself."""

    def __init__(self, of: Document) -> None:
        self.focus: str | None = None
        self._document = of

    def begin(self) -> None:
        """Take a first sample: there is nothing to take."""

    def __call__(self) -> Document:
        """Return the document."""
        return self._document


class Plain(App[None]):
    """The same table made with DataTable."""

    def __init__(self, of: Document) -> None:
        super().__init__()
        self._rows = of["containers"]
        self._placed = place(self._rows, Scene(), SIZE[0])

    def compose(self) -> ComposeResult:
        """Build the table."""
        table: DataTable[str] = DataTable()
        for column, _ in self._placed:
            table.add_column(column.title, key=column.name)
        for row in self._rows:
            table.add_row(*(column.show(row, Scene())[0] for column, _ in self._placed), key=row["id"])
        yield table

    def tick(self, of: Document) -> None:
        """Put new figures into the cells and sort."""
        table = self.query_one(DataTable)
        for row in of["containers"]:
            for column, _ in self._placed:
                table.update_cell(row["id"], column.name, column.show(row, Scene())[0])
        table.sort("cpu", reverse=True)


async def measure(app: App[None], tick: Callable[[Document], object], of: list[Document]) -> float:
    """Return the median CPU seconds of a tick and of drawing it."""
    costs = []
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.5)
        for current in itertools.islice(itertools.cycle(of), TICKS):
            start = time.process_time()
            tick(current)
            await pilot.pause()
            costs.append(time.process_time() - start)
    return statistics.median(costs)


def main() -> None:
    """Print the costs and their ratio for 200 and 1000 rows."""
    for rows in (200, 1000):
        of = documents(rows)
        ours = Ctop(Still(of[0]), parse(["-d", "3600"], terminal=True))

        def tick(current: Document, ours: Ctop = ours) -> None:
            ours.state.update(current)
            ours.draw()

        lines = asyncio.run(measure(ours, tick, of))
        plain = Plain(of[0])
        cells = asyncio.run(measure(plain, plain.tick, of))
        sys.stdout.write(
            f"{rows} rows: ctop {lines * 1000:.1f} ms, DataTable {cells * 1000:.1f} ms a tick,"
            f" {cells / lines:.1f} times as much\n"
        )


def test_drawing_beside_data_table() -> None:
    """Print what drawing 200 and 1,000 changing rows costs, beside Textual's own table."""
    main()


if __name__ == "__main__":
    main()
