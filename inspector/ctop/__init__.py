"""`ctop`: containers, what they use and what they may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ctop; return its exit code: 0, 1 when this machine cannot be read, 2 for a bad command line."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `ctop --once | head -1`: the reader has what it wants. Python would
        # complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        sys.stderr.write(f"ctop: {error.strerror}: {error.filename!r}\n")
        return 1


def _run(argv: Sequence[str] | None) -> int:
    from inspector.ctop import once, options, source  # noqa: PLC0415  an interrupt while importing is an interrupt too

    asked = options.parse(argv, terminal=sys.stdout.isatty() and sys.stdin.isatty())
    # A name may hold what the terminal's encoding cannot say.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with source.KernelSource(processes=asked.processes) as kernel:
        if asked.output == "json":
            once.print_document(kernel, asked, sys.stdout)
        elif asked.output == "jsonl":
            once.print_documents(kernel, asked, sys.stdout)
        else:
            once.print_table(kernel, asked, sys.stdout)
        sys.stdout.flush()
    return 0
