"""JSON that any reader takes, whatever bytes are in a name."""

from __future__ import annotations

import json
import math
import re

from inspector.views.text import safe

__all__ = ["to_json"]

SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(document: object, indent: int | None = None) -> str:
    r"""Return the document as JSON in ASCII: control and bidi characters are \u escapes, NaN is null.

    A byte that is not UTF-8 in a name becomes the four characters \xNN: a lone
    surrogate, as which Python keeps it, is not valid in JSON for most readers.
    """
    try:
        text = json.dumps(document, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_clean(document), indent=indent, allow_nan=False)
    return json.dumps(_clean(document), indent=indent) if "\\ud" in text else text


def _clean(value: object) -> object:
    if isinstance(value, str):
        return SURROGATE.sub(lambda found: safe(found[0]), value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value
