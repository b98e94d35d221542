"""Where ctop's documents come from: the kernel of this machine, or in a test whatever it likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from inspector.schema import Document

if TYPE_CHECKING:
    from inspector.observe import Observation

__all__ = ["KernelSource", "Source"]

Source = Callable[[], Document]
"""Each call takes a sample: rates cover the time since the call before. Not for two threads at once."""


class KernelSource:
    """Samples this machine. `processes`, which may be changed between two samples, asks for them too."""

    def __init__(self, *, processes: bool = False) -> None:
        from inspector.kernel.host import Host  # noqa: PLC0415  `ctop --help` reads no kernel file
        from inspector.observe import Observer  # noqa: PLC0415

        self._host = Host()
        self._observer = Observer(self._host, processes=processes)
        self._before: Observation | None = None

    @property
    def processes(self) -> bool:
        """Whether the documents list the processes of each container."""
        return self._observer.processes

    @processes.setter
    def processes(self, wanted: bool) -> None:
        self._observer.processes = wanted

    def __call__(self) -> Document:
        """Take one sample and return the document of the time since the one before."""
        from inspector.document import document  # noqa: PLC0415

        after = self._observer.tick()
        result = document(self._before, after)
        self._before = after
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()


