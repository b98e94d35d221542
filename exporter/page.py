"""/ui/: the live page, a few static files. It loads nothing from elsewhere, and its policy forbids it to."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from exporter.negotiate import accepts_gzip

__all__ = ["HEADERS", "files", "respond", "to_directory"]

DIRECTORY = os.path.join(os.path.dirname(__file__), "static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
GZIP_LEVEL = 6
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # After an upgrade no browser may mix old and new files: it asks each time, and is told "not modified".
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: plain and compressed."""

    content_type: str
    etag: str
    plain: bytes
    gzipped: bytes


@cache
def files() -> dict[str, File]:
    """Return the files by their path below /ui/; read once, when somebody opens the page.

    What is not in here cannot be asked for, whatever the path.
    """
    found = {}
    for directory, _, names in os.walk(DIRECTORY):
        for name in names:
            if content_type := TYPES.get(os.path.splitext(name)[1]):
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    plain = file.read()
                etag = f'"{hashlib.sha256(plain).hexdigest()[:32]}"'
                found[os.path.relpath(path, DIRECTORY)] = File(
                    content_type, etag, plain, gzip.compress(plain, GZIP_LEVEL, mtime=0)
                )
    return found


def respond(request: Request, path: str) -> Response:
    """Return the file at a path below /ui/ (the page itself for an empty one), 304 when the browser has it, or 404."""
    file = files().get(path or "index.html")
    if file is None:
        return Response("no such file\n", 404, HEADERS, "text/plain; charset=utf-8")
    # Two encodings of one file are told apart by Vary; the tag is weak so that it may stand for both (RFC 9110, 8.8.1).
    headers = HEADERS | {"ETag": f"W/{file.etag}"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = file.plain
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        body, headers["Content-Encoding"] = file.gzipped, "gzip"
    return Response(body, headers=headers | {"Content-Type": file.content_type})


def to_directory() -> Response:
    """Send /ui on to /ui/, relative to it: a proxy may have put a prefix before it."""
    return Response(status_code=307, headers={"Location": "ui/"})
