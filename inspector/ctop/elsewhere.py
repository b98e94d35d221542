"""Where ctop looks: at this machine or some containers of it, into a recording, through an exporter or a Prometheus."""

from __future__ import annotations

from inspector.command import leave, wrong
from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, NoReturn

    from inspector.ctop.options import Options
    from inspector.ctop.remote.http import Address
    from inspector.ctop.sources import Source
    from inspector.plain import Plain

__all__ = ["EXPORTER_PORT", "PROMETHEUS_PORT", "Where", "declare", "opened", "where_of"]

EXPORTER_PORT, PROMETHEUS_PORT = 10071, 9090
MOST_PIDS = 1000


class Where(NamedTuple):
    """Where to look, and what to record; of `replay`, `connect` and `prometheus` at most one."""

    record: str | None = None
    replay: str | None = None
    at: str | None = None
    connect: Address | None = None
    prometheus: Address | None = None
    authority: str | None = None
    insecure: bool = False
    pids: tuple[int, ...] = ()
    uid: int | None = None
    match: tuple[str, ...] = ()

    @property
    def is_threaded(self) -> bool:
        """Whether what there is read or recorded is so by threads."""
        return (self.record, self.replay, self.connect, self.prometheus) != (None,) * 4


def declare(parser: argparse.ArgumentParser | Plain) -> None:
    """Declare the options."""
    parser.add_argument(
        "-p", dest="pids", metavar="PID[,PID]", type=_pids, default=(), help="only the containers of these processes"
    )
    parser.add_argument(
        "-u",
        dest="uid",
        metavar="USER",
        type=_user,
        help="only containers whose first process is this user's, by name or number",
    )
    _declare_others(parser.add_argument_group("another time, other machines").add_argument)


def _declare_others(add: Callable[..., object]) -> None:
    add("--record", metavar="FILE", help="record what is seen, or without a terminal everything; continues a recording")
    add("--replay", metavar="FILE", help="show a recording; [ ] step, { } by minutes, b goes to a time, Space plays")
    add(
        "--at",
        metavar="TIME",
        help="with --replay: begin at HH:MM[:SS], +5m from its start, -5m from its end, or a date as 2026-11-28T18:00",
    )
    add(
        "--connect",
        metavar="URL",
        type=_url(EXPORTER_PORT),
        help="show the machine of a cgscope-exporter, such as "
        "http://node:10071; a name and password as http://NAME:PASSWORD@node",
    )
    add(
        "--prometheus",
        metavar="URL",
        type=_url(PROMETHEUS_PORT),
        help="show all machines that this Prometheus "
        "scrapes, such as http://prometheus:9090, with cgscope-exporter or cAdvisor; -a then loads the others too",
    )
    add(
        "--prometheus-match",
        dest="match",
        metavar="MATCHERS",
        type=_matchers,
        help="with --prometheus: only series "
        """that meet these, as in PromQL, such as 'job="node"': where several jobs scrape one node""",
    )
    add("--ca", dest="authority", metavar="FILE", help="certificates to trust, for https")
    add("--insecure", action="store_true", help="trust whoever answers at an https URL")


def _pids(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 0 < int(part[:12]) < 1 << 22 for part in parts[:MOST_PIDS]):
        raise wrong(f"must be process IDs such as 1234,5678, not {text[:40]!r}")
    return tuple(map(int, parts[:MOST_PIDS]))


def _user(text: str) -> int:
    import pwd  # noqa: PLC0415  only who asks for it

    if text.isascii() and text.isdigit() and int(text[:12]) < 1 << 32:
        return int(text[:12])
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise wrong(f"there is no user {text[:40]!r}") from None


def _url(port: int) -> Callable[[str], Address]:
    def parse(text: str) -> Address:
        leave()
        from inspector.ctop.remote.http import address  # noqa: PLC0415  only who asks for it

        try:
            return address(text, port)
        except ValueError as error:
            raise wrong(str(error)) from None

    return parse


def _matchers(text: str) -> tuple[str, ...]:
    leave()
    from inspector.ctop.remote.prometheus import matchers  # noqa: PLC0415  only who asks for it

    try:
        return matchers(text)
    except ValueError as error:
        raise wrong(str(error)) from None


def where_of(error: Callable[[str], NoReturn], given: Any) -> Where:  # noqa: ANN401  of any type, by name
    """Return where to look; `error` exits with 2 and one line when that makes no sense."""
    chosen = [name for name in ("replay", "connect", "prometheus") if getattr(given, name) is not None]
    if len(chosen) > 1:
        error(f"--{chosen[0]} and --{chosen[1]} do not go together")
    if given.at is not None and given.replay is None:
        error("--at needs --replay")
    if given.match is not None and given.prometheus is None:
        error("--prometheus-match needs --prometheus")
    if given.record is not None and given.replay is not None:
        error("--record and --replay do not go together")
    for name, option in (("pids", "-p"), ("uid", "-u"), ("socket", "--socket")):
        if chosen and getattr(given, name) not in (None, ()):
            error(f"{option} is for this machine: it does not go with --{chosen[0]}")
    where = given.connect or given.prometheus
    if (given.authority or given.insecure) and (where is None or where.scheme != "https"):
        error(f"{'--ca' if given.authority else '--insecure'} needs an https URL")
    return Where(given.record, given.replay, given.at, given.connect, given.prometheus, given.authority, given.insecure,
                 given.pids, given.uid, given.match or ())  # fmt: skip


def opened(asked: Options) -> AbstractContextManager[Source]:
    """Give the source of what was asked for; when it is recorded, one that records."""
    source: AbstractContextManager[Source] = _source(asked)
    return source if asked.where.record is None else _recorded(source, asked.where.record)


def _recorded(opening: AbstractContextManager[Source], path: str) -> AbstractContextManager[Source]:
    from contextlib import closing, contextmanager  # noqa: PLC0415  each only where it is asked for

    from inspector.ctop.recording.writer import Recorder, Writer  # noqa: PLC0415

    @contextmanager
    def recorded() -> Iterator[Source]:
        with opening as source, closing(Recorder(source, Writer(path))) as recorder:
            yield recorder
            if recorder.failure is not None:
                raise recorder.failure

    return recorded()


def _source(asked: Options) -> Any:  # noqa: ANN401  a Source that is a context manager too
    where = asked.where
    if where.replay is not None:
        from inspector.ctop.recording.replay import Replay  # noqa: PLC0415  each only where it is asked for

        return Replay(where.replay, where.at)
    if where.connect is not None:
        from inspector.ctop.remote.connect import Exporter  # noqa: PLC0415

        return Exporter(where.connect, asked.delay, authority=where.authority, insecure=where.insecure)
    if where.prometheus is not None:
        from inspector.ctop.remote.prometheus import Prometheus  # noqa: PLC0415

        return Prometheus(
            where.prometheus, every=asked.selection.every, match=where.match, authority=where.authority,
            insecure=where.insecure,
        )  # fmt: skip
    from inspector.ctop.source import KernelSource  # noqa: PLC0415

    # A table and the live view count what they do not show, a recording keeps all, and -p tells of a process in none;
    # JSON has what was asked for alone.
    alone = asked.output in ("json", "jsonl") and not asked.selection.every and where.record is None and not where.pids
    return KernelSource(
        groups=not alone, processes=asked.processes, socket=asked.socket, pids=where.pids, uid=where.uid,
        once=asked.lines == 1,
    )  # fmt: skip
