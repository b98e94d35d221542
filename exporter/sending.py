"""An answer sent piece after piece, each when the client has read the one before.

All at once, asyncio would copy it and move what remains at each write: half the time of a large page. It is never
held whole: what of a page is kept compressed becomes text a piece at a time, and for clients who are sent the same
at the same time once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["Pieces", "Reel"]

AT_A_TIME = 4
"""Pieces that are sent before others have their turn, and before a client who has gone is noticed: asyncio writes a
line for each from the fifth on that nobody takes."""
HELD = 2 * AT_A_TIME
"""Pieces that are held for those who have not come as far as the first: by so many they differ while all read."""


class Reel(Iterable[bytes]):
    """Pieces that `make` makes, of `size` bytes together, for some clients at a time; for the event loop's thread.

    While they are `shared`, they are made once, and again only for who falls far behind.
    """

    def __init__(self, make: Callable[[], Iterator[bytes]], size: int) -> None:
        self.size = size
        self.shared = False
        self._make = make
        self._first = make()
        self._count = 0  # how many of them are made
        self._held: deque[bytes] = deque(maxlen=HELD)

    def __iter__(self) -> Iterator[bytes]:
        """Yield them all."""
        given = 0
        while (behind := self._count - given) <= len(self._held):
            if behind:
                piece = self._held[-behind]
            else:
                try:
                    piece = next(self._first)
                except StopIteration:
                    return
                except Exception:
                    # A generator that has failed is at its end, and what it gave would be taken for all.
                    self._first = islice(self._make(), self._count, None)
                    raise
                self._count += 1
                if self.shared:
                    self._held.append(piece)
            given += 1
            yield piece
        yield from islice(self._make(), given, None)


class Pieces(Response):
    """The answer; `size` is how many bytes the pieces have together."""

    def __init__(self, pieces: Iterable[bytes], size: int, headers: Mapping[str, str]) -> None:
        super().__init__(headers={"Content-Length": str(size), **headers})
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it (the ASGI interface)."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for number, piece in enumerate(self._pieces if scope["method"] != "HEAD" else ()):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if number % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
