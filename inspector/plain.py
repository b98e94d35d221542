"""Reads a command line of plain words, as nearly all are: argparse takes longer to import than to look once.

It is told the arguments as argparse's parser is. All that is not plain it leaves to that: --help, what is wrong, what
is given twice or abbreviated, values behind "=" or beginning with "-".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

__all__ = ["Given", "Plain"]

FLAGS = {"store_true": True, "store_false": False}


class Given:
    """What was given, by name."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401  of the option's type
            """Return the value of an option."""


class Plain:
    """The options of a command: no operands."""

    def __init__(self) -> None:
        self._options: dict[str, tuple[str, dict[str, Any]]] = {}
        self._found: dict[str, Any] = {}

    def add_argument(self, *names: str, **how: Any) -> None:  # noqa: ANN401  as argparse's
        """Add an option, as argparse has it."""
        name = how.get("dest") or next(name for name in names if name.startswith("--"))[2:].replace("-", "_")
        flag = FLAGS.get(how.get("action", ""))
        self._found.setdefault(name, how.get("default", None if flag is None else not flag))
        for option in names:
            self._options[option] = name, how

    def add_group(self, *_: str) -> Self:
        """Return what takes the options of a group: of those that exclude each other all are the same value's here."""
        return self

    add_argument_group = add_mutually_exclusive_group = add_group

    def read(self, words: Iterable[str]) -> Given | None:
        """Return what the words say; None where argparse is to read them."""
        given: dict[str, Any] = {}
        left = iter(words)
        for word in left:
            name, how = self._options.get(word, ("", {}))
            if not name or name in given or "nargs" in how:
                return None
            action = how.get("action", "store")
            if action == "store":
                value = next(left, "-")
                if value.startswith("-") or value not in how.get("choices", (value,)):
                    return None
                try:
                    given[name] = how.get("type", str)(value)
                except Exception:  # noqa: BLE001  argparse says what is wrong with it
                    return None
            else:
                given[name] = how["const"] if action == "store_const" else FLAGS[action]
        made = Given()
        vars(made).update(self._found | given)
        return made
