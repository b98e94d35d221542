"""Writes the one file of byte code that finding.py reads: behind this module's own the groups, then their index.

What a group is, a start tells: a module that was looked for while another was being imported was imported by it.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import SourceFileLoader
from typing import cast

from sandbox import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.finding import Record

__all__ = ["add", "grouped"]


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
    code = loader.get_code(name)
    assert code is not None  # noqa: S101  there is a source
    return name, hasattr(module, "__path__"), int(found.st_mtime), found.st_size, code


def _write(groups: list[list[Record]]) -> None:
    """Write the file whole, or not at all: SourceFileLoader.set_data() keeps what a full disk has cut off."""
    own = cast("SourceFileLoader", __spec__.loader)
    parts = [finding.header() + marshal.dumps(own.get_code(__name__)), *map(marshal.dumps, groups)]
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    places = [(end, len(part)) for end, part in zip(ends, parts[1:], strict=False)]
    known = {record[0]: number for number, group in enumerate(groups) for record in group}
    index = marshal.dumps((finding.header(), known, places))
    parts += [index, len(index).to_bytes(finding.LENGTH_BYTES, "little"), finding.MARK]
    new = f"{finding.PATH}.{os.getpid()}"
    mode = os.stat(own.path).st_mode & 0o644  # whatever the umask: who could write it would decide what root executes
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        try:
            file.write(b"".join(parts))
            file.flush()
            os.replace(new, finding.PATH)
        except OSError:
            os.unlink(new)
            raise
