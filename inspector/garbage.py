"""Work that makes many objects, and none of them in a circle."""

from __future__ import annotations

import atexit
import gc

__all__ = ["uncollected", "uncollected_at_exit"]


class uncollected:  # noqa: N801  in a with statement; contextlib takes longer to import than a look at ten containers
    """Let Python look for no garbage meanwhile; `lasting`: nor later among what there is by then.

    It does so each time the objects have grown in number, and looks at all of
    them: 10 % of a first look at 1,000 containers, and most of a scrape's writing.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting = lasting
        self._enabled = False

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._lasting:
            gc.freeze()
        if self._enabled:
            gc.enable()


def uncollected_at_exit() -> None:
    """Let Python look for no garbage either when it ends, and the kernel takes back all at once.

    It looks twice through all that is left: half of what it takes a command to end.
    """
    atexit.register(gc.freeze)
