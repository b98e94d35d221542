"""What absence means, decided in this one place.

- ENOENT, ESRCH, ENODEV: the process or cgroup is gone, or this kernel has no
  such file: no value.
- EACCES, EPERM: no value, and the subject is counted as denied, so that a
  view can say how much is hidden.
- EMFILE, ENFILE, ENOMEM: we lack what it takes to look, which says nothing of
  what is there. A figure is unknown then; who is there is not (Strict).
- A parse error is a bug or a hostile file: kept in `problems`, never fatal.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from inspector.errors import SHORTAGE, ParseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

__all__ = ["Absence", "Strict"]

DENIED = (errno.EACCES, errno.EPERM)
ABSENT = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EOPNOTSUPP, errno.ENOTDIR, errno.EINVAL)
MOST_PROBLEMS = 100
LONGEST_PROBLEM = 500  # characters; a path alone can have 4,096
UNPRINTABLE = r"[^ -~]"


class Absence:
    """Turns failed reads into None, and keeps account of them for one tick."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.denied: set[str] = set()

    def begin(self) -> None:
        """Forget the last tick's account."""
        self.problems.clear()
        self.denied.clear()

    @property
    def denied_files(self) -> int:
        """How many of what was denied are no processes: a runtime's files, cgroups."""
        return sum(not subject.startswith("process ") for subject in self.denied)

    def attempt(self, subject: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `read(*args)` returns, or None where it is absent; `subject` is who is missing then."""
        try:
            return read(*args, **kwargs)
        except (ParseError, OSError) as error:
            self.account(subject, error)
            return None

    def account(self, subject: str, error: ParseError | OSError) -> None:
        """Decide what one failed read means, by the rules at the top of this file."""
        if isinstance(error, ParseError):
            self.problem(f"{subject}: {error}")
        elif error.errno in DENIED:
            self.denied.add(subject)
        elif error.errno not in ABSENT:
            self.problem(f"{subject}: {error}")

    def problem(self, text: str) -> None:
        """Keep what has to be told of this tick."""
        # A file and the path to it can be hostile text: what is kept is printable ASCII.
        if len(self.problems) < MOST_PROBLEMS:
            import re  # noqa: PLC0415  most looks have no problem to tell of

            shown = re.sub(UNPRINTABLE, lambda found: ascii(found[0])[1:-1], text)
            shown = shown if len(shown) <= LONGEST_PROBLEM else f"{shown[: LONGEST_PROBLEM - 3]}..."
            if shown not in self.problems:  # one file may be asked for many
                self.problems.append(shown)


class Strict(Absence):
    """Keeps the account of another, for who lists what there is: where we cannot look, that is no empty machine.

    Not for files that others write or serve, who could end every look so.
    """

    def __init__(self, other: Absence) -> None:
        self.problems, self.denied = other.problems, other.denied

    def account(self, subject: str, error: ParseError | OSError) -> None:
        """Decide what one failed read means; raise the error where it is a shortage of ours."""
        if isinstance(error, OSError) and error.errno in SHORTAGE:
            raise error
        super().account(subject, error)
