"""The name and image a runtime keeps in its own files: read as data, never trusted, never through a socket.

Which files may tell is inspector.stores' knowledge. They are read below the
runtime's own directory with no link followed, and remembered until the next
refresh, as a container can be renamed, or until its first process is another
one: it was started again, or is another under the same id. A name that was not
found is looked for again when its first process is seen to have changed, and
leads elsewhere: a runtime's own program, before it becomes the container's, has
not entered the container's root yet, which leads to where the runtime keeps its
files. That is done a few times at most for one first process, as it could change
its root at every tick. For another one it is done always: who makes those at every
tick could make as many containers, and what did not change is not parsed again.
"""

from __future__ import annotations

from collections.abc import Iterable

from inspector.absence import Absence
from inspector.errors import ParseError
from inspector.kernel.host import Host
from inspector.kernel.mounts import overlay_layers
from inspector.kernel.named import NamedTuple
from inspector.model import Container, Leader

TYPE_CHECKING = False
if TYPE_CHECKING:  # and else in what needs it: on a machine without runtimes nothing does
    from inspector.stores import Clues, Facts, Source

__all__ = ["MOST_BYTES", "Metadata", "clues_of"]

SHORT_ID = 12
MOST_BYTES = 16 << 20  # containerd's database and Podman's list hold all containers
MOST_LOOKS = 4  # for the name of one first process, between two refreshes


class _Known(NamedTuple):
    """What was found, how often it was looked for because of this first process, and by what."""

    facts: Facts
    looks: int
    leader: Leader | None
    clues: Clues


