r"""A captured machine in one text file: its kernel files and links, readable in a diff.

    # kernel 6.18.44, cgroup v1 and hybrid            any number of lines of remarks
    file /proc/1/stat 1                               how many lines of content follow
    1 (init) S 0 ...
    file /proc/1/cmdline 1 unterminated               its last line does not end in a newline
    init\x00
    link /proc/1/ns/net net:[4026531833]

Bytes that are not printable ASCII, and the backslash, are written \xNN, in
names also the blank. An archive is data from another machine: unpack() writes
below its directory only, whatever the names in it are.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

__all__ = ["HOSTS", "Archive", "dumps", "loads", "unpack"]

HOSTS = Path(__file__).parent / "hosts"
ESCAPED = re.compile(rb"[^\x20-\x5b\x5d-\x7e\n]")
ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


@dataclass
class Archive:
    """Remarks, files by path, links (path to target). Paths are absolute on the machine."""

    remarks: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def _escape(data: bytes) -> str:
    return ESCAPED.sub(lambda match: b"\\x%02x" % match[0][0], data).decode("ascii")


def _name(text: str) -> str:
    return _escape(os.fsencode(text)).replace("\n", "\\x0a").replace(" ", "\\x20")


def _unescape(text: str) -> bytes:
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")


def dumps(archive: Archive) -> str:
    """Write an archive as text, its files in the order of their names."""
    parts = [f"# {remark}\n" for remark in archive.remarks]
    for path, content in sorted(archive.files.items()):
        whole = content.endswith(b"\n") or not content
        text = _escape(content if whole else content + b"\n")
        parts.append(f"file {_name(path)} {text.count(chr(10))}{'' if whole else ' unterminated'}\n{text}")
    parts += [f"link {_name(path)} {_name(target)}\n" for path, target in sorted(archive.links.items())]
    return "".join(parts)


def loads(text: str) -> Archive:
    """Read an archive; ValueError when it is damaged."""
    archive = Archive()
    lines = iter(text.splitlines())
    for line in lines:
        words = line.split(" ")
        if line.startswith("# "):
            archive.remarks.append(line[2:])
        elif words[0] == "file" and len(words) in (3, 4):
            wanted = int(words[2])
            content = "".join(f"{line}\n" for line in islice(lines, wanted))
            if content.count("\n") != wanted:
                raise ValueError(f"the archive ends in {words[1]}")
            archive.files[os.fsdecode(_unescape(words[1]))] = _unescape(content[:-1] if words[3:] else content)
        elif words[0] == "link" and len(words) == 3:
            archive.links[os.fsdecode(_unescape(words[1]))] = os.fsdecode(_unescape(words[2]))
        elif line:
            raise ValueError(f"not an archive's line: {line[:80]!r}")
    return archive


def unpack(archive: Archive, directory: Path) -> None:
    """Make the files and links below an empty directory; ValueError for a name that would lead out of it."""
    for path in (*archive.files, *archive.links):
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a name that leads out of the archive: {path[:80]!r}")
    for path, content in archive.files.items():
        full = Path(f"{directory}{path}")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
    # Links come last, the deepest first, so that nothing is ever written through one of them.
    for path in sorted(archive.links, key=lambda path: -path.count("/")):
        full = Path(f"{directory}{path}")
        full.parent.mkdir(parents=True, exist_ok=True)
        full.symlink_to(archive.links[path])
