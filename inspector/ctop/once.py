"""ctop without the live view: one table, one JSON document, or a document a line."""

from __future__ import annotations

import itertools
import shutil
import time
from typing import TextIO

from inspector.ctop.options import Options
from inspector.ctop.source import Source
from inspector.schema import Document
from inspector.views.header import scene_of
from inspector.views.jsontext import to_json, to_lines
from inspector.views.selection import select
from inspector.views.table import print_lines, table
from inspector.views.tree import tree

__all__ = ["print_document", "print_documents", "print_table"]


def print_table(source: Source, options: Options, file: TextIO) -> None:
    """Print the table of one interval. Off a terminal nothing is cut."""
    document = _after(source, options)
    scene = scene_of(document, options.cpu, options.memory)
    if options.tree:
        made = tree(document["containers"], options.selection, scene)
        shown, scene = made.rows, scene._replace(stems=made.stems)
    else:
        shown = select(document["containers"], options.selection, scene)
    width = shutil.get_terminal_size().columns if file.isatty() else None
    lines = table(document, shown, scene, width, options.columns)
    print_lines(lines, file, colour=options.colour, unicode=options.unicode)


def print_document(source: Source, options: Options, file: TextIO) -> None:
    """Print one JSON document."""
    file.write(to_lines(_selected(_after(source, options), options), "containers") + "\n")


def print_documents(source: Source, options: Options, file: TextIO) -> None:
    """Print a JSON document a line and interval, on the beat: what a sample costs does not add to the delay."""
    source.begin()
    due = time.monotonic()
    for _ in itertools.count() if options.lines is None else range(options.lines):
        due = max(due + options.delay, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0))
        file.write(to_json(_selected(source(), options)) + "\n")
        file.flush()


def _after(source: Source, options: Options) -> Document:
    source.begin()
    time.sleep(options.delay)
    return source()


def _selected(document: Document, options: Options) -> Document:
    shown = select(document["containers"], options.selection, scene_of(document, options.cpu, options.memory))
    return {**document, "containers": shown}
