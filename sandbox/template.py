"""Go's text/template, as far as Docker's users need it for `--format`: a value and a template make a text; pure.

Actions are fields, pipelines, `if`, `range`, `with` and variables (https://pkg.go.dev/text/template); what functions
there are stands in template_functions.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sandbox.document import table
from sandbox.errors import SandboxError
from sandbox.template_functions import FUNCTIONS, NilList, NilMap, json_of, text_of

__all__ = ["check", "listing", "render"]

ACTION = re.compile(r"\{\{(-(?=\s))?(.*?)(?<=\s)?(-)?\}\}", re.DOTALL)
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|:=|[()|,]|\$\w*|(?:\.\w+)+|\.|-?\d+|\w+|\S')
LONGEST = 60
OMITTED = {"Health": None, "Healthcheck": None, "StopSignal": "", "StopTimeout": None}  # there only where there is one
# What is null in a document and a list or a map to Docker, whose templates know types: `join` and `len` take it.
LISTS = (
    "Cmd", "DeviceCgroupRules", "DeviceRequests", "Entrypoint", "Env", "ExecIDs", "ExtraHosts", "Links", "OnBuild",
    "SecondaryIPAddresses", "SecondaryIPv6Addresses", "SecurityOpt", "VolumesFrom",
)  # fmt: skip
MAPS = ("DriverOpts", "ExposedPorts", "Labels", "Options", "Volumes")
NAMED_BY_PEOPLE = ("Labels", "Attributes")  # in these, what is not there is no mistake of the template


class _Scope(NamedTuple):
    """What an action sees: the value that the dot is, and variables by name."""

    dot: Any
    variables: dict[str, Any]


class _NoValue(str):
    """What a key is that nobody has given: `<no value>`, and not true."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


Expression = Callable[[_Scope], Any]
Node = Callable[[_Scope], str]


def render(value: Any, template: str) -> str:  # noqa: ANN401  whatever JSON holds; functions in it can be called
    """Fill in a template; SandboxError for one that is wrong, or names what is not there."""
    nodes = _parsed(template)
    try:
        return _run(nodes, _Scope(value, {"$": value}))
    except (TypeError, ValueError, LookupError) as error:
        raise _wrong(str(error)) from None


def check(template: str) -> None:
    """Raise SandboxError for a template that is wrong whatever it is filled in with."""
    _parsed(template)


def _parsed(template: str) -> list[Node]:
    try:
        return _Blocks(template).until()[0]
    except RecursionError:
        raise _wrong("nested too deeply") from None


def listing(rows: Sequence[Mapping[str, Any]], template: str, titles: Mapping[str, str], usual: str = "") -> str:
    """Return the lines of a format: `table ...` has a header and columns, `json` an object a line.

    `usual` is what `table` alone means, and no format. A wrong template is told of even where there are no rows.
    """
    if template in ("json", "{{json .}}"):
        return "\n".join(json_of({name: row[name] for name in titles}) for row in rows)
    template = usual if template in ("", "table") else template
    template = template.replace("\\t", "\t").replace("\\n", "\n")
    text = template.removeprefix("table ")
    lines = [render(row, text) for row in rows]
    if text == template and rows:
        return "\n".join(lines)
    header = render({"Label": str, **titles}, text)
    return table([line.split("\t") for line in (header, *lines)]) if text != template else ""


def _wrong(text: str) -> SandboxError:
    return SandboxError(f"--format: {text}", 1)


def _run(nodes: list[Node], scope: _Scope) -> str:
    return "".join(node(scope) for node in nodes)


class _Blocks:
    """Takes a template apart: text and actions, some of which have others between themselves and their end."""

    def __init__(self, template: str) -> None:
        self._pieces = iter(list(self._split(template)))

    @staticmethod
    def _split(template: str) -> Iterator[tuple[bool, str]]:
        """Yield whether it is an action, and the text of each piece; a dash beside a brace eats blanks."""
        position, trimmed = 0, False
        for match in ACTION.finditer(template):
            text = template[position : match.start()]
            text = text.lstrip() if trimmed else text
            yield False, text.rstrip() if match[1] else text
            yield True, match[2].strip()
            position, trimmed = match.end(), bool(match[3])
        rest = template[position:]
        yield False, rest.lstrip() if trimmed else rest
        if "{{" in rest:
            raise _wrong("an action is not closed")

    def until(self, *ends: str) -> tuple[list[Node], str]:
        """Return what there is up to an action that begins with one of these words, and that."""
        nodes: list[Node] = []
        for is_action, text in self._pieces:
            word = text.partition(" ")[0] if is_action else ""
            if word in ends:
                return nodes, text
            if not is_action:
                nodes.append(lambda _, text=text: text)  # type: ignore[misc]
            elif word in ("if", "range", "with"):
                nodes.append(self._block(word, text[len(word) :]))
            elif word in ("else", "end"):
                raise _wrong(f"unexpected {{{{{word}}}}}")
            elif not text.startswith("/*"):
                nodes.append(_action(text))
        if ends:
            raise _wrong("an end is missing")
        return nodes, ""

    def _block(self, kind: str, text: str) -> Node:
        names, expression = _Words(text).declaration()
        body, end = self.until("else", "end")
        other: list[Node] = []
        if end.startswith("else if "):
            other = [self._block("if", end.removeprefix("else if "))]
        elif end == "else":
            other, _ = self.until("end")

        def node(scope: _Scope) -> str:
            value = expression(scope)
            if not value:
                return _run(other, scope)
            if kind == "range":
                return "".join(_run(body, each) for each in _steps(value, names, scope))
            variables = {**scope.variables, **dict.fromkeys(names, value)}
            return _run(body, _Scope(value if kind == "with" else scope.dot, variables))

        return node


