"""JSON that any reader takes, whatever bytes are in a name."""

from __future__ import annotations

import math
from _json import encode_basestring_ascii, make_encoder
from collections.abc import Iterator, Mapping

from inspector.views.text import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["to_json", "to_lines"]

SURROGATE = "[\ud800-\udfff]"  # not compiled before there is one


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


# As json.dumps(value, allow_nan=False) has it; the other half of json imports re, and takes as long as 200 containers.
_pieces = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, False)  # noqa: FBT003


def to_json(document: object, indent: int | None = None) -> str:
    r"""Return the document as JSON in ASCII: control and bidi characters are \u escapes, NaN is null.

    A byte that is not UTF-8 in a name becomes the four characters \xNN: a lone
    surrogate, as which Python keeps it, is not valid in JSON for most readers.
    """
    try:
        text = "".join(_pieces(document, 0)) if indent is None else _indented(document, indent)
    except ValueError:
        text = _indented(_clean(document), indent)
    return _indented(_clean(document), indent) if "\\ud" in text else text


def _indented(document: object, indent: int | None) -> str:
    import json  # noqa: PLC0415  ctop needs it only where there is something to clean

    return json.dumps(document, indent=indent, allow_nan=False)


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
        import re  # noqa: PLC0415  as above

        return re.sub(SURROGATE, lambda found: safe(found[0]), value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, (list, tuple)) else value
