"""Names for containers that were given none, in Docker's manner: an adjective and a river."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

__all__ = ["invent"]

ADJECTIVES = (
    "amber", "bold", "brisk", "calm", "clear", "deep", "eager", "early", "gentle", "grand", "green", "happy",
    "keen", "late", "light", "lively", "lucid", "merry", "mild", "modest", "neat", "noble", "patient", "plain",
    "proud", "quick", "quiet", "ready", "sharp", "silent", "silver", "small", "solid", "steady", "still", "swift",
    "tidy", "warm", "wide", "wise",
)
RIVERS = (
    "amazon", "congo", "danube", "douro", "elbe", "euphrates", "ganges", "garonne", "indus", "irtysh", "jordan",
    "kama", "lena", "loire", "main", "mekong", "meuse", "murray", "neckar", "niger", "nile", "ob", "oder",
    "orinoco", "parana", "po", "rhine", "rhone", "rio", "seine", "severn", "spree", "tagus", "tiber", "thames",
    "vistula", "volga", "weser", "yukon", "zambezi",
)


def pick(choices: Sequence[str]) -> str:
    """Choose one at random; importing `secrets` or `random` for it would cost 4 ms."""
    return choices[int.from_bytes(os.urandom(4), "little") % len(choices)]


def invent(choose: Callable[[Sequence[str]], str] = pick) -> str:
    """Return a new name; with two digits, so that a taken one is rare."""
    return f"{choose(ADJECTIVES)}_{choose(RIVERS)}{choose('0123456789')}{choose('0123456789')}"
