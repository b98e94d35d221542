"""The HTTP endpoints, over a real socket on loopback."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from itertools import count
from typing import NoReturn

import pytest
import uvicorn

from exporter.address import bind
from exporter.shared import Shared
from exporter.web import Endpoints, application
from inspector.model import Observation
from inspector.schema import Document
from tests.testbed.processes import until
from tests.unit.exporter_documents import busy, document
from tests.unit.exporting import made, observed, sharing

Answer = tuple[HTTPResponse, bytes]
Get = Callable[..., Answer]


def numbered(before: int, after: int) -> Document:
    """Make a document that tells which two observations it is of."""
    return document(busy(), interval_seconds=float(after - before))


@contextmanager
def served(
    look: Callable[[], Observation], *, observe: Callable[[], int] | None = None, max_requests: int = 40,
    path: str = "/metrics", prefix: str = "",
) -> Iterator[Get]:  # fmt: skip
    """Serve on a free port in a thread; gives a function that asks: get(path, method="GET", **headers)."""
    endpoints = Endpoints(
        made(look), observe or count(1).__next__, numbered,
        telemetry_path=path, prefix=prefix, max_requests=max_requests,
    )  # fmt: skip
    config = uvicorn.Config(application(endpoints), lifespan="off", log_config=None, ws="none", http="h11")
    server = uvicorn.Server(config)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()

        def get(path: str, method: str = "GET", **headers: str) -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
                response = connection.getresponse()
                return response, response.read()
            finally:
                connection.close()

        try:
            yield get
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(name="get", scope="module")
def get_fixture() -> Iterator[Get]:
    """Serve a machine with one container."""
    with served(lambda: observed("<b>&")) as get:
        yield get


@pytest.mark.parametrize("path", ["/metrics", "/metrics/cadvisor"])
def test_metrics_in_the_text_format(get: Get, path: str) -> None:
    """Both paths answer at once (no redirect), with the content type Prometheus 3 insists on."""
    response, body = get(path)
    assert response.status == 200
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.getheader("Vary") == "Accept, Accept-Encoding"
    assert b'container_cpu_usage_seconds_total{id="/docker/c0",name="<b>&",image="nginx",cpu="total"} 12.5\n' in body


def test_openmetrics_and_gzip_are_negotiated(get: Get) -> None:
    """A client that asks for OpenMetrics and gzip gets both, and can read them."""
    response, body = get("/metrics", Accept="application/openmetrics-text; version=1.0.0", Accept_Encoding="gzip")
    assert response.getheader("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert response.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body).endswith(b"# EOF\n")
    response, body = get("/metrics", Accept_Encoding="gzip;q=0")
    assert response.getheader("Content-Encoding") is None
    assert body.startswith(b"# HELP ")


def test_name_filter(get: Get) -> None:
    """`name[]`, given twice, leaves those two metrics."""
    _, body = get("/metrics?name[]=container_threads&name%5B%5D=container_processes")
    samples = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert [re.split("[ {]", line)[0] for line in samples] == ["container_processes", "container_threads"]


def test_collector_filter(get: Get) -> None:
    """`collect[]` leaves those collectors; one that does not run here is a client's mistake, named in one line."""
    _, body = get("/metrics?collect[]=cpu")
    assert b"container_cpu_usage_seconds_total" in body
    assert b"container_memory_usage_bytes" not in body
    response, body = get("/metrics?collect[]=cpu&collect[]=gpu")
    assert (response.status, body.count(b"\n")) == (400, 1)
    assert body.startswith(b"'gpu' is not a collector that runs here")


