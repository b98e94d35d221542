"""argparse's parsers of the verbs: for --help, for what is wrong or rare in a command line, and for the manuals."""

from __future__ import annotations

import argparse
from typing import NoReturn

from sandbox.errors import SandboxError
from sandbox.parsing import Parser, new_parser

__all__ = ["FullParser", "full", "new_full_parser"]


class FullParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and end with 125, as Docker's do."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise SandboxError(f"{message} (see {self.prog} --help)")


def full(parser: Parser) -> FullParser:
    """Return argparse's parser of the same arguments."""
    made = FullParser(
        prog=parser.prog, usage=parser.usage, description=parser.description, allow_abbrev=False, add_help=False
    )
    for names, how in parser.declared:
        made.add_argument(*names, **how)
    made.set_defaults(**parser.defaults)
    return made


def new_full_parser(name: str, usage: str, text: str) -> FullParser:
    """Return a parser for a verb that has verbs of its own, or operands anywhere."""
    return full(new_parser(name, usage, text))
