"""What the sandbox's parser reads by itself is what argparse reads."""

from __future__ import annotations

from importlib import import_module
from random import Random

import pytest

from sandbox import cli
from sandbox.errors import SandboxError
from sandbox.full_parsing import full
from sandbox.parsing import REMAINDER, Arguments, Parser, new_parser, parse_up_to_program, read_plainly

PROGRAMS = ("run", "create", "exec")
CASES = 150


def parser_of(verb: str) -> Parser | None:
    """Return the parser of a verb as it reads its words; None for one that always leaves them to argparse."""
    module = import_module(f"sandbox.commands.{cli.VERBS[verb]}")
    parser = getattr(module, f"{verb}_parser")()
    if not isinstance(parser, Parser):
        return None
    if verb in PROGRAMS:
        parser.add_argument("command", nargs=REMAINDER)
    return parser


VERBS = [verb for verb in cli.VERBS if parser_of(verb)]


def some_words(parser: Parser, random: Random) -> list[str]:
    """Return words of a command line, most of which make sense."""
    names = [name for declared, _ in parser.declared for name in declared if name.startswith("-") and name != "--help"]
    names = names or ["-"]
    values = ["a", "7", "x=y", "", "-", "a b", *(word for _, how in parser.declared for word in how.get("choices", ()))]
    words: list[str] = []
    for _ in range(random.randrange(6)):
        name, value = random.choice(names), random.choice(values)
        forms = [[name], [name, value], [f"{name}={value}"], [value]]
        if not name.startswith("--"):
            letters = "".join(random.choice(names).strip("-")[:1] for _ in range(2))
            forms += [[name + value], [name + letters, value]]
        words += random.choice(forms)
    odd = [["--"], ["-1"], ["--nothing"], ["-"], ["--", "-x", "b"]]
    return words + random.choice([["c"], ["c", "-x", "d"], random.choices(values, k=2), [], *odd])


@pytest.mark.parametrize("verb", VERBS)
def test_it_reads_what_argparse_reads(verb: str) -> None:
    """Of any words that it takes, every value is argparse's; some of each verb it takes."""
    parser = parser_of(verb)
    assert parser is not None
    random = Random(verb)  # noqa: S311  not a secret
    taken = 0
    for _ in range(CASES):
        words = some_words(parser, random)
        found = read_plainly(parser, words, {})
        if found is not None:
            taken += 1
            assert found == vars(full(parser).parse_args(words, Arguments())), words
    assert taken > 0


@pytest.mark.parametrize(
    "line",
    [
        "run true",
        "run --rm --net none --rootfs / true",
        "run -it --rm -m 64m --rootfs / -- sh -c x",
        "run --rootfs / -- true",
        "create --name=web -p 80:80 busybox",
        "exec web ls -l",
        "ps",
        "ps -aq",
        "rm -f one two",
        "stop -t 1 web",
        "cp web:/a b",
    ],
)
def test_what_people_type_is_read_without_argparse(line: str) -> None:
    """A start has no time for the import of it."""
    verb, *words = line.split()
    parser = parser_of(verb)
    assert parser is not None
    assert read_plainly(parser, words, {}) is not None


def test_what_it_does_not_read_argparse_says() -> None:
    """A mistake is told in argparse's words, and a rare form is understood."""
    parser = parser_of("run")
    assert parser is not None
    assert read_plainly(parser, ["--cpu-quota", "-1", "true"], {}) is None
    assert parser.parse_args(["--cpu-quota", "-1", "true"]).cpu_quota == -1
    for words, message in (
        (["--nothing"], "unrecognized arguments: --nothing"),
        (["--env"], "argument -e/--env: expected one argument"),
        (["--cpu-quota", "x"], "argument --cpu-quota: invalid int value: 'x'"),
        (["--rm=yes"], "argument --rm: ignored explicit argument 'yes'"),
    ):
        with pytest.raises(SandboxError, match=message):
            parser.parse_args(words)


@pytest.mark.parametrize(("words", "code"), [(["a", "b"], 1), (["a", "b", "--no"], 1), (["a", "--no", "b"], 125)])
def test_operands_that_are_too_many(words: list[str], code: int) -> None:
    """They end with 1, as those that are missing do, and an option that nobody knows with 125: as with Docker."""
    parser = parser_of("diff")
    assert parser is not None
    with pytest.raises(SandboxError, match="unrecognized arguments") as refused:
        parser.parse_args(words)
    assert refused.value.exit_code == code


def test_what_is_known_stays_where_nothing_is_said() -> None:
    """A second command line adds to what a first one said."""
    parser = new_parser("x", "", "")
    parser.add_argument("-e", action="append", default=[])
    parser.add_argument("--name", default="")
    first = parser.parse_args(["-e", "A", "--name", "n"])
    assert vars(parse_up_to_program(parser, ["-eB", "--", "-z"], "rest", first)) == {
        "e": ["A", "B"], "name": "n", "rest": ["-z"],
    }  # fmt: skip
