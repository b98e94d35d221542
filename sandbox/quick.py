"""The C halves of json, signal and socket, for what a start needs of them: without enum, re and their Python halves.

signal and socket make an enumeration of every number they know, json compiles
six patterns: importing the three takes as long as Python itself takes to
start. What is here has the same names and does the same, with plain numbers in
place of enumerations; whatever else is needed comes from the whole modules.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    import signal
    import socket
    import struct
    from typing import Any, NoReturn
else:
    import _signal as signal
    import _socket as socket
    import _struct as struct

__all__ = ["accept", "dumps", "fullmatch", "loads", "receive", "send", "signal", "socket", "struct"]

SPACE = " \t\n\r"
FD_BYTES = 4


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


class _Rules:
    """What json.JSONDecoder() is made with."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, float


_pieces = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)  # noqa: FBT003
_scan = make_scanner(_Rules)  # type: ignore[arg-type]  # it asks for these attributes alone


def dumps(value: object) -> str:
    """Return a value as JSON, in one line of ASCII."""
    return "".join(_pieces(value, 0))


def loads(text: str | bytes) -> Any:  # noqa: ANN401  whatever was written
    """Return the value that a text of JSON stands for; ValueError when it is none."""
    text = (text if isinstance(text, str) else text.decode()).strip(SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON at character {stop.value}") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: another at character {end}")
    return value


def fullmatch(pattern: str, text: str) -> re.Match[str] | None:
    """Return what re.fullmatch() does: most starts have nothing to match."""
    import re  # noqa: PLC0415

    return re.fullmatch(pattern, text)


def accept(listener: socket.socket) -> socket.socket:
    """Accept a connection, which closes on exec: socket.accept(), without the address."""
    return socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # noqa: SLF001  what it calls


def send(end: socket.socket, data: bytes, fd: int | None = None) -> None:
    """Send one message, with a descriptor if there is one: socket.send_fds()."""
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(FD_BYTES, "little"))]
    end.sendmsg([data], rights)


def receive(end: socket.socket, size: int) -> tuple[bytes, int | None]:
    """Receive one message, and a descriptor if one came with it, which closes on exec: socket.recv_fds()."""
    data, ancillary, _, _ = end.recvmsg(size, socket.CMSG_LEN(FD_BYTES), socket.MSG_CMSG_CLOEXEC)
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return data, int.from_bytes(rights[:FD_BYTES], "little")
    return data, None
