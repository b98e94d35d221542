"""JSON that any reader takes, whatever bytes are in a name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping

from inspector.views.text import safe

__all__ = ["to_json", "to_lines"]

COMPACT = json.JSONEncoder(allow_nan=False)  # json.dumps makes one for each call that asks for anything
SURROGATE = "[\ud800-\udfff]"  # not compiled before there is one


def to_json(document: object, indent: int | None = None) -> str:
    r"""Return the document as JSON in ASCII: control and bidi characters are \u escapes, NaN is null.

    A byte that is not UTF-8 in a name becomes the four characters \xNN: a lone
    surrogate, as which Python keeps it, is not valid in JSON for most readers.
    """
    try:
        text = COMPACT.encode(document) if indent is None else json.dumps(document, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_clean(document), indent=indent, allow_nan=False)
    return json.dumps(_clean(document), indent=indent) if "\\ud" in text else text


def to_lines(document: Mapping[str, object], rows: str) -> Iterator[str]:
    """Yield, piece by piece, the same with a line for each key, and for each entry of the list under the key `rows`.

    People and grep can read that, and it is written four times faster than with an indent, which json does in Python.
    In pieces, as each copy of a long text is memory that the kernel has to clear first.
    """
    before = "{"
    for key, value in document.items():
        head, before = f"{before}{to_json(key)}: ", ",\n"
        if key == rows and isinstance(value, list) and value:
            yield f"{head}[\n{to_json(value[0])}"
            yield from (f",\n{to_json(row)}" for row in value[1:])
            yield "\n]"
        else:
            yield head + to_json(value)
    yield "}\n"


def _clean(value: object) -> object:
    if isinstance(value, str):
        return re.sub(SURROGATE, lambda found: safe(found[0]), value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value
