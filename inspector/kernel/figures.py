"""Numbers in control files: a single one, or some of those that stand each behind its key."""

from __future__ import annotations

from operator import itemgetter

from inspector.errors import ParseError
from inspector.kernel.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["MOST_DIGITS", "Keyed", "number"]

MOST_DIGITS = 20  # of 2^64
MOST_LAYOUTS = 16


def number(what: str, data: bytes) -> int:
    """Parse one non-negative decimal number, as every single-value control file holds it."""
    text = data.strip()
    if not text.isdigit() or len(text) > MOST_DIGITS:
        raise ParseError(what, data)
    return int(text)


class Layout(NamedTuple):
    """The keys of a file in their order, the names of those that are wanted, and what takes their texts out of it."""

    keys: list[bytes]
    names: tuple[str, ...]
    take: Callable[[list[bytes]], Sequence[bytes]]


class Keyed:
    """Takes the numbers under some keys, each under its new name, out of a "flat keyed" file (cgroup-v2.rst).

    That has a key and a number a line. A kernel writes the same keys for nearly all cgroups: where those that are
    wanted stand is remembered, so that not every file is made a dict of.
    """

    __slots__ = ("_layouts", "_names", "_what")

    def __init__(self, what: str, names: Mapping[bytes, str]) -> None:
        self._what = what
        self._names = names
        self._layouts: dict[int, Layout] = {}  # by how many words there are

    def __call__(self, data: bytes) -> dict[str, int]:
        """Return them, without those that are missing; ParseError for what is no pairs or no number."""
        words = data.split()
        layout = self._layouts.get(len(words))
        if layout is None or layout[0] != words[::2]:
            layout = self._learn(words)
        _, names, take = layout
        texts = take(words)
        # No call for each: there are thousands a tick.
        if b"".join(texts).isdigit() and max(map(len, texts)) <= MOST_DIGITS:
            return dict(zip(names, map(int, texts), strict=True))
        return {name: number(self._what, text) for name, text in zip(names, texts, strict=True)}

    def _learn(self, words: list[bytes]) -> Layout:
        if len(words) % 2:
            raise ParseError(self._what, b" ".join(words))
        keys = words[::2]
        places = {key: 2 * place + 1 for place, key in enumerate(keys)}
        found = {name: places[key] for key, name in self._names.items() if key in places}
        first = min(found.values(), default=len(words))
        # Of a single place itemgetter would return no sequence.
        take = itemgetter(*found.values()) if len(found) > 1 else itemgetter(slice(first, first + 1))
        if len(self._layouts) >= MOST_LAYOUTS:
            self._layouts.clear()
        layout = self._layouts[len(words)] = Layout(keys, tuple(found), take)
        return layout
