"""`--version` of the inspector's commands: looked up only when asked for, as that takes longer than a sample."""

from __future__ import annotations

import argparse

__all__ = ["Version"]


class Version(argparse.Action):
    """Print the command's name and the installed version, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Do it (argparse.Action)."""
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            found = version("cgscope")
        except PackageNotFoundError:
            found = "not installed"
        parser.exit(message=f"{parser.prog} {found}\n")
