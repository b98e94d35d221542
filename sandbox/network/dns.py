"""The messages of DNS that a container's resolver reads and writes itself (RFC 1035, sections 3 and 4.1); pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["AAAA", "PTR", "REFUSED", "SERVFAIL", "A", "Question", "answer", "domain", "parse", "reversed_address"]

HEADER = struct.Struct("!6H")
RECORD = struct.Struct("!3HIH")
A, PTR, AAAA = 1, 12, 28
INTERNET = 1
SERVFAIL, REFUSED = 2, 5
RESPONSE, OPCODE, TRUNCATED, RECURSE, RECURSION = 0x8000, 0x7800, 0x200, 0x100, 0x80
LARGEST_NAME, LARGEST_LABEL = 255, 63
NAME_OF_QUESTION = 0xC000 | HEADER.size
REVERSE, REVERSE6 = ".in-addr.arpa", ".ip6.arpa"


class Question:
    """What somebody asks: a `name` in small letters without its last dot, "" where it has none of a host."""

    __slots__ = ("flags", "identity", "kind", "name", "text")

    def __init__(self, identity: int, flags: int, name: str, kind: int, text: bytes) -> None:
        self.identity, self.flags, self.name, self.kind = identity, flags, name, kind
        self.text = text  # the whole section, as it was asked


def parse(data: bytes) -> Question:
    """Return the one question of a query; ValueError for all that is none."""
    if len(data) < HEADER.size:
        raise ValueError("no header")
    identity, flags, questions, *_ = HEADER.unpack_from(data)
    if flags & (RESPONSE | OPCODE) or questions != 1:
        raise ValueError("no query with one question")
    labels, end = _labels(data, HEADER.size)
    if len(data) < end + 4:
        raise ValueError("a question without a type")
    kind, family = struct.unpack_from("!2H", data, end)
    known = family == INTERNET and not any(b"." in label for label in labels)
    name = b".".join(labels).decode("latin-1").lower() if known else ""
    return Question(identity, flags, name, kind, data[HEADER.size : end + 4])


def _labels(data: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the labels of the name there, and where it ends; a question's has nothing to point back to."""
    labels: list[bytes] = []
    start = at
    while True:
        if at >= len(data) or at - start > LARGEST_NAME:
            raise ValueError("a name without an end")
        size = data[at]
        if size > LARGEST_LABEL:
            raise ValueError("no label")
        at += 1
        if not size:
            return labels, at
        labels.append(data[at : at + size])
        at += size


def answer(question: Question, values: Sequence[bytes], *, code: int = 0, room: int = 65535) -> bytes:
    """Return the answer with these values of the type that was asked, as many as there is room for.

    They may not be kept (TTL 0): addresses change.
    """
    fixed = HEADER.size + len(question.text)
    records: list[bytes] = []
    flags = RESPONSE | RECURSION | question.flags & RECURSE | code
    for value in values:
        record = RECORD.pack(NAME_OF_QUESTION, question.kind, INTERNET, 0, len(value)) + value
        if fixed + sum(map(len, records)) + len(record) > room:
            flags |= TRUNCATED
            break
        records.append(record)
    return HEADER.pack(question.identity, flags, 1, len(records), 0, 0) + question.text + b"".join(records)


def domain(name: str) -> bytes:
    """Return a name as messages have it, b"" when it cannot be one there."""
    labels = [label.encode("latin-1", "replace") for label in name.split(".")]
    if not all(0 < len(label) <= LARGEST_LABEL for label in labels):
        return b""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def reversed_address(name: str) -> bytes:
    """Return the address whose name is asked for by `4.3.2.1.in-addr.arpa` and the like, in the network's order."""
    try:
        if name.endswith(REVERSE):
            return bytes(map(int, reversed(name[: -len(REVERSE)].split("."))))
        if name.endswith(REVERSE6):
            return bytes.fromhex("".join(reversed(name[: -len(REVERSE6)].split("."))))
    except ValueError:
        pass
    return b""
