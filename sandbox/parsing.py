"""What the command lines of all verbs share: errors of one line, --help, and options that end where a program begins.

A parser is told its arguments as argparse's is. What is plainly right it reads
by itself, as a start has no time for argparse and all that comes with it;
whatever else there is (--help, a mistake, a rare form) it leaves to argparse,
whose parser full_parsing.py makes of the same arguments.
"""

from __future__ import annotations

from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from sandbox.full_parsing import FullParser

__all__ = [
    "REMAINDER",
    "Arguments",
    "Parser",
    "boolean",
    "new_parser",
    "parse_up_to_program",
    "read_plainly",
    "wrong",
]

REMAINDER = "..."  # argparse.REMAINDER
MANY = 1 << 30
TRUE, FALSE = ("1", "t", "true"), ("0", "f", "false")  # as Go's strconv.ParseBool
# argparse's words for what is missing, and for a verb that does not exist.
MISSING = ("the following arguments are required", "argument COMMAND: invalid choice")
SURPLUS = "unrecognized arguments: "
FEWEST_AND_MOST = {None: (0, 0), "?": (0, 1), "*": (0, MANY), "+": (1, MANY), REMAINDER: (0, MANY)}


def boolean(text: str) -> bool:
    """Return what `true` or `false` means; ValueError for anything else."""
    if text.lower() not in TRUE + FALSE:
        raise ValueError(f"true or false, not {text!r}")
    return text.lower() in TRUE


def wrong(prog: str, message: str) -> SandboxError:
    """Return what is wrong with a command line, with Docker's exit code: 1 for a wrong number of operands, else 125."""
    too_many = message.startswith(SURPLUS) and not message[len(SURPLUS) :].startswith("-")
    code = 1 if too_many or message.startswith(("no ", *MISSING)) else 125
    return SandboxError(f"{message} (see {prog} --help)", code)


class Arguments:
    """What was given, by name."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the option's type is
            """Return the value of an option."""


class Parser:
    """A verb's arguments. `declared` is what add_argument() was told, for argparse's; `add_rare` adds more to that."""

    def __init__(self, prog: str, usage: str, description: str) -> None:
        self.prog, self.usage, self.description = prog, usage, description
        self.declared: list[tuple[tuple[str, ...], dict[str, Any]]] = []
        self.defaults: dict[str, Any] = {}
        self.add_rare: Callable[[FullParser], None] | None = None

    def add_argument(self, *names: str, **how: Any) -> None:  # noqa: ANN401  as argparse's
        """Add an argument, as argparse has it."""
        self.declared.append((names, how))

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Add options of Docker's that are refused by name, each with its reason; they are no part of the help."""
        self.add_rare = lambda parser: parser.refuse(reasons)

    def set_defaults(self, **values: object) -> None:
        """Set what arguments are that are not given."""
        self.defaults |= values

    def parse_args(self, words: list[str], known: Arguments | None = None) -> Arguments:
        """Return what the words say, and `known` where they say nothing; SandboxError when they are wrong."""
        arguments = known or Arguments()
        found = read_plainly(self, words, vars(arguments))
        if found is None:
            from sandbox.full_parsing import full  # noqa: PLC0415

            return full(self).parse_args(words, arguments)
        vars(arguments).update(found)
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise wrong(self.prog, message)


def new_parser(name: str, usage: str, text: str) -> Parser:
    """Return a parser that knows --help; -h is `run`'s host name."""
    parser = Parser(f"sandbox {name}", f"sandbox {name} {usage}", text)
    parser.add_argument("--help", action="help", help="show this message")
    return parser


def parse_up_to_program(
    parser: Parser, words: list[str], rest: str, known: Arguments | None = None
) -> Arguments:
    """Parse options up to the first word that is none; what follows belongs to the program in the container."""
    parser.add_argument(rest, nargs=REMAINDER)
    arguments = parser.parse_args(words, known)
    command = getattr(arguments, rest)
    if command and command[0] == "--":
        setattr(arguments, rest, command[1:])
    return arguments


def read_plainly(parser: Parser, words: list[str], known: dict[str, Any]) -> dict[str, Any] | None:
    """Return what plain words say, by name, beginning with what is known; None when argparse is to read them."""
    reader = _Reader(parser, known)
    try:
        reader.read(words)
    except _NotPlain:
        return None
    return reader.found


class _NotPlain(Exception):
    """Words that are left to argparse."""


