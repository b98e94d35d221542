"""A Host that tells which files it opened, for the tests of what is read when."""

from __future__ import annotations

from collections.abc import Iterable

from inspector.kernel.host import Host

__all__ = ["Recording"]


class Recording(Host):
    """Notes every path that is opened, listed or looked up anew; a file that is kept open is not."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.opened: list[str] = []

    def path(self, path: str) -> str:
        """Note the path."""
        self.opened.append(path)
        return super().path(path)

    def readlinks(self, directory: str, names: Iterable[str]) -> list[str | OSError]:
        """Note each link."""
        return super().readlinks(directory, self._noted(directory, names))

    def links_in(self, path: str, names: Iterable[str]) -> list[int | None]:
        """Note each directory."""
        return super().links_in(path, self._noted(path, names))

    def read_names(self, directory: str, names: Iterable[str]) -> list[bytes | OSError]:
        """Note each file."""
        return super().read_names(directory, self._noted(directory, names))

    def _noted(self, directory: str, names: Iterable[str]) -> list[str]:
        listed = list(names)
        self.opened += [f"{directory}/{name}" for name in listed]
        return listed

    def since(self, part: str) -> list[str]:
        """Return the paths with that part opened since the last question, and forget all."""
        found = [path for path in self.opened if part in path]
        self.opened.clear()
        return found
