"""What stands before every endpoint: size, rate, password; and what is added to every answer.

A request that is refused, or fails, is one line in the log and has the right
status, never a traceback: an ASGI application around the real one, which may
say why it refuses in the scope's REASON.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import unquote

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.auth import Busy, Passwords, credentials
from exporter.logs import fields
from exporter.web_config import RateLimit, WebConfig

__all__ = ["REASON", "Guard", "client"]

log = logging.getLogger(__name__)

MAX_TARGET = 8 << 10
MAX_HEADERS = 32 << 10
"""Bytes of a request's path and query, and of all its headers."""
SERVER_ERROR, UNAUTHORIZED, FIRST_REFUSAL = 500, 401, 400
REASON = "cgscope.reason"
WHOLE = re.compile(rb"https?://[^/]*", re.IGNORECASE)


def client(peer: object) -> str:
    """Return the address of a client for a log line: 192.0.2.1:40000, [2001:db8::1]:40000."""
    if not isinstance(peer, tuple):
        return "unix"
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Guard:
    """`app` for those whom the configuration of the moment lets in."""

    def __init__(self, app: ASGIApp, config: Callable[[], WebConfig]) -> None:
        self._app = app
        self._config = config
        self._passwords = Passwords()
        self._bucket = _Bucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI interface)."""
        config, scope = self._config(), _in_origin_form(scope)
        answer = _Answer(send, config.headers)
        try:
            refusal = await self._refusal(scope, config)
            await (refusal or self._app)(scope, receive, answer.send)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            log.error("a request failed", extra=_what(scope, error=text), exc_info=log.isEnabledFor(logging.DEBUG))  # noqa: TRY400
            if not answer.status:
                await PlainTextResponse("internal error\n", SERVER_ERROR)(scope, receive, answer.send)
            return
        if answer.status >= FIRST_REFUSAL:
            serious = answer.status >= SERVER_ERROR or answer.status == UNAUTHORIZED
            why = {"error": scope[REASON]} if REASON in scope else {}
            log.log(logging.WARNING if serious else logging.INFO, "a request was refused",
                    extra=_what(scope, status=answer.status, **why))  # fmt: skip

    async def _refusal(self, scope: Scope, config: WebConfig) -> ASGIApp | None:
        """Return the answer for somebody who is not let in."""
        if limit := _beyond_limits(scope):
            return limit
        if config.rate_limit and not self._bucket.take(config.rate_limit):
            return PlainTextResponse("too many requests\n", 429, {"Retry-After": "1"})
        try:
            if not config.users or await self._knows(scope, config.users):
                return None
        except Busy:
            return PlainTextResponse("too many passwords to check\n", 503, {"Retry-After": "1"})
        return PlainTextResponse("unauthorized\n", UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="cgscope"'})

    async def _knows(self, scope: Scope, users: Mapping[str, str]) -> bool:
        given = [credentials(value) for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1 or given[0] is None:
            return False
        return await self._passwords.right(users, *given[0])


class _Answer:
    """Passes an answer on, with the headers that every answer has."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # uvicorn's Date (RFC 9110, section 6.6.1) is set by the loop that exporter.server replaces.
            added = {"date": formatdate(usegmt=True), **{name.lower(): value for name, value in self._headers.items()}}
            kept = [(name, value) for name, value in message["headers"] if name.decode("latin-1").lower() not in added]
            message["headers"] = [*kept, *((name.encode(), value.encode()) for name, value in added.items())]
        await self._send(message)


class _Bucket:
    """The token bucket of rate_limit."""

    def __init__(self) -> None:
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._at = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Take a token, if there is one."""
        now = time.monotonic()
        if limit != self._limit:
            self._limit, self._tokens = limit, float(limit.burst)
        else:
            self._tokens = min(float(limit.burst), self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _in_origin_form(scope: Scope) -> Scope:
    """Return a request with its path alone where a whole address was asked for, as of a proxy (RFC 9112, 3.2.2)."""
    whole = WHOLE.match(scope["raw_path"])
    if whole is None:
        return scope
    path = scope["raw_path"][whole.end() :] or b"/"
    return {**scope, "raw_path": path, "path": unquote(path.decode("ascii"))}


def _beyond_limits(scope: Scope) -> ASGIApp | None:
    """Return the answer for a request that is too large to look at."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET:
        return PlainTextResponse("URI too long\n", 414, {"Connection": "close"})
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        return PlainTextResponse("headers too large\n", 431, {"Connection": "close"})
    return None


def _what(scope: Scope, **more: object) -> dict[str, dict[str, object]]:
    """Return what a log line says of a request. The query is left out: nothing in it is worth keeping."""
    return fields(client=client(scope["client"]), method=scope["method"], path=scope["path"], **more)
