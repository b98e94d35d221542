"""`sandbox stop`, `kill`, `rm`, `wait`, `pause`, `unpause`: containers end, or stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import complain, each, each_at_once, say_line
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.full_parsing import FullParser
    from sandbox.state import Store

__all__ = [
    "add_stop_options",
    "kill",
    "kill_parser",
    "pause",
    "pause_parser",
    "rm",
    "rm_parser",
    "stop",
    "stop_parser",
    "unpause",
    "unpause_parser",
    "wait",
    "wait_parser",
]


def add_stop_options(parser: Parser) -> None:
    """Add what `stop` and `restart` share."""
    add = parser.add_argument
    add("-t", "--time", "--timeout", type=int, metavar="SECONDS", help="how long to wait (default 10, -1: for ever)")
    add("-s", "--signal", default="", metavar="SIGNAL", help="what to send (default: its stop signal, SIGTERM)")


def _containers(parser: Parser) -> Parser:
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def stop_parser() -> Parser:
    """Return the parser of `sandbox stop`."""
    text = "Ask containers to end (SIGTERM), then make them (SIGKILL)."
    parser = new_parser("stop", "[-t SECONDS] [-s SIGNAL] CONTAINER...", text)
    add_stop_options(parser)
    return _containers(parser)


def stop(words: list[str], store: Store) -> int:
    """Ask containers to end, and make them."""
    parser = stop_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415
    from sandbox.signals import number_of  # noqa: PLC0415

    number = number_of(arguments.signal) if arguments.signal else None
    return each_at_once(arguments.containers, lambda name: ending.stop(store, name, arguments.time, number))


def kill_parser() -> Parser:
    """Return the parser of `sandbox kill`."""
    parser = new_parser("kill", "[-s SIGNAL] CONTAINER...", "Send a signal to the first process of containers.")
    parser.add_argument("-s", "--signal", default="KILL", help="name or number (default KILL)")
    return _containers(parser)


def kill(words: list[str], store: Store) -> int:
    """Send a signal to containers."""
    parser = kill_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415
    from sandbox.signals import number_of  # noqa: PLC0415

    number = number_of(arguments.signal)
    return each(arguments.containers, lambda name: ending.kill(store, name, number))


def rm_parser() -> Parser:
    """Return the parser of `sandbox rm`."""
    parser = new_parser("rm", "[-f] [-v] CONTAINER...", "Remove containers with all they wrote.")
    parser.add_argument("-f", "--force", action="store_true", help="also one that runs: it is killed")
    parser.add_argument("-v", "--volumes", action="store_true", help="and the volumes without a name that they had")
    parser.add_rare = _refuse_links
    return _containers(parser)


def _refuse_links(parser: FullParser) -> None:
    from sandbox.commands.rare_options import LINKS, refuse  # noqa: PLC0415

    refuse(parser, {"--link": LINKS, "-l": LINKS})


def rm(words: list[str], store: Store) -> int:
    """Remove containers."""
    parser = rm_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415
    from sandbox.errors import NoSuchContainer  # noqa: PLC0415

    def action(name: str) -> None:
        try:
            ending.remove(store, name, force=arguments.force, volumes=arguments.volumes)
        except NoSuchContainer as error:
            if not arguments.force:
                raise
            complain(error)
        else:
            say_line(name)

    return each(arguments.containers, action, name_it=False)


def wait_parser() -> Parser:
    """Return the parser of `sandbox wait`."""
    return _containers(new_parser("wait", "CONTAINER...", "Wait until containers have ended, and print their codes."))


def wait(words: list[str], store: Store) -> int:
    """Wait until containers have ended, and print their exit codes."""
    parser = wait_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415

    return each(arguments.containers, lambda name: say_line(str(ending.wait(store, name))), name_it=False)


def pause_parser() -> Parser:
    """Return the parser of `sandbox pause`."""
    return _containers(new_parser("pause", "CONTAINER...", "Stop all processes of containers, until an unpause."))


def pause(words: list[str], store: Store) -> int:
    """Stop all processes of containers."""
    parser = pause_parser()
    arguments = parser.parse_args(words)
    from sandbox import pausing  # noqa: PLC0415

    return each(arguments.containers, lambda name: pausing.pause(store, name))


def unpause_parser() -> Parser:
    """Return the parser of `sandbox unpause`."""
    return _containers(new_parser("unpause", "CONTAINER...", "Let the processes of paused containers go on."))


def unpause(words: list[str], store: Store) -> int:
    """Let the processes of paused containers go on."""
    parser = unpause_parser()
    arguments = parser.parse_args(words)
    from sandbox import pausing  # noqa: PLC0415

    return each(arguments.containers, lambda name: pausing.unpause(store, name))
