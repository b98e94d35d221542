"""Captured machines with damage: whatever a kernel file holds, one look after another ends in a document.

2,000 mutants in the ordinary run; `make fuzz` makes 100,000. A failure names
the seed: CGSCOPE_FUZZ_SEED=N repeats that one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.document import document
from inspector.errors import InspectorError
from inspector.kernel.host import Host
from inspector.nsinspect import write
from inspector.observe import Observer
from tests.archive import HOSTS, Archive, loads, unpack

NAMES = sorted(path.name for path in HOSTS.glob("*.host"))
MUTANTS = int(os.environ.get("CGSCOPE_FUZZ", "2000"))
SEED = os.environ.get("CGSCOPE_FUZZ_SEED")
NSINSPECTED = 0.02  # it waits between its own two looks
HOSTILE = (
    b"", b"\n", b"\0", b"-1\n", b"max\n", b"18446744073709551615\n", b"9" * 5000, b"\xff\xfe\x1b[31m\n",
    b"0-999999999\n", b" (deleted)\n", b"1 (a) b) R 1\n", b"/" * 4096 + b"\n", b"a=b=c\n" * 50, b"0::/\n",
    b"0::/../../x\n",
)  # fmt: skip


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return a damaged version of a file: bytes changed, a part cut out or doubled, or something else altogether."""
    kind = chance.randrange(5)
    if kind == 0 or not content:
        return chance.choice(HOSTILE)
    at, length = chance.randrange(len(content)), chance.randrange(1, 40)
    if kind == 1:
        return content[:at] + content[at + length :]
    if kind == 2:
        return content[:at] + content[at : at + length] * chance.randrange(2, 5) + content[at + length :]
    if kind == 3:
        return content[:at]
    return content[:at] + chance.randbytes(chance.randrange(1, 8)) + content[at + length :]


@contextlib.contextmanager
def damaged(archive: Archive, root: Path, chance: random.Random) -> Iterator[None]:
    """Damage some files of an unpacked machine, then mend them."""
    paths = chance.sample(sorted(archive.files), chance.randrange(1, 12))
    for path in paths:
        if chance.random() < 0.15:
            Path(f"{root}{path}").unlink()
        else:
            Path(f"{root}{path}").write_bytes(mutate(archive.files[path], chance))
    try:
        yield
    finally:
        for path in paths:
            Path(f"{root}{path}").write_bytes(archive.files[path])


def look(host: Host, archive: Archive, root: Path, chance: random.Random) -> None:
    """Look twice, with other damage at the second time, and at one process in full."""
    observer = Observer(host, processes=True)
    with damaged(archive, root, chance):
        try:
            before = observer.tick()
        except (InspectorError, FileNotFoundError):  # the machine's own totals, without which there is no first look
            return
        if chance.random() < NSINSPECTED:
            one = next((one.leader for one in before.containers if one.leader), None)
            with contextlib.suppress(InspectorError), contextlib.redirect_stdout(io.StringIO()):
                write(host, str(one.process.pid if one else 1))
    with damaged(archive, root, chance):
        after = observer.tick()
    shown = document(before, after)
    json.dumps(shown, allow_nan=False)
    assert len({one["id"] for one in shown["containers"]}) == len(shown["containers"])
    assert all(text.isprintable() and text.isascii() for text in shown["problems"])


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_machine_is_still_looked_at(name: str, tmp_path: Path) -> None:
    """Nothing but an InspectorError of nsinspect comes out, no id is there twice, and problems stay printable."""
    archive = loads((HOSTS / name).read_text(encoding="ascii"))
    unpack(archive, tmp_path)
    seeds = [int(SEED)] if SEED else range(MUTANTS // len(NAMES) + 1)
    for seed in seeds:
        with Host(str(tmp_path)) as host:
            try:
                look(host, archive, tmp_path, random.Random(f"{name} {seed}"))  # noqa: S311  it only has to repeat
            except Exception as error:
                raise AssertionError(f"CGSCOPE_FUZZ_SEED={seed} on {name}: {error!r}") from error
