"""argparse's parser of the commands' arguments: for --help, and for all that is not plain (inspector.plain)."""

from __future__ import annotations

import argparse
import sys

from inspector.command import require_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["Parser", "Version"]


class Parser(argparse.ArgumentParser):
    """argparse's, but for what is wrong and for what cannot be written."""

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong; argparse would print its usage too."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401  what argparse takes
        if file is not None and file is sys.stdout:
            file.write(message)  # argparse would not tell that the disk is full, from Python 3.12 on
        else:
            super()._print_message(message, file)


class Version(argparse.Action):
    """Print the command's name and the installed version, and exit.

    The version is looked up only when asked for, as that takes longer than a sample.
    """

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Do it (argparse.Action)."""
        require_output()
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            found = version("cgscope")
        except PackageNotFoundError:
            found = "not installed"
        sys.stdout.write(f"{parser.prog} {found}\n")
        parser.exit()