def test_methods_and_paths(get: Get) -> None:
    """HEAD has headers and no body; POST is refused; nothing lies below /metrics; no generated documentation."""
    response, body = get("/metrics", "HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.getheader("Content-Length") or 0) > 1000
    assert get("/metrics", "POST")[0].status == 405
    assert [get(path)[0].status for path in ("/metrics/x", "/docs", "/openapi.json", "/redoc")] == [404] * 4


@pytest.mark.parametrize("path", ["/healthz", "/-/healthy", "/-/ready"])
def test_health(get: Get, path: str) -> None:
    """Each of the three habits is answered with 200 and "ok"."""
    response, body = get(path)
    assert (response.status, body) == (200, b"ok\n")


def test_landing_page(get: Get) -> None:
    """The page names the program, its links are relative and lead somewhere, and it may load nothing at all."""
    response, body = get("/")
    page = body.decode()
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert "<h1>cgscope-exporter</h1>" in page
    assert "prefers-color-scheme: dark" in page
    links = re.findall('href="([^"]+)"', page)
    assert links[0] == "metrics"
    assert [get("/" + link.replace("=1", "=0.1"))[0].status for link in links] == [200] * 4
    policy = response.getheader("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_document_over_an_interval(get: Get) -> None:
    """The JSON is made of two observations that lie the interval apart."""
    start = time.monotonic()
    response, body = get("/api/v1/containers?interval=0.3")
    assert time.monotonic() - start >= 0.3
    assert response.getheader("Content-Type") == "application/json"
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    made = json.loads(body)
    assert made["interval_seconds"] == 1
    assert [container["name"] for container in made["containers"]] == ["web"]


@pytest.mark.parametrize("interval", ["0", "0.09", "10.1", "nan", "inf", "-1", "x", "", "1e400"])
def test_a_bad_interval_is_refused_in_one_line(get: Get, interval: str) -> None:
    """An interval that is no number from 0.1 to 10 gets 400 and a sentence, at once."""
    response, body = get(f"/api/v1/containers?interval={interval}")
    assert response.status == 400
    assert json.loads(body) == {"error": "interval must be a number of seconds from 0.1 to 10"}


def test_a_machine_that_cannot_be_read_is_no_500() -> None:
    """The scrape is served with success 0; a document there is none, and it is 503."""

    def broken() -> NoReturn:
        raise OSError(5, "Input/output error")

    with served(broken, observe=broken) as get:
        response, body = get("/metrics")
        document_, reason = get("/api/v1/containers?interval=0.1")
    assert response.status == 200
    assert b'cgscope_scrape_collector_success{collector="containers"} 0\n' in body
    assert (document_.status, json.loads(reason)) == (503, {"error": "the machine could not be read: OSError"})


def test_concurrent_scrapes_share_a_look_and_are_limited() -> None:
    """Of three scrapes at a time where two are allowed, two share one look and the third gets 503."""
    started, go_on, looks = threading.Event(), threading.Event(), []

    def look() -> Observation:
        looks.append(1)
        started.set()
        assert go_on.wait(60)
        return observed()

    with served(Shared(look), max_requests=2) as get, ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, "/metrics")
        assert started.wait(60)
        second = pool.submit(get, "/metrics", Accept_Encoding="gzip")  # else it would need no thread of its own
        until(lambda: sharing() == 1, "the second to wait")
        response, body = get("/metrics")
        assert get("/healthz")[0].status == 200
        go_on.set()
        assert [answer.result()[0].status for answer in (first, second)] == [200, 200]
    assert (response.status, body) == (503, b"too many requests at a time\n")
    assert len(looks) == 1


def test_another_telemetry_path() -> None:
    """--web.telemetry-path moves the metrics, and the landing page links to them there."""
    with served(observed, path="/scrape/me") as get:
        assert get("/scrape/me")[0].status == 200
        assert get("/metrics")[0].status == 404
        assert b'<a href="scrape/me">/scrape/me</a>' in get("/")[1]


def test_all_endpoints_under_a_prefix() -> None:
    """With --web.route-prefix each endpoint is there and not at the top, which leads to it; links stay relative."""
    with served(observed, prefix="/a/b") as get:
        page = get("/a/b/")[1].decode()
        links = re.findall('href="([^"]+)"', page)
        assert ">/a/b/metrics</a>" in page
        assert [get(f"/a/b/{link.replace('=1', '=0.1')}")[0].status for link in links] == [200] * 4
        assert [get(f"/a/b/{path}")[0].status for path in ("-/healthy", "-/ready", "metrics/cadvisor")] == [200] * 3
        assert [get(path)[0].status for path in ("/metrics", "/healthz", "/ui/", "/a/metrics")] == [404] * 4
        for path in ("/", "/a/b"):
            response, _ = get(path)
            assert (response.status, response.getheader("Location")) == (302, "/a/b/")
        assert get("/a/b/ui")[0].getheader("Location") == "ui/"
