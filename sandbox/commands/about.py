"""`sandbox info` and `version`: what there is here, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import say_line
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from sandbox.state import Store

__all__ = ["info", "info_parser", "version", "version_parser"]


def info_parser() -> Parser:
    """Return the parser of `sandbox info`."""
    parser = new_parser("info", "[--format TEMPLATE]", "Show how many containers there are, and what this machine has.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.ContainersRunning}}', or json")
    return parser


def info(words: list[str], store: Store) -> int:
    """Show how many containers there are, and what this machine has."""
    parser = info_parser()
    arguments = parser.parse_args(words)
    from sandbox import about  # noqa: PLC0415

    _say(about.info(store), arguments.format)
    return 0


def version_parser() -> Parser:
    """Return the parser of `sandbox version`."""
    parser = new_parser("version", "[--format TEMPLATE]", "Show the versions of the sandbox, Python and the kernel.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.Version}}', or json")
    return parser


def version(words: list[str], _: Store) -> int:
    """Show the versions of the sandbox, Python and the kernel."""
    parser = version_parser()
    arguments = parser.parse_args(words)
    from sandbox import about  # noqa: PLC0415

    _say(about.version(), arguments.format)
    return 0


def _say(facts: dict[str, object], template: str) -> None:
    import json  # noqa: PLC0415

    from sandbox.template import render  # noqa: PLC0415

    if template == "json":
        say_line(json.dumps(facts))
    elif template:
        say_line(render(facts, template))
    else:
        for key, value in facts.items():
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            say_line(f"{key}: {said}" if said not in ("", None) else f"{key}:")
