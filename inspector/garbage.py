"""Work that makes many objects, and none of them in a circle."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected", "uncollected_at_exit"]


@contextmanager
def uncollected(*, lasting: bool = False) -> Iterator[None]:
    """Let Python look for no garbage meanwhile; `lasting`: nor later among what there is by then.

    It does so each time the objects have grown in number, and looks at all of
    them: 10 % of a first look at 1,000 containers, and most of a scrape's writing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if lasting:
            gc.freeze()
        if enabled:
            gc.enable()


def uncollected_at_exit() -> None:
    """Let Python look for no garbage either when it ends, and the kernel takes back all at once.

    It looks twice through all that is left: half of what it takes a command to end.
    """
    atexit.register(gc.freeze)
