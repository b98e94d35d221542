"""ctop without the live view: one table, one JSON document, or a document a line."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

from inspector.ctop.options import Options
from inspector.views.header import scene_of
from inspector.views.jsontext import to_json, to_lines
from inspector.views.selection import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from inspector.ctop.sources import Source
    from inspector.schema import Document

__all__ = ["print_document", "print_documents", "print_table", "record"]


def print_table(source: Source, options: Options, file: TextIO) -> None:
    """Print a table an interval, with a blank line between two.

    Off a terminal nothing is cut, unless $COLUMNS says how wide it will be shown (watch(1) sets it).
    """
    for number, document in enumerate(_documents(source, options)):
        file.write("\n" if number else "")
        _print_table(document, options, file)
        file.flush()


def _print_table(document: Document, options: Options, file: TextIO) -> None:
    """Print one table."""
    import os  # noqa: PLC0415  --json needs none of that
    import shutil  # noqa: PLC0415

    from inspector.views.table import print_lines, table  # noqa: PLC0415
    from inspector.views.tree import tree  # noqa: PLC0415

    scene = scene_of(document, options.cpu, options.memory)
    if options.tree:
        made = tree(document["containers"], options.selection, scene)
        shown, scene = made.rows, scene._replace(stems=made.stems)
    else:
        shown = select(document["containers"], options.selection, scene)
    width = shutil.get_terminal_size().columns if file.isatty() or os.environ.get("COLUMNS") else None
    lines = table(document, shown, scene, width, options.columns)
    print_lines(lines, file, colour=options.colour, unicode=options.unicode)


def print_document(source: Source, options: Options, file: TextIO) -> None:
    """Print one JSON document."""
    document = next(_documents(source, options))
    file.writelines(to_lines(_selected(document, options), "containers"))


def print_documents(source: Source, options: Options, file: TextIO) -> None:
    """Print a JSON document a line and interval."""
    for document in _documents(source, options):
        file.write(to_json(_selected(document, options)) + "\n")
        file.flush()


def record(source: Source, options: Options) -> None:
    """Take samples and show nothing, for a source that records them; until a signal, or so many as were asked for.

    The recorder's error when nothing more can be written.
    """
    import signal  # noqa: PLC0415  as above
    import sys  # noqa: PLC0415
    import threading  # noqa: PLC0415

    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("ctop: recording, until Ctrl-C\n")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    for _ in _documents(source, options, stopped.wait):
        failure = getattr(source, "failure", None)
        if failure is not None:
            raise failure
        if stopped.is_set():
            return


def _documents(
    source: Source, options: Options, wait: Callable[[float], object] = time.sleep
) -> Iterator[Document]:
    """Yield a document an interval, on the beat: what a sample costs does not add to the delay.

    Of what was, all is there: it is not waited for.
    """
    source.begin()
    due = time.monotonic()
    for number in itertools.count() if options.lines is None else range(options.lines):
        if not hasattr(source, "ended"):
            due = max(due + options.delay, time.monotonic())
            wait(max(due - time.monotonic(), 0))
        elif number and source.ended:  # a Stored one
            return
        yield source()


def _selected(document: Document, options: Options) -> Document:
    shown = select(document["containers"], options.selection, scene_of(document, options.cpu, options.memory))
    return {**document, "containers": shown}
