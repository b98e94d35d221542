"""What the parsers of all verbs share: errors of one line, --help, and options that end where a program begins."""

from __future__ import annotations

import argparse
from typing import NoReturn

from sandbox.errors import SandboxError

__all__ = ["Arguments", "Parser", "new_parser", "parse_up_to_program"]

Arguments = argparse.Namespace


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and end with 125, as Docker's do."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise SandboxError(f"{message} (see {self.prog} --help)")


def new_parser(name: str, usage: str, text: str) -> Parser:
    """Return a parser that knows --help; -h is `run`'s host name."""
    parser = Parser(
        prog=f"sandbox {name}", usage=f"sandbox {name} {usage}", description=text, allow_abbrev=False, add_help=False
    )
    parser.add_argument("--help", action="help", help="show this message")
    return parser


def parse_up_to_program(
    parser: Parser, words: list[str], rest: str, known: Arguments | None = None
) -> Arguments:
    """Parse options up to the first word that is none; what follows belongs to the program in the container."""
    parser.add_argument(rest, nargs=argparse.REMAINDER)
    arguments = parser.parse_args(words, known)
    command = getattr(arguments, rest)
    if command and command[0] == "--":
        setattr(arguments, rest, command[1:])
    return arguments
