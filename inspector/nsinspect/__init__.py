"""`nsinspect PID|CONTAINER`: the walls around one process, what it is allowed, and what it is told of the machine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inspector.arguments import Parser, Version
from inspector.command import add_socket, be, ended, leave, require_output
from inspector.errors import NoSuchProcess

if TYPE_CHECKING:
    from typing import NoReturn

    from inspector.daemons import Names
    from inspector.kernel.host import Host
    from inspector.model import Observation
    from inspector.report import Report

__all__ = ["command", "examine", "main"]

BETWEEN_SAMPLES = 0.3

HELP = """\
PID is a process of this machine (as `ps` shows it here); CONTAINER the name, the id or
the beginning of the id of a container that ctop shows; `self` is nsinspect itself.
Of one that has ended it says how, where Docker or our sandbox still has it, and exits with 1.

Some facts need rights over the process (root, or CAP_SYS_PTRACE): what could not be read
is listed at the end, and null in the JSON.
"""


def command() -> NoReturn:
    """Be the console script."""
    be(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Run nsinspect; return its exit code: 0, 1 when there is no such process, 2 for a bad command line."""
    return ended("nsinspect", lambda: _run(argv))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="nsinspect",
        description="What one process is isolated from, what it is allowed, and what /proc tells it.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="PID|CONTAINER", nargs="?", help="which process (see below)")
    parser.add_argument("--namespaces", action="store_true", help="instead list every namespace and who is in it")
    parser.add_argument("--changes", action="store_true", help="instead list what it changed of its image")
    parser.add_argument("--owner", metavar="PATH", help="instead say which container a file or directory belongs to")
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    add_socket(parser)
    parser.add_argument(
        "--no-color", "--no-colour", dest="colour", action="store_false", help="also by $NO_COLOR"
    )
    parser.add_argument("--version", action=Version, nargs=0, help="show program's version number and exit")
    return parser


def _run(argv: Sequence[str] | None) -> int:
    command = parser()
    given = command.parse_args(argv)
    if [given.namespaces, bool(given.target), given.owner is not None].count(True) != 1:
        command.error("give either a PID or container, or --namespaces, or --owner PATH")
    if (given.changes and not given.target) or given.owner == "":
        command.error("--changes needs a PID or container" if given.changes else "--owner needs a path")
    require_output()
    if given.changes:
        leave()  # a thread shows how far it is
    # A name may hold what the terminal's encoding cannot say.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    from inspector.kernel.host import Host  # noqa: PLC0415  `nsinspect --help` reads no kernel file

    colour = given.colour and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with Host() as host, _names(given.socket) as names:
        code = _write_rootfs(host, given, names, colour=colour) if given.changes or given.owner else 0
        if not given.changes and not given.owner:
            write(host, given.target, as_json=given.json, colour=colour, names=names)
    sys.stdout.flush()
    return code


@contextmanager
def _names(socket: str | None) -> Iterator[Names | None]:
    """Give what names containers by a socket, if that was asked for; what went wrong with it is said at the end."""
    if socket is None:
        yield None
        return
    from inspector.daemons import Names  # noqa: PLC0415  only who asks for it
    from inspector.views.text import safe  # noqa: PLC0415

    names = Names(socket)
    try:
        yield names
    finally:
        sys.stderr.writelines(f"nsinspect: {safe(problem)}\n" for problem in names.problems)


def _write_rootfs(host: Host, given: argparse.Namespace, names: Names | None, *, colour: bool) -> int:
    from inspector.nsinspect.rootfs import write_changes, write_owner  # noqa: PLC0415  only these two need it

    if given.owner:
        return write_owner(host, given.owner, as_json=given.json, colour=colour, names=names)
    return write_changes(host, given.target, as_json=given.json, colour=colour, names=names)


def write(
    host: Host, target: str | None, *, as_json: bool = False, colour: bool = False, names: Names | None = None
) -> None:
    """Print the report on `target`, or without one the list of namespaces."""
    from inspector.nsinspect import page  # noqa: PLC0415
    from inspector.nsinspect.listing import look  # noqa: PLC0415
    from inspector.observe import Observer  # noqa: PLC0415
    from inspector.views.jsontext import to_json  # noqa: PLC0415  these are needed only once there is a target
    from inspector.views.table import print_lines  # noqa: PLC0415

    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    if target is None:
        _write_namespaces(host, look(Observer(host), names), as_json=as_json, colour=colour)
        return
    report = examine(host, target, names)
    if as_json:
        sys.stdout.write(to_json(report, indent=1) + "\n")
    else:
        print_lines(page.page(report, width), sys.stdout, colour=colour)


def examine(host: Host, target: str, names: Names | None = None) -> Report:
    """Gather the report on a PID, "self" or a container; NoSuchProcess and NoSuchContainer where there is none."""
    try:
        return _examined(host, target, names)
    except NoSuchProcess as error:
        if target == str(error.pid):
            raise
    # The container has ended meanwhile: it was started again, or how it ended is told.
    return _examined(host, target, names)


def _examined(host: Host, target: str, names: Names | None) -> Report:
    from inspector.kernel.process import process_of  # noqa: PLC0415
    from inspector.nsinspect.gather import Gatherer  # noqa: PLC0415
    from inspector.nsinspect.listing import look, resolve  # noqa: PLC0415
    from inspector.observe import Observer  # noqa: PLC0415  as above

    # A number names a process even if the machine cannot be observed in full.
    observer = Observer(host)
    observation = look(observer, names)
    pid = resolve(target, observation, host)
    process = process_of(host, pid)
    # Whether a container is throttled or hollow shows in two samples; any other process need not wait.
    before = observation if any(process in one.members for one in observation.containers) else None
    if before:
        time.sleep(BETWEEN_SAMPLES)
        observation = look(observer, names)
    return Gatherer(host, observation, pid, before).report()


def _write_namespaces(host: Host, observation: Observation, *, as_json: bool, colour: bool) -> None:
    from inspector.namespace_census import report  # noqa: PLC0415
    from inspector.views.jsontext import to_json  # noqa: PLC0415  these are needed only for the list
    from inspector.views.namespaces import namespace_lines  # noqa: PLC0415
    from inspector.views.table import print_lines  # noqa: PLC0415

    found = report(host, observation)
    if as_json:
        sys.stdout.write(to_json(found, indent=1) + "\n")
    else:
        lines = namespace_lines(found["namespaces"], found["on_host"], found["unreadable"])
        print_lines(lines, sys.stdout, colour=colour)
