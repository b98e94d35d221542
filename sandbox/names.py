"""Names for containers that were given none, in Docker's manner: an adjective and a river."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["invent"]

ADJECTIVES = (
    "amber bold brisk calm clear deep eager early gentle grand green happy keen late light lively lucid merry mild "
    "modest neat noble patient plain proud quick quiet ready sharp silent silver small solid steady still swift tidy "
    "warm wide wise"
).split()
RIVERS = (
    "amazon congo danube douro elbe euphrates ganges garonne indus irtysh jordan kama lena loire main mekong meuse "
    "murray neckar niger nile ob oder orinoco parana po rhine rhone rio seine severn spree tagus tiber thames vistula "
    "volga weser yukon zambezi"
).split()


def invent(choose: Callable[[Sequence[str]], str]) -> str:
    """Return a new name; with four digits, so that a taken one is rare."""
    return f"{choose(ADJECTIVES)}_{choose(RIVERS)}{choose('0123456789')}{choose('0123456789')}"
