"""Writes the one file of byte code that finding.py reads: behind one module's own the groups, then their index.

What a group is, a start tells: a module that was looked for while another was being imported was imported by it.
Each page of memory that is used for the first time takes the kernel 1 to 2 us: docstrings and the types of
functions are left out, and a group is cut to pieces, which are read into the same memory one after the other.
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
import sys
from importlib.machinery import SourceFileLoader
from typing import cast

from sandbox import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from sandbox.finding import Record

__all__ = ["add", "grouped"]

PIECE = 96 << 10  # bytes: from 128 KiB on malloc has the kernel make new memory each time
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def add(names: list[str]) -> None:
    """Put modules into the file, which are given in the order in which they were looked for."""
    groups: list[list[Record]] = []
    if finding.GROUPS.keys().isdisjoint(names):  # otherwise there are other sources: what they import may be other too
        groups = [finding.read_group(number) for number in sorted(set(finding.GROUPS.values()))]
        if not all(groups):
            return  # another command has written it meanwhile
    groups += [[_record(name) for name in group] for group in grouped(names, list(sys.modules))]
    _write(groups)


def grouped(asked: list[str], done: list[str]) -> list[list[str]]:
    """Return groups of modules, from the order in which they were looked for and that in which they were done."""
    groups: list[list[str]] = []
    place = {name: number for number, name in enumerate(done)}
    for name in asked:
        if groups and place[name] < place[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return [sorted(group, key=place.__getitem__) for group in groups]


def _record(name: str) -> Record:
    module = sys.modules[name]
    loader = cast("SourceFileLoader", module.__loader__)
    found = os.stat(loader.path)
    code = _compile(loader.get_data(loader.path), loader.path)
    return name, hasattr(module, "__path__"), int(found.st_mtime), found.st_size, code


def _compile(source: bytes, path: str) -> CodeType:
    """Return a module's code without docstrings and the types of functions, which nobody asks for when it runs.

    And without the import of __future__, which is for the compiler. The types of a class's fields are asked for.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    lean = [each for each in tree.body if not (isinstance(each, ast.ImportFrom) and each.module == "__future__")]
    flags = __future__.annotations.compiler_flag if len(lean) < len(tree.body) else 0
    tree.body = lean
    return cast("CodeType", compile(tree, path, "exec", flags, dont_inherit=True))


def _pieces(group: list[Record]) -> list[bytes]:
    """Return a group as it is written."""
    pieces: list[list[Record]] = [[]]
    size = 0
    for record in group:
        size += len(marshal.dumps(record))
        if size > PIECE and pieces[-1]:
            pieces.append([])
            size = len(marshal.dumps(record))
        pieces[-1].append(record)
    return [marshal.dumps(piece) for piece in pieces]


def _write(groups: list[list[Record]]) -> None:
    """Write the file whole, or not at all: SourceFileLoader.set_data() keeps what a full disk has cut off."""
    own = finding.ORIGIN
    with open(own, "rb") as source:
        parts = [finding.header() + marshal.dumps(_compile(source.read(), own))]
    places: list[list[tuple[int, int]]] = []
    for group in groups:
        places.append([])
        for piece in _pieces(group):
            places[-1].append((sum(map(len, parts)), len(piece)))
            parts.append(piece)
    known = {record[0]: number for number, group in enumerate(groups) for record in group}
    index = marshal.dumps((finding.header(), known, places))
    parts += [index, len(index).to_bytes(finding.LENGTH_BYTES, "little"), finding.MARK]
    new = f"{finding.PATH}.{os.getpid()}"
    mode = os.stat(own).st_mode & 0o644  # whatever the umask: who could write it would decide what root executes
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        try:
            file.write(b"".join(parts))
            file.flush()
            os.replace(new, finding.PATH)
        except OSError:
            os.unlink(new)
            raise
