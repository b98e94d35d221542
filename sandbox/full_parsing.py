"""argparse's parsers of the verbs: for --help, for what is wrong or rare in a command line, and for the manuals."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping
from typing import Any, NoReturn

from sandbox.parsing import Parser, boolean, new_parser, wrong

__all__ = ["FullParser", "full", "new_full_parser"]

NOTHING = "--\0"  # the option that a flag with `=false` is


class FullParser(argparse.ArgumentParser):
    """An ArgumentParser with Docker's habits: errors of one line, and flags as `--flag=true`, `--flag=false`."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise wrong(self.prog, message)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Add options that are refused by name, each with its reason; they are no part of the help."""
        from sandbox.commands.rare_options import refuse  # noqa: PLC0415

        refuse(self, reasons)

    def print_help(self, _: Any = None) -> None:  # noqa: ANN401  whatever can be written to
        """Print the help; SandboxError when nobody can read it."""
        from sandbox.commands.output import say_line  # noqa: PLC0415

        say_line(self.format_help().rstrip("\n"))

    def _parse_optional(self, arg_string: str) -> Any:  # noqa: ANN401  argparse's own, which differs by version
        name, equals, value = arg_string.partition("=")
        if equals and isinstance(self._option_string_actions.get(name), argparse._StoreTrueAction):  # noqa: SLF001
            with contextlib.suppress(ValueError):
                return super()._parse_optional(name if boolean(value) else NOTHING)
        return super()._parse_optional(arg_string)


def full(parser: Parser) -> FullParser:
    """Return argparse's parser of the same arguments."""
    made = FullParser(
        prog=parser.prog, usage=parser.usage, description=parser.description, allow_abbrev=False, add_help=False
    )
    for names, how in parser.declared:
        made.add_argument(*names, **how)
    if parser.add_rare is not None:
        parser.add_rare(made)
    made.add_argument(NOTHING, action="store_true", dest=argparse.SUPPRESS, help=argparse.SUPPRESS)
    made.set_defaults(**parser.defaults)
    return made


def new_full_parser(name: str, usage: str, text: str) -> FullParser:
    """Return a parser for a verb that has verbs of its own, or operands anywhere."""
    return full(new_parser(name, usage, text))
