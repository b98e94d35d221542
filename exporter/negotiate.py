"""Content negotiation (RFC 9110, section 12.5): which format, and compressed or not."""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = ["OPENMETRICS", "TEXT", "accepts_gzip", "wants_openmetrics"]

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Tell whether an Accept header asks for OpenMetrics 1.0 at least as much as for plain text.

    It has to be named: a wildcard, a browser or curl gets the text format.
    """
    open_q, text_q = 0.0, 0.0
    for media, parameters, quality in _elements(accept):
        if media == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            open_q = max(open_q, quality)
        elif media in ("text/plain", "text/*"):
            text_q = max(text_q, quality)
    return open_q > 0 and open_q >= text_q


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip: named or by "*", and not with q=0."""
    wildcard = False
    for coding, _, quality in _elements(accept_encoding):
        if coding == "gzip":
            return quality > 0
        if coding == "*":
            wildcard = quality > 0
    return wildcard


def _elements(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield (value, parameters, q) of a list header, in lower case; a bad q counts as 0."""
    for element in header.lower().split(","):
        value, *rest = (part.strip() for part in element.split(";"))
        parameters = {name.strip(): text.strip(' "') for name, _, text in (part.partition("=") for part in rest)}
        yield value, parameters, _quality(parameters.get("q", "1"))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if math.isfinite(quality) else 0.0
