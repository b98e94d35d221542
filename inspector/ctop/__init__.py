"""`ctop`: containers, what they use and what they may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from inspector.command import be, ended, keep_live, leave, require_output
from inspector.garbage import uncollected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from inspector.ctop import options
    from inspector.ctop.sources import Source

__all__ = ["command", "main"]


def command() -> NoReturn:
    """Be the console script."""
    be(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ctop; return its exit code: 0, 1 when this machine cannot be read, 2 for a bad command line."""
    return ended("ctop", lambda: _run(argv))


def _is_terminal() -> bool:
    # stdin is None when its descriptor is closed.
    both = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    return both and os.environ.get("TERM", "dumb") != "dumb"


def _run(argv: Sequence[str] | None) -> int:
    require_output()
    with uncollected(lasting=True):
        from inspector.ctop import elsewhere, once, options  # noqa: PLC0415  an interrupt while importing is one too

        asked = options.parse(argv, terminal=_is_terminal())
        if asked.output == "live" or asked.where.is_threaded:
            leave(live=not asked.where.is_threaded)
        if asked.output == "live" and asked.config:
            asked = _with_saved(argv)
        # A name may hold what the terminal's encoding cannot say.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        opening = elsewhere.opened(asked)
    with opening as source:
        if asked.output == "jsonl":
            once.print_documents(source, asked, sys.stdout)
        elif asked.output == "record":
            once.record(source, asked)
        elif asked.output == "live" and _live(source, asked):
            return 0
        elif asked.lines != 1:
            once.print_table(source, asked, sys.stdout)
        else:
            with uncollected(lasting=True):
                (once.print_document if asked.output == "json" else once.print_table)(source, asked, sys.stdout)
        sys.stdout.flush()
    return 0


def _with_saved(argv: Sequence[str] | None) -> options.Options:
    """Return what was asked for, beside what the key S has saved. What is wrong in that file is one line."""
    from inspector.ctop import config, options  # noqa: PLC0415
    from inspector.views.text import safe  # noqa: PLC0415

    path = config.saved_path()
    saved, complaints = config.load(path) if path is not None else ({}, [])
    if complaints:
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        sys.stderr.write(f"ctop: {safe(complaints[0])}{more}\n")
    return options.parse(argv, terminal=True, saved=saved)


def _live(source: Source, asked: options.Options) -> bool:
    """Run the live view until the user quits; False when Textual is not installed."""
    try:
        from inspector.ctop.app import Ctop  # noqa: PLC0415  half a second, and only the live view needs it
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] not in ("textual", "rich"):
            raise
        sys.stderr.write(f"ctop: the live view needs the package {error.name.split('.')[0]}; this is ctop --once\n")
        return False
    app = Ctop(source, asked)
    keep_live()
    app.run()
    if app.failure is not None:
        raise app.failure
    if app.return_code:  # an error of the view itself, which Textual has shown
        raise SystemExit(app.return_code)
    return True
