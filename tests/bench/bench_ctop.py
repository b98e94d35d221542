"""What the live view costs: drawing beside Textual's own table, the whole program beside htop and glances.

    python -m tests.bench.bench_ctop

The ratios are what counts, since the times are the machine's: each is of the
same run, and the programs look at the same machine, one after the other. A
fleet of real groups needs root.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import pytest
from textual.app import App, ComposeResult
from textual.widgets import DataTable

from inspector.ctop.app import Ctop
from inspector.ctop.options import parse
from inspector.schema import Document
from inspector.views.layout import place
from inspector.views.scene import Scene
from tests.bench import fleet
from tests.bench.screen import Screen
from tests.unit.documents import container, document

TICKS = 10
SIZE = (120, 45)
SECONDS = float(os.environ.get("CGSCOPE_BENCH_SECONDS", "20"))
KEYS = 40
CTOP = (sys.executable, "-m", "inspector.ctop", "--no-config")
# As it is started by a person: from the second time on out of a kept process (sandbox/snapshot.py).
INSTALLED = (os.path.join(os.path.dirname(sys.executable), "ctop"), "--no-config")
FIRSTS = (
    ("ctop, by its modules", CTOP, b" shown"), ("ctop", INSTALLED, b" shown"), ("htop", ("htop",), b"Load average"),
)  # fmt: skip
KEEPING_SECONDS = 6
OTHERS = {"htop": ("htop", "-d", "10"), "glances": ("glances", "-t", "1")}
# As installed: an environment for development may forbid Python to keep what it compiled, or tell where modules are.
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": ""}


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


def steady(argv: tuple[str, ...]) -> tuple[float, float]:
    """Return the share of a core and the MiB of a program that draws a picture a second at 80x24."""
    with Screen(argv, environment=AS_INSTALLED) as screen:
        screen.watch(5)
        before = screen.cpu_seconds
        screen.watch(SECONDS)
        return (screen.cpu_seconds - before) / SECONDS, screen.resident_bytes / 2**20


def first_frames() -> None:
    """Print how long the first rows take from the command on, and how much of that is CPU time, and htop's."""
    with Screen(INSTALLED, environment=AS_INSTALLED) as screen:
        screen.watch(KEEPING_SECONDS)
    for name, argv, sought in FIRSTS:
        if shutil.which(argv[0]) is None:
            continue
        taken = []
        for _ in range(5):
            with Screen(argv, environment=AS_INSTALLED) as screen:
                screen.wait(sought)
                taken.append((time.monotonic() - screen.started, screen.cpu_seconds))
        real, cpu = min(taken)
        sys.stdout.write(f"{name}, 50 containers: first rows after {real * 1000:.0f} ms, {cpu * 1000:.0f} ms of CPU\n")


def answers() -> None:
    """Print how long a key takes to be answered while samples are taken without a pause between."""
    taken = []
    with Screen((*CTOP, "-d", "0.1"), environment=AS_INSTALLED) as screen:
        screen.wait(b" shown")
        screen.watch(2)
        for _ in range(KEYS // 2):
            for key, answer in ((b"?", b"one row up"), (b"?", b"THROTTLED")):
                screen.watch(0.037)
                screen.press(key)
                taken.append(screen.wait(answer))
    sys.stdout.write(f"a key is answered in {statistics.median(taken) * 1000:.0f} ms, "
                     f"the slowest of {KEYS} in {max(taken) * 1000:.0f} ms\n")  # fmt: skip


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a fleet")
def test_live_view_beside_htop_and_glances() -> None:
    """Print what the live view costs on 200 containers of 5 processes, beside what others cost there."""
    live()


def live() -> None:
    """Print the costs of the live view."""
    with fleet.real(50, 2):
        first_frames()
    with fleet.real(200, 5):
        share, size = steady(CTOP)
        sys.stdout.write(f"200 containers, 1,000 processes, each second: {share:.1%} of a core, {size:.0f} MiB\n")
        for name, argv in OTHERS.items():
            if shutil.which(name) is None:
                sys.stdout.write(f"  {name} is not installed (apt-get install {name})\n")
                continue
            other, others_size = steady(argv)
            sys.stdout.write(f"  {name}: {other:.1%}, {others_size:.0f} MiB: {other / share:.2f} times ctop's CPU\n")
        recording()
        answers()


def recording() -> None:
    """Print what --record adds to the live view: one with it and one without, at the same time on the same machine."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Screen(CTOP, environment=AS_INSTALLED) as plain,
        Screen((*CTOP, "--record", f"{directory}/file"), environment=AS_INSTALLED) as recorder,
    ):
        both = (plain, recorder)
        _watch(both, 5)
        before = [one.cpu_seconds for one in both]
        _watch(both, SECONDS)
        less, more = ((one.cpu_seconds - was) / SECONDS for one, was in zip(both, before, strict=True))
        sys.stdout.write(f"  recorded as well: {more:.1%} of a core, {more - less:.1%} more\n")


def _watch(screens: Sequence[Screen], seconds: float) -> None:
    """Take what several write, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in screens:
            one.watch(0.05)


def test_drawing_beside_data_table() -> None:
    """Print what drawing 200 and 1,000 changing rows costs, beside Textual's own table."""
    main()


if __name__ == "__main__":
    main()
    live()
