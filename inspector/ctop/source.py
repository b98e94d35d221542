"""Where ctop's documents come from: the kernel of this machine, or in a test whatever it likes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

    from inspector.closeup import Ask, Closeup
    from inspector.ctop.closer import Closer
    from inspector.ctop.walk import Walk
    from inspector.daemons import Names
    from inspector.model import Observation
    from inspector.schema import Document
    from inspector.victims import Victims

__all__ = ["KernelSource", "Secondhand"]


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


class _Reading:
    """Entered while a thread reads."""

    goes_on = False

    def __enter__(self) -> None:
        self.goes_on = True

    def __exit__(self, *_: object) -> None:
        self.goes_on = False


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
        self._reading = _Reading()
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
        with self._reading:
            self._before = self._observer.begin(once=self._once)

    def __call__(self) -> Document:
        """Take one sample and return the document of the time since the one before."""
        with self._reading:
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
        from inspector.since import was_started_again  # noqa: PLC0415  the document has imported it

        if self._victims is None and any(
            one["memory"]["oom_kills"] or was_started_again(one["created_at"], one["started_at"])
            for one in document["containers"]
        ):
            from inspector.victims import Victims  # noqa: PLC0415  where nobody was killed nothing needs it

            self._victims = Victims(self._host)
        return self._victims.named(document) if self._victims else document

    def closeup(self, ask: Ask) -> Closeup:
        """Look closely at one container of the last sample."""
        from inspector.ctop.closer import Closer  # noqa: PLC0415  only the live view's page of a container needs it

        with self._reading:
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

    def __exit__(self, *_: object) -> None:
        if self._reading.goes_on:  # another thread, which the sampler has waited for in vain: the end closes all
            return
        if self._closer is not None:
            self._closer.close()
        if self._victims is not None:
            self._victims.close()
        self._host.close()