class _Argument:
    """One argument of a parser."""

    def __init__(self, names: tuple[str, ...], how: dict[str, Any]) -> None:
        for name in names:
            if name.startswith("--"):
                break
        else:
            name = names[0]
        self.dest: str = how.get("dest") or (name.lstrip("-").replace("-", "_") if name[0] == "-" else name)
        self.action: str = how.get("action", "store")
        self.default = how.get("default", False if self.action == "store_true" else None)
        self.nargs: str | None = how.get("nargs")
        self.required: bool = how.get("required", False)
        self._type, self._choices = how.get("type", str), how.get("choices")

    def value(self, word: str) -> Any:  # noqa: ANN401  of the argument's type
        """Return what a word means."""
        try:
            found = self._type(word)
        except (TypeError, ValueError):
            raise _NotPlain from None
        if self._choices is not None and found not in self._choices:
            raise _NotPlain
        return found


def _truth(value: str | None) -> bool:
    """Return what a flag says: alone, or as Docker has it with `=true` or `=false`."""
    try:
        return value is None or boolean(value)
    except ValueError:
        raise _NotPlain from None


def _is_operand(word: str) -> bool:
    return not word.startswith("-") or word == "-"


class _Reader:
    """Reads words; `found` is what they say."""

    def __init__(self, parser: Parser, known: dict[str, Any]) -> None:
        self._options: dict[str, _Argument] = {}
        self._operands: list[_Argument] = []
        self._missing: set[str] = set()
        self.found: dict[str, Any] = {}
        for names, how in parser.declared:
            argument = _Argument(names, how)
            if names[0].startswith("-"):
                for name in names:
                    self._options[name] = argument
                if argument.required:
                    self._missing.add(argument.dest)
            else:
                self._operands.append(argument)
            if argument.action != "help":
                self.found.setdefault(argument.dest, argument.default)
        self.found |= parser.defaults | known

    def read(self, words: list[str]) -> None:
        """Read all words: options, and in one piece among them the operands."""
        operands: list[str] | None = None
        takes_rest = bool(self._operands) and self._operands[-1].nargs == REMAINDER
        at = 0
        while at < len(words):
            word = words[at]
            if _is_operand(word) or (word == "--" and takes_rest and len(self._operands) == 1):
                if operands is not None:
                    raise _NotPlain
                end = at
                while end < len(words) and (takes_rest or _is_operand(words[end])):
                    end += 1
                operands, at = words[at:end], end
            else:
                at = self._option(words, at)
        self._assign(operands or [])
        if self._missing:
            raise _NotPlain

    def _option(self, words: list[str], at: int) -> int:
        """Read the option, or the letters, at a place, with the value; returns where it goes on."""
        word = words[at]
        name, equals, value = word.partition("=")
        if name in self._options and (equals or word.startswith("--")):
            return self._take(self._options[name], value if equals else None, words, at)
        if word.startswith("--"):
            raise _NotPlain
        for place, letter in enumerate(word[1:], 2):
            option = self._options.get(f"-{letter}")
            if option is None:
                raise _NotPlain
            if option.action != "store_true":
                return self._take(option, word[place:] or None, words, at)
            self._take(option, None, words, at)
        return at + 1

    def _take(self, option: _Argument, value: str | None, words: list[str], at: int) -> int:
        """Keep an option, whose value is the next word when it is not given; returns where it goes on."""
        self._missing.discard(option.dest)
        if option.action == "store_true":
            self.found[option.dest] = _truth(value)
            return at + 1
        if option.action not in ("store", "append") or option.nargs:
            raise _NotPlain
        end = at + 1
        if value is None:
            if end == len(words) or not _is_operand(words[end]):
                raise _NotPlain
            value, end = words[end], end + 1
        meant = option.value(value)
        self.found[option.dest] = [*(self.found[option.dest] or ()), meant] if option.action == "append" else meant
        return end

    def _assign(self, words: list[str]) -> None:
        """Give the operands to the arguments, of which the last may take several or none."""
        several = self._operands[-1] if self._operands and self._operands[-1].nargs else None
        single = self._operands[:-1] if several else self._operands
        here, rest = words[: len(single)], words[len(single) :]
        if len(here) < len(single) or any(one.nargs for one in single) or not all(map(_is_operand, here)):
            raise _NotPlain
        if here and rest[:1] == ["--"]:  # which argparse takes for the end of what is before it
            raise _NotPlain
        for argument, word in zip(single, here, strict=True):
            self.found[argument.dest] = argument.value(word)
        fewest, most = FEWEST_AND_MOST[several.nargs if several else None]
        if not fewest <= len(rest) <= most:
            raise _NotPlain
        if several and several.nargs == "?":
            self.found[several.dest] = several.value(rest[0]) if rest else several.default
        elif several and (rest or several.default is None):
            self.found[several.dest] = [several.value(word) for word in rest]
