"""What a failed read means."""

from __future__ import annotations

import errno

import pytest

from inspector.absence import MOST_PROBLEMS, Absence
from inspector.errors import ParseError


def fail(error: Exception) -> None:
    """Raise an error, as a reader would."""
    raise error


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EOPNOTSUPP])
def test_gone_is_silence(code: int) -> None:
    """What is gone has no value, is nobody's fault and hides nothing."""
    absence = Absence()
    assert absence.attempt("process 7", fail, OSError(code, "x")) is None
    assert (absence.problems, absence.denied) == ([], set())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_refusals_are_counted_by_subject(code: int) -> None:
    """A subject that refuses two reads is counted once, and is no problem."""
    absence = Absence()
    absence.attempt("process 7", fail, OSError(code, "x"))
    absence.attempt("process 7", fail, OSError(code, "x"))
    assert (absence.problems, absence.denied) == ([], {"process 7"})


@pytest.mark.parametrize("error", [ParseError("cpu.max", b"\x1b[31m\xff"), OSError(errno.EIO, "x", "/sys/\x1b\n")])
def test_problems_are_printable_ascii(error: Exception) -> None:
    """A problem keeps its text without a control character or anything beyond ASCII, whatever path it is about."""
    absence = Absence()
    absence.attempt("/sys/\x1b]0;title\x07\udcff\u202e", fail, error)
    (text,) = absence.problems
    assert text.isascii()
    assert text.isprintable()
    assert text.startswith(r"/sys/\x1b]0;title\x07\udcff\u202e: ")


def test_problems_end_somewhere() -> None:
    """A machine full of garbage does not fill the memory with complaints."""
    absence = Absence()
    for number in range(MOST_PROBLEMS + 5):
        absence.attempt("x", fail, ParseError("x", b"%d" % number))
    assert len(absence.problems) == MOST_PROBLEMS


def test_a_problem_is_short() -> None:
    """A path of 4,096 bytes is cut, with what it is about at its beginning and a sign that it was cut."""
    absence = Absence()
    absence.attempt("process 7", fail, OSError(errno.EIO, "Input/output error", "/" + "x" * 4095))
    (problem,) = absence.problems
    assert problem.startswith("process 7: ")
    assert problem.endswith("xxx...")
    assert len(problem) == 500


def test_a_bug_is_not_absence() -> None:
    """An error that is neither a system call's nor a parser's is raised."""
    with pytest.raises(ZeroDivisionError):
        Absence().attempt("x", fail, ZeroDivisionError())


def test_a_tick_begins_with_nothing() -> None:
    """The account of the last tick is forgotten."""
    absence = Absence()
    absence.attempt("x", fail, OSError(errno.EACCES, "x"))
    absence.attempt("x", fail, ParseError("x", b""))
    absence.begin()
    assert (absence.problems, absence.denied) == ([], set())
