"""The live view for tests: driven by Textual's Pilot, with documents made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from textual.pilot import Pilot

from inspector.ctop.app import Ctop
from inspector.ctop.lines import Bar, Lines
from inspector.ctop.options import parse
from inspector.schema import Document
from tests.unit.documents import container, document, process

__all__ = ["Fake", "live", "names", "screen", "until"]


class Fake:
    """A source whose document a test changes; the container in focus has processes."""

    def __init__(self, of: Document) -> None:
        self.focus: str | None = None
        self.sight: frozenset[str] | None = None
        self.document = of
        self.processes = [process(4242, inner_pid=1)]

    def begin(self) -> None:
        """Take a first sample: there is nothing to take."""

    def __call__(self) -> Document:
        """Return the document."""
        rows = [row.copy() for row in self.document["containers"]]
        for row in rows:
            row["processes"] = self.processes if row["id"] == self.focus else None
        return {**self.document, "containers": rows}


def screen(app: Ctop) -> str:
    """Return the text on the screen, from top to bottom."""
    widgets = [widget for widget in app.screen.children if isinstance(widget, (Bar, Lines)) and widget.display]
    return "\n".join(
        widget.render_line(y).text.rstrip() for widget in widgets for y in range(widget.size.height)
    )  # fmt: skip


def names(app: Ctop) -> list[str]:
    """Return the names in the table, in order."""
    return [row["name"] for row in app.state.shown]


def live(
    test: Callable[[Ctop, Fake, Pilot[None]], Coroutine[Any, Any, None]], *argv: str, of: Document | None = None,
    size: tuple[int, int] = (80, 24),
) -> Ctop:  # fmt: skip
    """Run a test in the live view of some containers."""
    source = Fake(of or document(
        container("web"), container("db", image="postgres", cpu={"usage_cores": 0.9}, memory={"working_set_bytes": 1}),
        container("cache", runtime="podman", cpu={"usage_cores": 0.5}), container("nginx.service", kind="service"),
    ))  # fmt: skip
    app = Ctop(source, parse(["-d", "0.2", *argv], terminal=True))

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.state.document is not None)
            await test(app, source, pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], true: Callable[[], object], looks: int = 1000) -> None:
    """Wait for something, on a machine however slow and busy; it is looked for every 20 ms."""
    for _ in range(looks):
        await pilot.pause(0.02)
        if true():
            return
    pytest.fail(f"did not happen within {looks // 50} seconds")
