"""What a person has tagged: containers, and processes of the page of one; an action may be for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from inspector.schema import Container, ProcessRow
from inspector.views.layout import Line

__all__ = ["Key", "Tags", "key_of"]

Key = str | tuple[int, float | None]
"""Who a tag is on, wherever its row goes: a container by its id, a process by its PID and when it started."""
TAG = "#"
"""Stands between the first two columns of a tagged row, which is told so without colour too."""


def key_of(process: ProcessRow) -> Key:
    """Return who a process is; another one with its PID started at another time."""
    return process["pid"], process.get("started_at")


class Tags:
    """The tags. Those on what is no longer there go with the sample that misses it."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}  # in the order they were tagged in, which questions name them in

    def __bool__(self) -> bool:
        """Whether anything is tagged."""
        return bool(self._keys)

    def turn(self, key: Key) -> None:
        """Tag what is not, or take its tag off."""
        if key in self._keys:
            del self._keys[key]
        else:
            self._keys[key] = None

    def clear(self) -> None:
        """Take all tags off."""
        self._keys.clear()

    def of(self, containers: Iterable[Container]) -> list[Container]:
        """Return those that are tagged, whether they are shown or not."""
        there: dict[Key, Container] = {one["id"]: one for one in containers}
        return [there[key] for key in self._keys if key in there]

    def among(self, processes: Iterable[ProcessRow]) -> list[ProcessRow]:
        """Return those that are tagged."""
        there: dict[Key, ProcessRow] = {key_of(one): one for one in processes}
        return [there[key] for key in self._keys if key in there]

    def keep(self, containers: Iterable[Container], processes: Iterable[ProcessRow] | None) -> None:
        """Drop the tags of all others. Of `processes` None is known, and theirs stay."""
        there: set[Key] = {one["id"] for one in containers}
        if processes is None:
            there |= {key for key in self._keys if isinstance(key, tuple)}
        else:
            there |= set(map(key_of, processes))
        self._keys = {key: None for key in self._keys if key in there}

    def marking(self, draw: Callable[[int], Line], key: Callable[[int], Key]) -> Callable[[int], Line]:
        """Return what draws a line by its index, with the mark of a tag where that of `key` is tagged."""
        if not self._keys:
            return draw

        def marked(index: int) -> Line:
            line = draw(index)
            if key(index) not in self._keys:
                return line
            shown = line[0][0]
            return [(shown[:-1], "title"), (TAG, "title"), *line[1:]]

        return marked
