"""The part of the application that goes through a recording: steps, times, play and hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inspector.ctop.acting import Acting
from inspector.ctop.asking import Asking, Prompt
from inspector.ctop.sampler import Moved
from inspector.ctop.sources import Source, Stored
from inspector.schema import Document

__all__ = ["Replaying"]

NOT_STORED = "only in a recording: ctop --replay FILE"
HINT = "HH:MM[:SS], -5m, +30s, 2026-11-28T18:00  Esc back"


class Replaying(Acting):
    """What the keys of time do. `stored` is the source, where it is of what was."""

    stored: Stored | None = None
    time_hints: Mapping[str, str] = {
        "table": "Space play/hold  [ ] step  { } minute  b time  Enter detail  ? help",
        "detail": "Esc back  [ ] step  b time  Space play  1-8 tabs",
    }

    def prepare_replay(self, source: Source) -> None:
        """Say what is shown."""
        self.stored = source if isinstance(source, Stored) else None

    def show(self, document: Document) -> None:
        """Show a document."""
        raise NotImplementedError

    def place(self, document: Document) -> None:
        """Tell the header which moment it is."""
        if self.stored is not None:
            self.state.moment = self.stored.position(document)

    def hold(self, held: bool) -> None:
        """Hold the picture still, or go on; a recording stays where it is."""
        self.state.paused = held
        if self.stored is not None:
            self.stored.held = held
        self.sampler.pause(held)

    def _go(self, move: Callable[[Stored], Document]) -> None:
        """Go somewhere, and stay there; the sampler's thread reads what is there, which may take a while."""
        if self.stored is None:
            self.say(NOT_STORED, "warn")
            return
        stored = self.stored
        self.hold(held=True)
        self.sampler.move(lambda: move(stored))

    def moved(self, result: Moved) -> None:
        """Show where a key has led."""
        if result.document is None:
            self.say(result.problem, "bad")
        else:
            self.show(result.document)

    def action_tick(self, ticks: int) -> None:
        """Go some ticks forwards or backwards."""
        self._go(lambda stored: stored.step(ticks))

    def action_time(self, seconds: float) -> None:
        """Go some seconds forwards or backwards."""
        self._go(lambda stored: stored.pass_time(seconds))

    def action_time_edge(self, side: int) -> None:
        """Go to the beginning or the end."""
        self._go(lambda stored: stored.edge(side))

    def action_ask_time(self) -> None:
        """Ask for a moment, and go there."""
        if self.stored is None:
            self.say(NOT_STORED, "warn")
            return
        stored = self.stored

        def take(text: str) -> Asking | None:
            moment = stored.moment(text)
            self._go(lambda stored: stored.go_to(moment))
            return None

        self.question = Prompt("go to", HINT, take)
        self.draw()
