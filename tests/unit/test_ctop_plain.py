"""Command lines of ctop that are read without argparse say what they say with it."""

from __future__ import annotations

import sys

import pytest

from inspector.ctop.options import declare_all, parse
from inspector.plain import Plain

PLAIN = (
    "",
    "--once",
    "--once --json -d 0.2",
    "--jsonl -n 3 -a -r",
    "-b -n 2 --tree --processes",
    "--once -f web|db -s mem --cpu limit --mem anon",
    "--once -o name,cpu -p 1,22 --no-color --no-unicode --readonly --no-config",
    "--once --replay FILE --at 12:30",
    "--json --connect https://node:1 --ca FILE --insecure",
    "--record FILE --json",
    "-u 0 --once",
)
NOT_PLAIN = (
    "--help", "--version", "-h", "--once --once", "--json --jsonl", "--json --json", "-d", "-d x", "-d -1", "-d=1",
    "-ar", "-d0.2", "--cpu=limit", "--cpu all", "-s nothing", "-o nothing", "-f /(/", "--socket", "--socket /run/x",
    "--onc", "web", "--", "-n 0", "-p x", "--at -5m",
)  # fmt: skip


def plain() -> Plain:
    """Return what reads the plain ones."""
    made = Plain()
    declare_all(made)
    return made


@pytest.mark.parametrize("line", PLAIN)
@pytest.mark.parametrize("terminal", [False, True])
def test_plain_words(monkeypatch: pytest.MonkeyPatch, line: str, *, terminal: bool) -> None:
    """All options of argparse's answer are the same, those that were not given as well."""
    assert plain().read(line.split()) is not None
    told = parse(line.split(), terminal=terminal)
    monkeypatch.setattr(Plain, "read", lambda *_: None)
    assert parse(line.split(), terminal=terminal) == told


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_words_that_are_not(line: str) -> None:
    """Whatever is rare or wrong is left to argparse."""
    assert plain().read(line.split()) is None


def test_a_mistake_that_only_all_of_them_make(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain words that do not go together are one line, as what argparse finds wrong is."""
    for line in ("--once --jsonl", "-b --json", "--json -n 2", "--at 12:30", "--ca FILE"):
        with pytest.raises(SystemExit) as ended:
            parse(line.split(), terminal=False)
        said = capsys.readouterr().err
        assert (ended.value.code, said.count("\n"), said[:6]) == (2, 1, "ctop: "), line
    assert "argparse" in sys.modules
