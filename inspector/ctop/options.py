"""The command line of ctop: what was asked for, checked, or one line of complaint and exit code 2."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from inspector.command import Parser, Version, add_socket
from inspector.ctop.elsewhere import Where, declare, where_of
from inspector.fields import FIELDS
from inspector.kernel.named import NamedTuple
from inspector.views.filters import FILTER_KEYS, FILTER_SYNTAX, filter_of
from inspector.views.scene import CpuMode, MemoryMode
from inspector.views.selection import SORTS, Selection, sort_key

if TYPE_CHECKING:
    from inspector.views.columns import Column

__all__ = ["Options", "parse", "parser"]

SHORTEST, LONGEST = 0.1, 86400.0
COLUMNS_OF_HELP = 80
SELDOM = 5.0  # for a Prometheus, which itself looks every some seconds

HELP = """\
What the figures mean:
  CPU%       CPU time used between two samples, as a share of one core (--cpu
             core, the default and what docker and top say: 200% is two cores
             busy), of the effective limit (--cpu limit) or of all the host's
             CPUs (--cpu host).
  LIMIT      effective CPU limit in cores: the least of quota and cpuset, the
             container's own and all its ancestors'. ^ marks a limit that an
             ancestor sets. "none": no limit; "-": not known.
  THROTTLED  share of the quota's periods in which it was made to wait; ^ by an
             ancestor's quota.
  MEM        working set: memory used less inactive page cache (docker,
             kubelet), beside the effective limit, the least of the container's
             own and its ancestors'. --mem usage is with all page cache, anon
             heaps and stacks alone, fixed what cannot be reclaimed: the
             distance to an OOM kill.
  PIDS       tasks: processes and their threads.

COLS are names separated by commas (* always shown, + where there is room), or
any of the {fields} fields of the document, such as memory.usage_bytes:
{columns}

"""


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


class _Parser(Parser):
    @property
    def epilog(self) -> str:
        """What --help ends with: made for who asks, as it takes all columns."""
        from inspector.views.columns import COLUMNS  # noqa: PLC0415

        meaning = HELP.format(fields=len(FIELDS), columns="\n".join(map(_explained, COLUMNS)))
        return meaning + "\n" + FILTER_SYNTAX.format(keys=", ".join(FILTER_KEYS))

    @epilog.setter
    def epilog(self, _: str | None) -> None:  # argparse sets it when it begins
        pass


def _delay(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not SHORTEST <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"must be {SHORTEST:g} to {LONGEST:g} seconds, not {text!r}")
    return value


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**63):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _sort(text: str) -> str:
    try:
        sort_key(text)
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"unknown field {text!r}; one of {' '.join(SORTS)}, or a field of the document such as memory.usage_bytes"
        ) from None
    return text


def _filter(text: str) -> str:
    if filter_of(text).problem is not None:
        raise argparse.ArgumentTypeError(f"bad pattern {filter_of(text).problem}")
    return text


def _columns(text: str) -> tuple[Column, ...]:
    from inspector.views.columns import COLUMNS, column  # noqa: PLC0415  only who asks for some

    chosen = []
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        try:
            chosen.append(column(name))
        except KeyError:
            raise argparse.ArgumentTypeError(
                f"unknown column {name!r}; some of {','.join(row.name for row in COLUMNS)},"
                " or fields of the document such as memory.usage_bytes"
            ) from None
    if not chosen:
        raise argparse.ArgumentTypeError("names no column")
    return tuple(dict.fromkeys(chosen))


def _explained(row: Column) -> str:
    mark = " " if row.level is None else "+" if row.level else "*"
    return f"  {row.name:<9}{mark} {row.help}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = _Parser(
        prog="ctop",
        description="Containers: what they use and what they may use, from the kernel's own files.\n"
        "Without --once, --json or --jsonl a live view; ? there lists its keys.",
        # Each argument makes one, which would ask for the terminal's width; --help is by the one below.
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=COLUMNS_OF_HELP),
        allow_abbrev=False,
    )
    _declare_output(made)
    _declare_view(made)
    add_socket(made)
    declare(made)
    _declare_screen(made)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    return made


def _declare_output(made: argparse.ArgumentParser) -> None:
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


def _declare_view(made: argparse.ArgumentParser) -> None:
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


def _declare_screen(made: argparse.ArgumentParser) -> None:
    """Declare how it looks, and what its keys may do."""
    made.add_argument("--no-color", "--no-colour", dest="colour", action="store_false", help="also by $NO_COLOR")
    made.add_argument("--no-unicode", dest="unicode", action="store_false",
                        help="draw in ASCII, as where the locale is not UTF-8")
    made.add_argument("--readonly", action="store_true", help="the keys that act on containers do nothing")
    made.add_argument("--no-config", dest="config", action="store_false",
                        help="leave out what the key S of the live view has saved")
    made.add_argument("--version", action=Version, nargs=0, help="show program's version number and exit")


def parse(argv: Sequence[str] | None, *, terminal: bool, saved: Mapping[str, object] | None = None) -> Options:
    """Return what was asked for. Without a `terminal` there is no live view but the table of --once.

    `saved` are settings (inspector.ctop.config) that stand where the command line says nothing.
    Exits with 2 and one line on stderr when the command line makes no sense.
    """
    command = parser()
    command.set_defaults(**{"header": True, **(saved or {})})
    given = command.parse_args(_with_times(sys.argv[1:] if argv is None else argv))
    if given.once and given.output == "jsonl":
        command.error("argument --jsonl: not allowed with argument --once")
    if given.batch and (given.once or given.output):
        command.error("argument -b: not allowed with argument --once, --json or --jsonl")
    output = _output(given, terminal=terminal)
    if given.lines is not None and output == "json":
        command.error("-n: --json prints one document, --jsonl one a line")
    where = where_of(command, given)
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
        header=given.header,
        unicode=given.unicode and output not in ("json", "jsonl") and _is_for_unicode(),
        config=given.config,
        where=where,
        readonly=given.readonly,
    )


def _with_times(argv: Sequence[str]) -> list[str]:
    """Return a command line in which "--at -5m" is one word: argparse would take the second for an option."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] == "--at" and word[:1] == "-" and word[1:2].isdigit():
            words[-1] = f"--at={word}"
        else:
            words.append(word)
    return words


def _output(given: argparse.Namespace, *, terminal: bool) -> str:
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
