"""The version of cgscope."""

from __future__ import annotations

from functools import cache

__all__ = ["version"]


@cache
def version() -> str:
    """Return the version, or "unknown" when it runs from a checkout that is not installed."""
    from importlib import metadata  # noqa: PLC0415  slow

    try:
        return metadata.version("cgscope")
    except metadata.PackageNotFoundError:
        return "unknown"
