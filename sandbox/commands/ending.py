"""`sandbox stop`, `kill` and `rm`: the end of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import each
from sandbox.errors import SandboxError
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["kill", "kill_parser", "rm", "rm_parser", "signal_number", "stop", "stop_parser"]


def stop_parser() -> Parser:
    """Return the parser of `sandbox stop`."""
    text = "Ask containers to end (SIGTERM), then make them (SIGKILL)."
    parser = new_parser("stop", "[-t SECONDS] CONTAINER...", text)
    parser.add_argument("-t", "--time", type=int, default=10, metavar="SECONDS", help="how long to wait (default 10)")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def stop(words: list[str], store: Store) -> int:
    """Ask containers to end, and make them."""
    parser = stop_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415

    return each(arguments.containers, lambda name: ending.stop(store, name, arguments.time))


def kill_parser() -> Parser:
    """Return the parser of `sandbox kill`."""
    parser = new_parser("kill", "[-s SIGNAL] CONTAINER...", "Send a signal to the first process of containers.")
    parser.add_argument("-s", "--signal", default="KILL", help="name or number (default KILL)")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def kill(words: list[str], store: Store) -> int:
    """Send a signal to containers."""
    parser = kill_parser()
    arguments = parser.parse_args(words)
    number = signal_number(arguments.signal)
    from sandbox import ending  # noqa: PLC0415

    return each(arguments.containers, lambda name: ending.kill(store, name, number))


def signal_number(text: str) -> int:
    """Return the number of a signal that is given by name, with or without SIG, or by number."""
    import signal  # noqa: PLC0415

    name = "SIG" + text.upper().removeprefix("SIG")
    if text.isdecimal() and int(text) in signal.valid_signals():
        return int(text)
    if name in signal.Signals.__members__:
        return signal.Signals[name].value
    raise SandboxError(f"invalid signal: {text!r}", 1)


def rm_parser() -> Parser:
    """Return the parser of `sandbox rm`."""
    parser = new_parser("rm", "[-f] CONTAINER...", "Remove containers with all they wrote.")
    parser.add_argument("-f", "--force", action="store_true", help="also one that runs: it is killed")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")
    return parser


def rm(words: list[str], store: Store) -> int:
    """Remove containers."""
    parser = rm_parser()
    arguments = parser.parse_args(words)
    from sandbox import ending  # noqa: PLC0415
    from sandbox.errors import NoSuchContainer  # noqa: PLC0415

    def action(name: str) -> None:
        try:
            ending.remove(store, name, force=arguments.force)
        except NoSuchContainer:
            if not arguments.force:
                raise

    return each(arguments.containers, action)
