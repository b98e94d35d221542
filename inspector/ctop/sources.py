"""What a source of documents is, and what more some can do: apart from those that there are, as typing is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from inspector.closeup import Ask, Closeup
    from inspector.ctop.walk import Walk
    from inspector.schema import Document

__all__ = ["CloseSource", "Source", "SparingSource", "Stored"]


class Source(Protocol):
    """Each call takes a sample: rates cover the time since the call before. Not for two threads at once.

    `focus` asks for the processes of the container with that id, from the next sample on.
    """

    focus: str | None

    def begin(self) -> None:
        """Take a sample of which nothing will be shown, only what comes of it since."""

    def __call__(self) -> Document:
        """Take a sample."""


@runtime_checkable
class CloseSource(Source, Protocol):
    """A source that can look closely at one container; one that wraps another passes these on.

    One that cannot answers "not known through ...": inspector.closeup.unknown, inspector.ctop.walk.unknown.
    """

    def closeup(self, ask: Ask) -> Closeup:
        """Look closely at one container; as a sample not for two threads at once."""

    def changes(self, container: str) -> Walk:
        """Start to walk what a container changed of its image, in a thread of its own; from any thread."""


@runtime_checkable
class SparingSource(Source, Protocol):
    """A source that reads less of containers out of `sight`, from the next sample on; None: all are in sight."""

    sight: frozenset[str] | None


@runtime_checkable
class Stored(Source, Protocol):
    """A source of what was, which ends: each call is the next document, `pace` seconds after the one before.

    While it is `held` a call is the same one again.
    """

    held: bool

    @property
    def pace(self) -> float:
        """Seconds until the next document is due, as it was then."""

    @property
    def ended(self) -> bool:
        """Whether the last document was the last one."""

    def position(self, document: Document) -> str:
        """Return the moment of a document, and where in the whole that is."""

    def moment(self, text: str) -> float:
        """Return the moment that a person means, from the document shown; ValueError when it is none.

        This, `held`, `ended` and `position` are for any thread, and answer at once; the rest may take a while.
        """

    def step(self, ticks: int) -> Document:
        """Go some documents forwards or backwards."""

    def pass_time(self, seconds: float) -> Document:
        """Go some seconds forwards or backwards."""

    def edge(self, side: int) -> Document:
        """Go to the first document or the last."""

    def go_to(self, moment: float) -> Document:
        """Go to the last document at or before a moment, or the first."""