def _steps(value: Any, names: list[str], scope: _Scope) -> Iterator[_Scope]:  # noqa: ANN401  whatever JSON holds
    for key, each in sorted(value.items()) if isinstance(value, dict) else enumerate(value):
        told = (key, each) if len(names) > 1 else (each,)
        yield _Scope(each, {**scope.variables, **dict(zip(names, told, strict=False))})


def _action(text: str) -> Node:
    names, expression = _Words(text).declaration()

    def node(scope: _Scope) -> str:
        value = expression(scope)
        scope.variables.update(dict.fromkeys(names, value))
        return "" if names else text_of(value)

    return node


class _Words:
    """Reads the words of one action."""

    def __init__(self, text: str) -> None:
        self._tokens = list(TOKEN.finditer(text))
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def declaration(self) -> tuple[list[str], Expression]:
        """Return the variables that are set (`$a, $b :=`), and to what."""
        names: list[str] = []
        if any(token[0] == ":=" for token in self._tokens):
            while (word := self._next()) != ":=":
                names += [word] if word != "," else []
        expression = self._pipeline()
        if self._peek():
            raise _wrong(f"unexpected {self._peek()!r}")
        return names, expression

    def _pipeline(self) -> Expression:
        value = self._command(None)
        while self._peek() == "|":
            self._next()
            value = self._command(value)
        return value

    def _command(self, before: Expression | None) -> Expression:
        """Read a function or a value with what it is given; what comes by the pipe is given last."""
        word = self._peek()
        head = self._operand()
        given: list[Expression] = []
        while self._peek() not in ("", "|", ")"):
            given.append(self._operand())
        given += [before] if before else []

        def command(scope: _Scope) -> Any:  # noqa: ANN401  whatever JSON holds
            function = head(scope)
            return _call(word, function, [each(scope) for each in given]) if given or callable(function) else function

        return command

    def _operand(self) -> Expression:
        word = self._next() if self._peek() else ""
        if word == "(":
            base = self._pipeline()
            if self._peek() != ")":
                raise _wrong("a parenthesis is not closed")
            self._next()
        elif word.startswith("$"):
            base = lambda scope: _variable(scope, word)  # noqa: E731
        elif word.startswith("."):
            return lambda scope: _field(scope.dot, word)
        elif word in FUNCTIONS:
            return lambda _: FUNCTIONS[word]
        else:
            return _literal(word)
        if self._peek().startswith(".") and self._tokens[self._at].start() == self._tokens[self._at - 1].end():
            path = self._next()
            return lambda scope: _field(base(scope), path)
        return base


def _call(word: str, function: Any, given: list[Any]) -> Any:  # noqa: ANN401  whatever JSON holds
    """Call what stands at the head of a command; SandboxError where it is no function, or takes no such arguments."""
    if not callable(function):
        raise _wrong(f"{word} is no function: it takes no argument")
    try:
        return function(*given)
    except (TypeError, AttributeError):
        shown = ", ".join(map(text_of, given)) or "nothing"
        raise _wrong(
            f"{word} does not take {shown if len(shown) < LONGEST else f'{len(given)} such arguments'}"
        ) from None
    except (ArithmeticError, MemoryError):
        raise _wrong(f"{word}: the result is too large") from None


def _variable(scope: _Scope, word: str) -> Any:  # noqa: ANN401  whatever JSON holds
    if word not in scope.variables:
        raise _wrong(f"undefined variable {word}")
    return scope.variables[word]


def _literal(word: str) -> Expression:
    if word in ('"', "`"):
        raise _wrong("a quote is not closed")
    try:
        value = word[1:-1] if word.startswith("`") else None if word == "nil" else json.loads(word)
    except ValueError:
        raise _wrong(f"function {word!r} not defined" if word else "a value is missing") from None
    return lambda _: value


def _field(value: Any, path: str) -> Any:  # noqa: ANN401  whatever JSON holds
    before = ""
    for key in filter(None, path.split(".")):
        if isinstance(value, dict) and (key in value or key in OMITTED):
            value, before = value.get(key, OMITTED.get(key)), key
            if value is None and key in (*LISTS, *MAPS):
                value = NilList() if key in LISTS else NilMap()
        elif before in NAMED_BY_PEOPLE and (value is None or isinstance(value, dict)):
            return _NoValue("<no value>")
        else:
            raise _wrong(f"no such key: {path}")
    return value
