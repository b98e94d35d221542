"""One connection: uvicorn's HTTP/1.1, with what it lacks against clients who are slow, broken or hostile.

- A request's headers have to be there within REQUEST_SECONDS, else 408.
- What is no request has the status that h11 has for it (431 and not 400 when
  it is too large), and one line in the log.
- Who is refused while still sending gets to read the answer: the rest of what
  is sent is read and thrown away for LINGER_SECONDS. Closing at once would
  make the kernel send a reset, and the answer would be lost with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import re
import sys
import termios
from typing import Protocol

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from exporter.guard import client
from exporter.logs import fields

__all__ = ["Connection"]

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
LINGER_SECONDS = 2.0
BYTES = re.compile(r"""\b(?:bytearray\(b|b)(["'].*["'])\)?$""")  # as h11 writes what it could not read
BAD_REQUEST, TIMEOUT, TARGET_TOO_LONG, TOO_LARGE = 400, 408, 414, 431


class Owner(Protocol):
    """Whoever keeps the connections (exporter.listener), and is told by each of them."""

    def used(self, connection: Connection) -> None:
        """Take note that it has been answered."""

    def stuck(self, connection: Connection, *, stuck: bool) -> None:
        """Take note that its client does not read, or does again."""

    def lost(self, connection: Connection) -> None:
        """Take note that it has ended."""


class Connection(H11Protocol):
    """A protocol for asyncio."""

    def __init__(self, config: Config, state: ServerState, owner: Owner) -> None:
        super().__init__(config, state, {})
        self._owner = owner
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False

    @property
    def idle(self) -> bool:
        """True when nothing is being done for the client. The end of what it was answered may still be `unsent`."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _transports(self) -> list[asyncio.Transport]:
        """The transport, and of TLS the one below it; none before there is one, and when asyncio has let go of it."""
        if not hasattr(self.transport, "_ssl_protocol"):
            return [self.transport] if self.transport else []
        below = getattr(self.transport._ssl_protocol, "_transport", None)  # noqa: SLF001  nothing else tells
        return [self.transport, below] if below else []

    @property
    def unsent(self) -> int:
        """How many bytes of what was sent still wait here: they are lost where it is let go."""
        # Of TLS asyncio counts what is not encrypted yet; what is waits in the transport below, half a megabyte at once
        return sum(one.get_write_buffer_size() for one in self._transports)

    @property
    def unread(self) -> int:
        """How many bytes of what was sent the client has not got: they wait here, or in the kernel (tcp(7))."""
        queued = b""
        for one in self._transports[-1:]:
            with contextlib.suppress(OSError, ValueError):  # closed, and we hear of it in a moment
                queued = fcntl.ioctl(one.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
        return self.unsent + int.from_bytes(queued, sys.byteorder)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request."""
        super().connection_made(transport)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        self._owner.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what was sent."""
        if self._refused:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None:  # the beginning of a next request
            self._wait_for_request()

    def on_response_complete(self) -> None:
        """Be ready for the next request, unless this one still sends a body that nobody wants."""
        self._owner.used(self)
        sends = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()  # may begin to answer the next request
        if sends:
            self._linger()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        super().pause_writing()
        self._owner.stuck(self, stuck=True)

    def resume_writing(self) -> None:
        """Note that it does again."""
        super().resume_writing()
        self._owner.stuck(self, stuck=False)

    def shutdown(self) -> None:
        """End when the server does: at once, or after the answer under way."""
        if self._refused and self.idle:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request. uvicorn calls this while it handles h11's error."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", BAD_REQUEST)
        if status == TOO_LARGE and b"\n" not in self.conn.trailing_data[0]:
            status = TARGET_TOO_LONG
        self._refuse(status, BYTES.sub(r"\1", str(error or msg)))

    def _should_upgrade(self) -> bool:
        return False  # an offer that may be ignored (RFC 9110, section 7.8); uvicorn logs two lines about it

    def _wait_for_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def _too_late(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(TIMEOUT, f"no whole request within {REQUEST_SECONDS:g} s")
        else:  # a browser's connection in advance, a probe of the port
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, why: str) -> None:
        """Answer with a status alone, and close."""
        self._refused = True
        if not self.idle:  # a body that is none: its request is being answered, after which uvicorn closes
            return
        log.info("what came was no request", extra=fields(client=client(self.client), status=status, reason=why))
        phrase = STATUS_PHRASES[status].decode()
        head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(phrase) + 1}\r\n\r\n{phrase}\n".encode())
        self._linger()

    def _linger(self) -> None:
        """Close, but first let the client read what it was answered."""
        self._refused = True
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # it has gone already
                self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
