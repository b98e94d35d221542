"""Where ctop's documents come from: the kernel of this machine, or in a test whatever it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from inspector.schema import Document

if TYPE_CHECKING:
    from inspector.daemons import Names
    from inspector.model import Observation

__all__ = ["KernelSource", "Source"]


class Source(Protocol):
    """Each call takes a sample: rates cover the time since the call before. Not for two threads at once.

    `focus` asks for the processes of the container with that id, from the next sample on.
    """

    focus: str | None

    def begin(self) -> None:
        """Take a sample of which nothing will be shown, only what comes of it since."""

    def __call__(self) -> Document:
        """Take a sample."""


class KernelSource:
    """Samples this machine; with `processes` those of every container, else those of the one in focus.

    `socket` is a runtime's, to be asked for names that no file tells; "" for the usual ones, None for none.
    """

    def __init__(self, *, processes: bool = False, socket: str | None = None) -> None:
        from inspector.kernel.host import Host  # noqa: PLC0415  `ctop --help` reads no kernel file
        from inspector.observe import Observer  # noqa: PLC0415

        self._host = Host()
        self._observer = Observer(self._host, processes=processes)
        self._before: Observation | None = None
        self._names: Names | None = None
        if socket is not None:
            from inspector.daemons import Names  # noqa: PLC0415  only who asks for it

            self._names = Names(socket)

    @property
    def focus(self) -> str | None:
        """The id of the container whose processes are listed."""
        return self._observer.focus

    @focus.setter
    def focus(self, container: str | None) -> None:
        self._observer.focus = container

    def begin(self) -> None:
        """Take the first sample."""
        self._before = self._observer.tick()

    def __call__(self) -> Document:
        """Take one sample and return the document of the time since the one before."""
        from inspector.document import document  # noqa: PLC0415

        after = self._observer.tick()
        if self._names is not None:
            after = self._names.named(after)
        result = document(self._before, after)
        self._before = after
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()


