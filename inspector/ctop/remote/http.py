"""One HTTP server that is asked again and again: bounded in size and time, its certificate checked.

Redirects are not followed: what a server names could be anything.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from inspector.errors import InspectorError

__all__ = ["MOST_BYTES", "Address", "Answer", "RemoteError", "Server", "address", "parsed"]

MOST_BYTES = 64 << 20
"""Of one answer, or one event of a stream, when it is unpacked."""

PIECE = 1 << 16
PORTS = {"http": 80, "https": 443}
TROUBLE = (OSError, http.client.HTTPException, ssl.SSLError, zlib.error, ValueError)


class RemoteError(InspectorError):
    """A server that cannot be reached, refuses, or says what cannot be: which, and why."""


class Address(NamedTuple):
    """Where a server is; `shown` is its URL without the password."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None
    shown: str


class Answer(NamedTuple):
    """The body of an answer, unpacked."""

    status: int
    body: bytes


def address(text: str, port: int) -> Address:
    """Return what a URL says, of which the scheme and port may be missing; ValueError with what is wrong with it."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in PORTS:
        raise ValueError(f"{text[:80]!r} is no URL such as http://node:{port}")
    host, given = parts.hostname, parts.port  # ValueError for a port that is none
    bad = any(ord(character) < 0x21 or ord(character) > 0x7E for character in text)  # noqa: PLR2004  printable ASCII
    if not host or bad or parts.query or parts.fragment:
        raise ValueError(f"{parts._replace(netloc=host or '').geturl()[:80]!r} is no URL such as http://node:{port}")
    number = given if given is not None else port if "://" not in text or parts.scheme == "http" else PORTS["https"]
    name = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{name}:{number}{parts.path.rstrip('/')}"
    return Address(parts.scheme, host, number, parts.path.rstrip("/"), _authorization(parts), shown)


def _authorization(parts: Any) -> str | None:  # noqa: ANN401  the result of urlsplit has no name of its own
    if parts.username is None and parts.password is None:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


class Server:
    """Asks one server; `authority` is a file of certificates to trust, `insecure` trusts whoever answers.

    Not for two threads at once, but for close().
    """

    def __init__(self, where: Address, *, authority: str | None = None, insecure: bool = False) -> None:
        self.where = where
        self._connection: http.client.HTTPConnection | None = None
        self._reader: int | None = None  # the thread that waits for an answer
        self._context = None
        self._headers = {"Accept-Encoding": "gzip", "User-Agent": "ctop"}
        if where.authorization is not None:
            self._headers["Authorization"] = where.authorization
        if where.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=authority)
            except (OSError, ssl.SSLError) as error:
                raise RemoteError(f"the certificates in {authority!r}: {_said(error)}") from error
            # As in Prometheus, curl and Python before 3.13: an authority of one's own, as `openssl req -x509` makes it,
            # lacks what RFC 5280 wants of one.
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if insecure:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE

    def ask(
        self, path: str, *, seconds: float, form: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer, which must be there in full within some seconds; RemoteError when it is not."""
        body = bytearray()
        with self.stream(path, seconds=seconds, form=form, headers=headers) as (status, pieces):
            for piece in pieces:
                body += piece
                if len(body) > MOST_BYTES:
                    self.close()
                    raise RemoteError(f"{self.where.shown}: the answer is larger than {MOST_BYTES >> 20} MiB")
        return Answer(status, bytes(body))

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        seconds: float | None,
        quiet: float | None = None,
        form: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Give status and body piece by piece; all of it within `seconds`, or each piece within `quiet`.

        Any error of the connection, in the caller's block too, is a RemoteError.
        """
        connection = self._connected(quiet if quiet is not None else seconds)
        self._reader = threading.get_ident()
        # A server that sends a byte now and then would never be too late for the socket's own timeout.
        late = threading.Event()
        timer = threading.Timer(seconds if seconds is not None else quiet or 0, self._cut, (connection, late))
        timer.daemon = True
        timer.start()
        try:
            self._request(connection, path, form, headers or {})
            with connection.getresponse() as response:
                if seconds is None:
                    timer.cancel()
                self._check(response)
                yield response.status, _unpacked(response)
            if late.is_set():  # to be cut off looks like an end
                raise TimeoutError
        except TROUBLE as error:
            self.close()
            text = f"no answer within {seconds or quiet:g} seconds" if late.is_set() else _said(error)
            raise RemoteError(f"{self.where.shown}: {text}") from error
        finally:
            timer.cancel()
            self._reader = None
            if self._connection is not connection:  # another thread has ended it
                connection.close()

    def _request(
        self, connection: http.client.HTTPConnection, path: str, form: bytes | None, headers: Mapping[str, str]
    ) -> None:
        """Send a question: a form as a POST, else a GET."""
        sent = {**self._headers, **headers}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("GET" if form is None else "POST", self.where.path + path, form, sent)

    def _connected(self, seconds: float | None) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self.where.host, self.where.port
            if self._context is not None:
                self._connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=self._context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=seconds)
        return self._connection

    @staticmethod
    def _cut(connection: http.client.HTTPConnection, late: threading.Event | None = None) -> None:
        if late is not None:
            late.set()
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(2)

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status in (200, 400, 422):  # those two are Prometheus', with the reason in the body
            return
        reasons = {
            401: "a name and password are needed: http://NAME:PASSWORD@HOST",
            403: "refused",
            404: "there is no such page: is it the right server?",
        }
        if response.status // 100 == 3:  # noqa: PLR2004  redirects
            text = "it sends elsewhere: give the URL that it has moved to"
        else:
            text = reasons.get(response.status, http.client.responses.get(response.status, "no HTTP status"))
        self.close()
        raise RemoteError(f"{self.where.shown}: {text} (HTTP {response.status})")

    def close(self) -> None:
        """End the connection; the next question makes another. From any thread: it ends a read as well.

        Who reads closes it then: what is closed under a read fails in the library, with no error of a connection.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            self._cut(connection)
            if self._reader in (None, threading.get_ident()):
                connection.close()


def _unpacked(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body, whatever size it claims to have or to unpack to, in bounded pieces."""
    packed = response.headers.get("Content-Encoding", "") == "gzip"
    inflate = zlib.decompressobj(31) if packed else None
    while piece := response.read1(PIECE):
        while piece:
            if inflate is None:
                yield piece
                break
            yield inflate.decompress(piece, PIECE)
            piece = inflate.unconsumed_tail


def parsed(text: bytes, where: Address) -> Any:  # noqa: ANN401
    """Return what a JSON text says; RemoteError when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"{where.shown}: what it says is no JSON: is it the right server?") from error


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (--ca FILE, or --insecure)"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected) or (isinstance(error, OSError) and error.errno in (104, 32)):
        return "it closed the connection"
    if isinstance(error, http.client.BadStatusLine):  # its text is what the server sent
        return "what it says is no HTTP: is it the right server?"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error) or type(error).__name__
