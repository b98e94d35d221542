"""The ends of the `sandbox` command itself: what it printed is out before its process ends at once."""

from __future__ import annotations

import subprocess

import pytest

from tests.testbed.commands import REPOSITORY, SANDBOX, run

SHELL = ["sh", "-c", 'exec "$@" >"$0"']


def test_all_of_a_long_text_arrives() -> None:
    """What is still in Python's buffer when a verb ends is written."""
    done = subprocess.run([*SANDBOX, "--help"], stdout=subprocess.PIPE, check=True, cwd=REPOSITORY, text=True)
    assert done.stdout.endswith("without root in $XDG_DATA_HOME/cgscope.\n")


def test_a_full_standard_output_is_one_line_and_an_error() -> None:
    """On a full disk the text is lost, and the exit code says so."""
    done = run([*SHELL, "/dev/full", *SANDBOX, "--help"], check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_traceback(closed: str) -> None:
    """Whoever closes its streams is told nothing, and the exit code is the same."""
    done = run(["sh", "-c", f'"$@" {closed}', "sh", *SANDBOX, "--help"], check=False)
    assert (done.returncode, done.stderr) == (0, "")
