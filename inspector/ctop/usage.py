"""argparse's parser of ctop's command line, and what --help says: for what inspector.plain does not read."""

from __future__ import annotations

import argparse
from functools import partial

from inspector.arguments import Parser, Version
from inspector.ctop.options import declare_all
from inspector.fields import FIELDS
from inspector.views.columns import COLUMNS, Column
from inspector.views.filters import FILTER_KEYS, FILTER_SYNTAX

__all__ = ["parser"]

COLUMNS_OF_HELP = 80

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


class _Parser(Parser):
    @property
    def epilog(self) -> str:
        """What --help ends with: made for who asks, as it takes all columns."""
        meaning = HELP.format(fields=len(FIELDS), columns="\n".join(map(_explained, COLUMNS)))
        return meaning + "\n" + FILTER_SYNTAX.format(keys=", ".join(FILTER_KEYS))

    @epilog.setter
    def epilog(self, _: str | None) -> None:  # argparse sets it when it begins
        pass


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
    declare_all(made)
    made.add_argument("--version", action=Version, nargs=0, help="show program's version number and exit")
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    return made
