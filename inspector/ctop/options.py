"""The command line of ctop: what was asked for, checked, or one line of complaint and exit code 2."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

from inspector.command import add_socket, wrong
from inspector.ctop.elsewhere import Where, declare, where_of
from inspector.kernel.named import NamedTuple
from inspector.plain import Plain
from inspector.views.filters import filter_of
from inspector.views.selection import SORTS, Selection, sort_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Any, NoReturn

    from inspector.views.columns import Column
    from inspector.views.scene import CpuMode, MemoryMode

__all__ = ["Options", "declare_all", "parse"]

SHORTEST, LONGEST = 0.1, 86400.0
SELDOM = 5.0  # for a Prometheus, which itself looks every some seconds


class Options(NamedTuple):
    """A command line that makes sense.

    `output` is live, once (table after table), json, jsonl or record (nothing is shown); `lines` is how many, None
    without end.
    """

    output: str
    delay: float
    lines: int | None
    selection: Selection
    columns: tuple[Column, ...]
    cpu: CpuMode
    processes: bool
    colour: bool
    socket: str | None = None
    memory: MemoryMode = "working-set"
    tree: bool = False
    header: bool = True
    unicode: bool = True
    config: bool = True
    where: Where = Where()
    readonly: bool = False


def _delay(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not SHORTEST <= value <= LONGEST:
        raise wrong(f"must be {SHORTEST:g} to {LONGEST:g} seconds, not {text!r}")
    return value


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**63):
        raise wrong(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _sort(text: str) -> str:
    try:
        sort_key(text)
    except KeyError:
        raise wrong(
            f"unknown field {text!r}; one of {' '.join(SORTS)}, or a field of the document such as memory.usage_bytes"
        ) from None
    return text


def _filter(text: str) -> str:
    if filter_of(text).problem is not None:
        raise wrong(f"bad pattern {filter_of(text).problem}")
    return text


def _columns(text: str) -> tuple[Column, ...]:
    from inspector.views.columns import COLUMNS, column  # noqa: PLC0415  only who asks for some

    chosen = []
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            chosen.append(column(name))
        except KeyError:
            raise wrong(
                f"unknown column {name!r}; some of {','.join(row.name for row in COLUMNS)},"
                " or fields of the document such as memory.usage_bytes"
            ) from None
    if not chosen:
        raise wrong("names no column")
    return tuple(dict.fromkeys(chosen))


def declare_all(made: ArgumentParser | Plain) -> None:
    """Declare all options but those that end ctop at once."""
    _declare_output(made)
    _declare_view(made)
    add_socket(made)
    declare(made)
    _declare_screen(made)


def _declare_output(made: ArgumentParser | Plain) -> None:
    """Declare what is printed, and when."""
    made.add_argument("--once", action="store_true", help="print one table and exit")
    made.add_argument("-b", dest="batch", action="store_true", help="print table after table, as top does")
    output = made.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_const", dest="output", const="json", help="print one JSON document")
    output.add_argument("--jsonl", action="store_const", dest="output", const="jsonl", help="print a document a line")
    made.add_argument("-n", dest="lines", metavar="N", type=_positive, help="stop after N tables, or documents")
    made.add_argument(
        "-d", dest="delay", metavar="SECONDS", type=_delay,
        help=f"time between two samples, at least {SHORTEST:g} (default 1; 5 with --prometheus)",
    )  # fmt: skip


def _declare_view(made: ArgumentParser | Plain) -> None:
    """Declare what is shown, and what its figures mean."""
    made.add_argument("-a", dest="every", action="store_true", help="also services and plain control groups")
    made.add_argument("-f", dest="words", metavar="FILTER", type=_filter, default="", help="only these (see below)")
    made.add_argument("-s", dest="sort", metavar="FIELD", type=_sort, default="cpu",
                        help=f"sort by one of {' '.join(SORTS).replace('%', '%%')}, or a field of the document")
    made.add_argument("-r", dest="reverse", action="store_true", help="reverse the order")
    made.add_argument("-o", dest="columns", metavar="COLS", type=_columns, default=(),
                        help="columns to show instead of those that fit (see below)")
    made.add_argument("--cpu", choices=("core", "limit", "host"), default="core", help="what CPU%% is a share of")
    made.add_argument("--mem", dest="memory", choices=("working-set", "usage", "anon", "fixed"),
                        default="working-set", help="what MEM is")
    made.add_argument("--tree", action="store_true", help="pods, containers in containers; with -a cgroups by path")
    made.add_argument("--processes", action="store_true", help="with the processes of each container")


def _declare_screen(made: ArgumentParser | Plain) -> None:
    """Declare how it looks, and what its keys may do."""
    made.add_argument("--no-color", "--no-colour", dest="colour", action="store_false", help="also by $NO_COLOR")
    made.add_argument("--no-unicode", dest="unicode", action="store_false",
                        help="draw in ASCII, as where the locale is not UTF-8")
    made.add_argument("--readonly", action="store_true", help="the keys that act on containers do nothing")
    made.add_argument("--no-config", dest="config", action="store_false",
                        help="leave out what the key S of the live view has saved")


def parse(argv: Sequence[str] | None, *, terminal: bool, saved: Mapping[str, object] | None = None) -> Options:
    """Return what was asked for. Without a `terminal` there is no live view but the table of --once.

    `saved` are settings (inspector.ctop.config) that stand where the command line says nothing.
    Exits with 2 and one line on stderr when the command line makes no sense.
    """
    given = _given(_with_times(sys.argv[1:] if argv is None else argv), saved or {})
    if given.once and given.output == "jsonl":
        _refuse("argument --jsonl: not allowed with argument --once")
    if given.batch and (given.once or given.output):
        _refuse("argument -b: not allowed with argument --once, --json or --jsonl")
    output = _output(given, terminal=terminal)
    if given.lines is not None and output == "json":
        _refuse("-n: --json prints one document, --jsonl one a line")
    where = where_of(_refuse, given)
    return Options(
        output=output,
        delay=given.delay or (SELDOM if where.prometheus else 1.0),
        lines=given.lines or (1 if output in ("once", "json") and not given.batch else None),
        selection=Selection(given.every, given.words, given.sort, given.reverse),
        columns=given.columns,
        cpu=given.cpu,
        processes=given.processes,
        colour=given.colour and terminal and not os.environ.get("NO_COLOR"),
        socket=given.socket,
        memory=given.memory,
        tree=given.tree,
        header=getattr(given, "header", True),
        unicode=given.unicode and output not in ("json", "jsonl") and _is_for_unicode(),
        config=given.config,
        where=where,
        readonly=given.readonly,
    )


def _given(words: list[str], saved: Mapping[str, object]) -> Any:  # noqa: ANN401  argparse's, or the like
    plain = Plain()
    declare_all(plain)
    found = None if saved else plain.read(words)
    if found is None:
        from inspector.ctop.usage import parser  # noqa: PLC0415

        command = parser()
        command.set_defaults(**saved)
        return command.parse_args(words)
    return found


def _refuse(message: str) -> NoReturn:
    from inspector.ctop.usage import parser  # noqa: PLC0415  as above

    parser().error(message)


def _with_times(argv: Sequence[str]) -> list[str]:
    """Return a command line in which "--at -5m" is one word: argparse would take the second for an option."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] == "--at" and word[:1] == "-" and word[1:2].isdigit():
            words[-1] = f"--at={word}"
        else:
            words.append(word)
    return words


def _output(given: Any, *, terminal: bool) -> str:  # noqa: ANN401  as above
    if given.output:
        return str(given.output)
    if given.once or given.batch:
        return "once"
    return "live" if terminal else "record" if given.record is not None else "once"


def _is_for_unicode() -> bool:
    """Tell whether both the locale and stdout have our characters."""
    import locale  # noqa: PLC0415  --json asks for none of that

    return _is_utf8(locale.getencoding()) and _is_utf8(getattr(sys.stdout, "encoding", None))


def _is_utf8(encoding: str | None) -> bool:
    """Tell whether an encoding has our characters; not knowing is no reason against them."""
    return encoding is None or encoding.lower().replace("-", "") == "utf8"
