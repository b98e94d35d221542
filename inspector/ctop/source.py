"""Where ctop's documents come from: the kernel of this machine, or in a test whatever it likes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from inspector.schema import Document

if TYPE_CHECKING:
    from inspector.closeup import Ask, Closeup
    from inspector.ctop.closer import Closer
    from inspector.ctop.walk import Walk
    from inspector.daemons import Names
    from inspector.model import Observation
    from inspector.victims import Victims

__all__ = ["CloseSource", "KernelSource", "Secondhand", "Source", "SparingSource", "Stored"]


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


class Secondhand:
    """What the sources have in common that look at no kernel: they know what their documents tell, and no more.

    `through` is what they are called where somebody asks for more; close() is to be defined.
    """

    local = False
    through = ""

    def closeup(self, ask: Ask) -> Closeup:
        """Say that no more is known of a container than its document tells."""
        from inspector.closeup import unknown  # noqa: PLC0415  only who looks closely

        return unknown(ask, self.through)

    def changes(self, _: str) -> Walk:
        """Say the same of what a container changed."""
        from inspector.ctop.walk import unknown  # noqa: PLC0415  only who looks closely

        return unknown(self.through)

    def close(self) -> None:
        """Let go of where the documents come from."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KernelSource:
    """Samples this machine; with `processes` those of every container, else those of the one in focus.

    Without `groups`, services and plain control groups are left out. `once`: for begin() and one document.

    `socket` is a runtime's, to be asked for names that no file tells; "" for the usual ones, None for none. With
    `pids` only the containers of these processes are told of, with `uid` those whose first process is that user's.
    """

    def __init__(
        self,
        *,
        groups: bool = True,
        processes: bool = False,
        socket: str | None = None,
        pids: Collection[int] = (),
        uid: int | None = None,
        once: bool = False,
    ) -> None:
        from inspector.kernel.host import Host  # noqa: PLC0415  `ctop --help` reads no kernel file
        from inspector.observe import Observer  # noqa: PLC0415
        from inspector.still import Documents  # noqa: PLC0415

        self._host = Host()
        self._observer = Observer(self._host, groups=groups, processes=processes)
        self._documents = Documents()
        self._before: Observation | None = None
        self._earlier: Observation | None = None
        self._closer: Closer | None = None
        self._is_reading = False
        self._names: Names | None = None
        self._victims: Victims | None = None
        self._pids, self._uid = pids, uid
        self._once = once
        if socket is not None:
            from inspector.daemons import Names  # noqa: PLC0415  only who asks for it

            self._names = Names(socket)

    @property
    def sight(self) -> frozenset[str] | None:
        """The ids of the containers in sight, None for all; of the others what is of detail is unknown."""
        return self._observer.sight

    @sight.setter
    def sight(self, containers: frozenset[str] | None) -> None:
        self._observer.sight = containers

    @property
    def focus(self) -> str | None:
        """The id of the container whose processes are listed."""
        return self._observer.focus

    @focus.setter
    def focus(self, container: str | None) -> None:
        self._observer.focus = container

    def begin(self) -> None:
        """Take the first sample: what is counted alone."""
        with self._reading():
            self._before = self._observer.begin(once=self._once)

    def __call__(self) -> Document:
        """Take one sample and return the document of the time since the one before."""
        with self._reading():
            after = self._observer.tick()
            if self._names is not None:
                after = self._names.named(after)
            result = self._documents.document(self._before, after)
            if self._pids or self._uid is not None:
                from inspector.ctop.only import only  # noqa: PLC0415  only who asks for it

                result = only(self._host, after, result, self._pids, self._uid)
            self._earlier, self._before = self._before, after
            return self._with_victims(result)

    def _with_victims(self, document: Document) -> Document:
        if self._victims is None and any(one["memory"]["oom_kills"] for one in document["containers"]):
            from inspector.victims import Victims  # noqa: PLC0415  where nobody was killed nothing needs it

            self._victims = Victims(self._host)
        return self._victims.named(document) if self._victims else document

    def closeup(self, ask: Ask) -> Closeup:
        """Look closely at one container of the last sample."""
        from inspector.ctop.closer import Closer  # noqa: PLC0415  only the live view's page of a container needs it

        with self._reading():
            self._closer = self._closer or Closer(self._host)
            if self._before is None:
                self._before = self._observer.tick()
            return self._closer.look(ask, self._earlier, self._before)

    def changes(self, container: str) -> Walk:
        """Start to walk what a container of the last sample changed of its image."""
        from inspector.ctop.walk import Walk, walker  # noqa: PLC0415  only who asks for it

        return Walk(walker(container, self._before.containers if self._before else ()))

    def __enter__(self) -> Self:
        return self

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        self._is_reading = True
        try:
            yield
        finally:
            self._is_reading = False

    def __exit__(self, *_: object) -> None:
        if self._is_reading:  # another thread, which the sampler has waited for in vain: the process's end closes all
            return
        if self._closer is not None:
            self._closer.close()
        if self._victims is not None:
            self._victims.close()
        self._host.close()


