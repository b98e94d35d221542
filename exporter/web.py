"""The HTTP endpoints. Nothing runs between requests: each one looks at the machine anew.

Looking blocks, so it happens in a worker thread and never in the event loop.
Scrapes that come at the same moment share one look (exporter.shared), and those
that ask for the same one page (exporter.joined).
"""

# FastAPI reads the annotations of the handlers below when the application is
# made, from this module's globals: they must be objects, not strings.
import asyncio
import gzip
import json
import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from exporter.guard import REASON
from exporter.joined import Joined
from exporter.landing import SECURITY_HEADERS, landing
from exporter.negotiate import OPENMETRICS, TEXT, accepts_gzip, wants_openmetrics
from exporter.page import respond, to_directory
from exporter.scrape import Scraper, version
from exporter.sending import Pieces, Reel
from exporter.stream import Streams
from inspector.schema import Document

__all__ = ["Endpoints", "application"]

log = logging.getLogger(__name__)

MIN_INTERVAL, MAX_INTERVAL = 0.1, 10.0
GZIP_LEVEL = 3  # a third larger than level 9 and a third of its time
PLAIN = "text/plain; charset=utf-8"

T = TypeVar("T")


class _Wish(NamedTuple):
    """What a client asks of a scrape: who asks the same at the same moment gets the same."""

    openmetrics: bool
    packed: bool
    names: tuple[str, ...]
    collect: tuple[str, ...]


class Busy(Exception):
    """As many requests as allowed are being served already."""


class Limit(AbstractContextManager[None]):
    """A with-block that at most `most` may be in at a time (0: any number); the next one raises Busy.

    For the event loop's thread: who waited for a worker thread to be refused would not be refused any more.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def __enter__(self) -> None:
        if self._most and self._inside >= self._most:
            raise Busy
        self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._inside -= 1


class Endpoints(Generic[T]):
    """The handlers. `observe` takes one observation, `document` makes a document of two of them.

    `prefix` stands before every path, `external` before those that are shown to people.
    """

    def __init__(
        self,
        scraper: Scraper,
        observe: Callable[[], T],
        document: Callable[[T, T], Document],
        *,
        telemetry_path: str = "/metrics",
        prefix: str = "",
        external: str | None = None,
        max_requests: int = 40,
    ) -> None:
        self._scraper = scraper
        self._observe = observe
        self._document = document
        self._pages = Joined(self._page)
        self.telemetry_path = telemetry_path
        self.prefix = prefix
        self._external = prefix if external is None else external
        # Each its own: clients who ask for ten seconds of the document must not keep Prometheus out.
        self._scrapes, self._documents = Limit(max_requests), Limit(max_requests)

    async def metrics(self, request: Request) -> Response:
        """`/metrics`: the page as the client asks for it; `name[]` picks metrics, `collect[]` collectors."""
        wish = _Wish(
            wants_openmetrics(request.headers.get("accept", "")),
            accepts_gzip(request.headers.get("accept-encoding", "")),
            *(tuple(request.query_params.getlist(key)) for key in ("name[]", "collect[]")),
        )
        with self._scrapes:
            try:
                reel, clients = await self._pages(wish)
            except ValueError as error:
                return Response(f"{error}\n", 400, media_type=PLAIN)
        reel.shared |= clients > 1
        headers = _headers(OPENMETRICS if wish.openmetrics else TEXT, packed=wish.packed)
        return Pieces(reel, reel.size, headers)

    def _page(self, wish: _Wish) -> Reel:
        page = self._scraper.page(openmetrics=wish.openmetrics, names=wish.names, collect=wish.collect)
        if not wish.packed:
            return Reel(page.pieces, page.size)
        pieces = list(page.gzipped())
        return Reel(pieces.__iter__, sum(map(len, pieces)))

    async def containers(self, request: Request) -> Response:
        """`/api/v1/containers?interval=S`: the document over the next S seconds."""
        interval = _interval(request.query_params.get("interval", "1"))
        if interval is None:
            return _error(400, f"interval must be a number of seconds from {MIN_INTERVAL} to {MAX_INTERVAL:g}")
        with self._documents:
            try:
                body = await self._between(interval)
            except Exception as error:
                log.debug("the document could not be made", exc_info=True)
                request.scope[REASON] = f"{type(error).__name__}: {error}"
                return _error(503, f"the machine could not be read: {type(error).__name__}")
        packed = accepts_gzip(request.headers.get("accept-encoding", ""))
        body = gzip.compress(body, GZIP_LEVEL, mtime=0) if packed else body
        return Pieces([body], len(body), _headers("application/json", packed=packed))

    async def _between(self, interval: float) -> bytes:
        """Observe, wait without holding a thread, observe again; return JSON."""
        before = await run_in_threadpool(self._observe)
        await asyncio.sleep(interval)
        return await run_in_threadpool(lambda: json.dumps(self._document(before, self._observe())).encode())

    # These two wait for nothing, so they need no thread: they answer even when all threads are busy.
    async def index(self) -> Response:
        """`/`: the landing page."""
        page = landing(version(), self.telemetry_path, self._external)
        return Response(page, media_type="text/html; charset=utf-8", headers=SECURITY_HEADERS)

    async def to_index(self) -> Response:
        """`/` where all endpoints have a prefix: on to the landing page, as in Prometheus."""
        return Response(status_code=302, headers={"Location": f"{self.prefix}/"})

    @staticmethod
    async def health() -> Response:
        """`/healthz`, `/-/healthy` and `/-/ready`: whoever gets an answer knows that the exporter is alive."""
        return Response("ok\n", media_type=PLAIN)


def application(endpoints: Endpoints[T], streams: Streams[T] | None = None) -> FastAPI:
    """Return the ASGI application; without `streams` the live page has nothing to show."""
    # The generated documentation loads scripts from elsewhere; a redirect from /metrics/ would name the host that the
    # client claims to have asked; and no telemetry of its own, whatever a pod's environment says.
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, telemetry={"auto_configure": False}
    )
    app.add_exception_handler(Busy, _busy)
    routes: list[tuple[str, Callable[..., object]]] = [
        (endpoints.telemetry_path, endpoints.metrics),
        ("/metrics/cadvisor", endpoints.metrics),
        ("/api/v1/containers", endpoints.containers),
        *((path, endpoints.health) for path in ("/healthz", "/-/healthy", "/-/ready")),
        ("/", endpoints.index),
        ("/ui", to_directory),
        ("/ui/{path:path}", respond),
    ]
    if streams is not None:
        routes.append(("/api/v1/stream", streams.respond))
    routes = [(endpoints.prefix + path, handler) for path, handler in routes]
    if endpoints.prefix:
        routes += [(path, endpoints.to_index) for path in ("/", endpoints.prefix)]
    for path, handler in routes:
        app.add_api_route(path, handler, methods=["GET", "HEAD"], response_model=None)
    return app


def _busy(_: Request, __: Exception) -> Response:
    return Response("too many requests at a time\n", 503, {"Retry-After": "1"}, PLAIN)


def _headers(content_type: str, *, packed: bool) -> dict[str, str]:
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding", "Cache-Control": "no-store"}
    return {**SECURITY_HEADERS, **headers, **({"Content-Encoding": "gzip"} if packed else {})}


def _error(status: int, text: str) -> Response:
    return Response(json.dumps({"error": text}).encode(), status, media_type="application/json")


def _interval(text: str) -> float | None:
    try:
        interval = float(text)
    except ValueError:
        return None
    return interval if math.isfinite(interval) and MIN_INTERVAL <= interval <= MAX_INTERVAL else None