class Metadata:
    """Names the containers of one machine. Not thread safe."""

    def __init__(self, host: Host, absence: Absence) -> None:
        self._host = host
        self._absence = absence
        self._attempt = absence.attempt
        self._known: dict[str, _Known] = {}
        self._checked: dict[str, Source] = {}  # the file with the result of a container's health check
        self._files: dict[tuple[str, str], bytes] = {}
        self._absent: set[str] = set()  # stores that are not there at this tick: of those nothing else is looked for
        # By file and id: the hash of its text and what that says, since the last refresh and before.
        self._parsed: dict[tuple[Source, str], tuple[int, Facts]] = {}
        self._before: dict[tuple[Source, str], tuple[int, Facts]] = {}
        self._refused: set[str] = set()
        self._problems: list[str] = []

    def begin(self, *, refresh: bool) -> None:
        """Start a tick; at a refresh every name is read again."""
        self._files.clear()
        self._absent.clear()
        if refresh:
            self._known.clear()
            self._before, self._parsed = self._parsed, {}
            self._checked.clear()
            self._refused.clear()
            self._problems.clear()
        # What is remembered as refused, or as nonsense, is so at every tick.
        self._absence.denied |= self._refused
        self._absence.problems += self._problems

    def named(self, container: Container) -> Container:
        """Return the container with its runtime's name, image and labels, where it left them in files."""
        if container.runtime is None or container.kind != "container":
            return container
        known = self._known.get(container.id)
        if known is None or not (
            known.leader is container.leader or (known.facts.name and _is_of(known, container))
        ):
            known = self._known[container.id] = self._look(container, container.runtime, known)
        facts = known.facts
        if not any(facts):
            return container
        return container._replace(
            name=facts.name or container.name,
            image=facts.image or container.image,
            pod=facts.pod or facts.pod_id[:SHORT_ID] or container.pod,
            labels=facts.labels,
            created_at=facts.created,
        )

    def health(self, containers: Iterable[Container]) -> dict[str, str]:
        """Return what each container's health check said last, as its file says now; those without one are left out."""
        found = {}
        for one in containers:
            source = self._checked.get(one.id)
            data = self._read(source) if source else b""
            facts = self._attempt(source.path, self._parse, source, data, _runtime_id(one)) if source and data else None
            if facts is not None and facts.health:
                found[one.id] = facts.health
        return found

    def _look(self, container: Container, runtime: str, known: _Known | None) -> _Known:
        """Look in the files that the container leads to now; what is known, where they are the same."""
        clues = clues_of(container)
        if known is not None and (clues.id != known.clues.id or not _is_of(known, container)):
            known = None  # started anew; or the number of a namespace that has ended, which is soon another's
        elif known is not None and (clues == known.clues or known.looks >= MOST_LOOKS):
            return known._replace(leader=container.leader)
        problems = len(self._absence.problems)
        facts = self._find(container, runtime, clues)
        self._problems += self._absence.problems[problems:]
        return _Known(facts, known.looks + 1 if known else 1, container.leader, clues)

    def _find(self, container: Container, runtime: str, clues: Clues) -> Facts:
        """Ask the files that the clues lead to; where they lead to none, there is one that may."""
        from inspector.stores import lead, sources  # noqa: PLC0415

        found = self._ask(container, sources(runtime, clues))
        if not found.name and (source := lead(runtime, clues)):
            told = self._facts(source, _runtime_id(container))
            if told is not None and told.kept_in:
                return self._ask(container, sources(runtime, clues._replace(kept_in=told.kept_in)))
        return found

    def _ask(self, container: Container, files: Iterable[Source]) -> Facts:
        from inspector.stores import Facts  # noqa: PLC0415

        found = Facts()
        for source in files:
            facts = self._facts(source, _runtime_id(container))
            if facts is not None and facts.health:
                self._checked[container.id] = source
            found = found.over(facts) if facts is not None else found
            if found.name and found.image and (found.pod or not found.pod_id):
                break
        return found

    def _facts(self, source: Source, identifier: str) -> Facts | None:
        """Understand a file; one that makes no sense may have been written meanwhile, and is read once more."""
        data = self._read(source)
        try:
            return self._parse(source, data, identifier) if data else None
        except ParseError:
            del self._files[source.store, source.relative]
        return self._attempt(source.path, self._parse, source, self._read(source), identifier)

    def _parse(self, source: Source, data: bytes, identifier: str) -> Facts:
        """Parse a file's text, unless it says what it said before: to parse takes far longer than to read.

        Texts are compared by their hash, of 64 bits with a key of this process, as a database may have megabytes.
        """
        key = source, identifier
        known = self._parsed.get(key) or self._before.get(key)
        if known is None or known[0] != hash(data):
            known = hash(data), source.parse(data, identifier)
        self._parsed[key] = known
        return known[1]

    def _read(self, source: Source) -> bytes:
        key = source.store, source.relative
        if key not in self._files:
            self._files[key] = self._read_inside(source) if source.store not in self._absent else b""
        return self._files[key]

    def _read_inside(self, source: Source) -> bytes:
        try:
            return self._host.read_inside(source.store, source.relative, MOST_BYTES)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and error.filename.endswith(source.store):
                self._absent.add(source.store)
            self._absence.account(source.path, error)
            if source.path in self._absence.denied:
                self._refused.add(source.path)
            return b""


def _is_of(known: _Known, container: Container) -> bool:
    """Tell whether something is known of this very container, and not of an earlier one under its id."""
    was, now = known.leader, container.leader
    if was is None or now is None:
        return was is now
    return was.process.identity == now.process.identity and known.clues.id == _runtime_id(container)


def _runtime_id(container: Container) -> str:
    """Return the id by which the runtime's files know it: ours is made unique with the cgroup's path or namespace."""
    return container.runtime_id or container.id


def clues_of(container: Container) -> Clues:
    """Return what is known of a container that may lead to its runtime's files."""
    from inspector.stores import Clues  # noqa: PLC0415

    leader = container.leader
    overlay = overlay_layers(leader.root) if leader and leader.root else None
    return Clues(
        id=_runtime_id(container),
        upper=(overlay.upper if overlay else None) or "",
        parent=tuple(leader.parent_cmdline.split(" ")) if leader else (),
        kept_in=leader.kept_in if leader else "",
        root=leader.root.root if leader and leader.root else "",
        parent_directory=(leader.parent_directory if leader else None) or "",
    )
