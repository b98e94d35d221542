"""A Host that tells which files it opened, for the tests of what is read when."""

from __future__ import annotations

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

    def since(self, part: str) -> list[str]:
        """Return the paths with that part opened since the last question, and forget all."""
        found = [path for path in self.opened if part in path]
        self.opened.clear()
        return found
