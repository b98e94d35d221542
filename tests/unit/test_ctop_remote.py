"""ctop through servers: an exporter's stream, a Prometheus; honest, slow, broken and hostile ones, on loopback."""

from __future__ import annotations

import gzip
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.ctop import main
from inspector.ctop.remote import connect, prometheus
from inspector.ctop.remote import http as remote_http
from inspector.ctop.remote.connect import Exporter
from inspector.ctop.remote.fleet import Sample, document_of
from inspector.ctop.remote.http import Address, RemoteError, Server, address
from inspector.ctop.remote.prometheus import Prometheus, matchers, questions
from inspector.ctop.remote.series import ABOVE, GAUGES, INFOS, RATES
from inspector.ctop.shape import checked
from inspector.schema import Document
from inspector.views.header import header
from inspector.views.jsontext import to_json
from inspector.views.scene import Scene
from tests.testbed.certificates import Authority
from tests.unit.documents import container, document

Series = tuple[list[Sample], list[Sample], list[Sample]]
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer, wrap: Callable[[Any], Any] = lambda sock: sock) -> Iterator[str]:
    """Serve GET and POST on loopback; gives the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            # What is left unread resets the connection when it is closed, and takes the rest of the answer with it.
            self.asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                answer(self)
            except OSError:  # the client has seen enough
                return

        do_POST = do_GET  # noqa: N815  the name is the library's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that broke off."""

    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Return what answers with this."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def event(found: object, name: str = "message") -> bytes:
    """Return a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(found)}\n\n".encode()


def at(where: str) -> Address:
    """Return the address of a server of ours."""
    return address(where, 10071)


@pytest.mark.parametrize(
    ("text", "shown", "port", "authorization"),
    [
        ("node", "http://node:10071", 10071, None),
        ("http://node", "http://node:10071", 10071, None),
        ("https://node/", "https://node:443", 443, None),
        ("[::1]:99", "http://[::1]:99", 99, None),
        ("http://me:se%40cret@node/exporter/", "http://node:10071/exporter", 10071, "Basic bWU6c2VAY3JldA=="),
    ],
)
def test_addresses(text: str, shown: str, port: int, authorization: str | None) -> None:
    """Scheme and port may be missing; a password is used and never shown."""
    where = address(text, 10071)
    assert (where.shown, where.port, where.authorization) == (shown, port, authorization)


def test_the_stream_of_an_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest document counts, gzip and comments are understood, and after it ended it is asked for again."""
    monkeypatch.setattr(connect, "BACKOFF", (0.01,))
    asked = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers["Authorization"]))
        text = b"retry: 1000\n\n:\n\n" + event(document(container(f"c{len(asked)}")))
        packed = gzip.compress(text)
        saying(packed, Content_Encoding="gzip", Content_Length=str(len(packed)))(handler)

    with serving(answer) as where, Exporter(at(f"http://me:secret@{where}"), 0.2) as exporter:
        exporter.begin()
        deadline = time.monotonic() + 60
        seen: set[str] = set()
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.add(exporter()["containers"][0]["name"])
    assert len(seen) >= 3
    assert asked[0] == ("/api/v1/stream?interval=0.5", "Basic bWU6c2VjcmV0")


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_to_close_in_the_middle_of_a_read_is_no_error() -> None:
    """A stream that is left while its thread reads ends without a word, whenever that is."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        body = event(document(container("web")))
        while True:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))

    with serving(answer) as where:
        for _ in range(20):
            with Exporter(at(where), 1) as exporter:
                exporter.begin()
            assert not exporter._thread.is_alive()  # noqa: SLF001  nothing else tells that it has ended


def test_a_lost_connection_keeps_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the exporter goes, the last picture stays, with since when it is old; when it is back, the note is gone."""
    monkeypatch.setattr(connect, "BACKOFF", (0.01,))
    up = threading.Event()
    up.set()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if up.is_set():
            saying(event(document(container("web"))))(handler)
        else:
            saying(b"", 503)(handler)

    def problems(exporter: Exporter) -> list[str]:
        found = exporter()
        assert [one["name"] for one in found["containers"]] == ["web"]
        return found["problems"]

    with serving(answer) as where, Exporter(at(where), 0.1) as exporter:
        exporter.begin()
        up.clear()
        deadline = time.monotonic() + 60
        while not any("old since" in one and "503" in one for one in problems(exporter)):
            assert time.monotonic() < deadline
        up.set()
        while any("503" in one for one in problems(exporter)):
            assert time.monotonic() < deadline


def test_a_lost_connection_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that ends is a problem of the very next picture, however long a document is waited for."""
    monkeypatch.setattr(connect, "PATIENCE", 3600.0)
    monkeypatch.setattr(connect, "BACKOFF", (3600.0,))
    with serving(saying(event(document(container("web"))))) as where, Exporter(at(where), 0.1) as exporter:
        exporter.begin()
        found: list[Document] = []
        reader = threading.Thread(target=lambda: found.append(exporter()), daemon=True)
        reader.start()
        reader.join(timeout=60)
        assert [one["problems"][0].startswith("old since") for one in found] == [True]


def test_a_problem_of_the_exporter_is_told() -> None:
    """An event that says the machine could not be read is a problem beside the last picture."""
    text = event(document(container("web"))) + event({"error": "could not be read: \x1b[2J"}, "problem")

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        saying(text)(handler)
        handler.wfile.flush()
        time.sleep(5)

    with serving(answer) as where, Exporter(at(where), 0.1) as exporter:
        exporter.begin()
        deadline = time.monotonic() + 60
        while not any("could not be read" in one for one in exporter()["problems"]):
            assert time.monotonic() < deadline


def bad(**changes: object) -> bytes:
    """Return an event with a document that is wrong in something."""
    return event({**document(container("web")), **changes})


def worse(**changes: object) -> bytes:
    """Return an event with a container that is wrong in something."""
    return event(document(container(**{"name": "web", **changes})))  # type: ignore[arg-type]


def babbling(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer with what is no HTTP."""
    handler.wfile.write(b"\x1b[2J\x00 garbage\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (saying(b"", 401), "a name and password are needed"),
        (saying(b"", 404), "there is no such page: is it the right server? (HTTP 404)"),
        (saying(b"", 302, Location="http://evil/"), "it sends elsewhere"),
        (saying(b"", 503), "Service Unavailable (HTTP 503)"),
        (babbling, "what it says is no HTTP: is it the right server?"),
        (saying(b"<html>"), "the stream has ended"),
        (saying(b"data: {}\n\n"), "the document's schema is 'None', not 1"),
        (saying(b"data: [\n\n"), "what it says is no JSON"),
        (saying(b"data: " + b"[" * 100_000 + b"\n\n"), "what it says is no JSON"),
        (saying(bad(schema=2)), "the document's schema is '2', not 1"),
        (saying(bad(containers={})), "containers is an object, not a list"),
        (saying(bad(taken_at="\x1b[2J")), "taken_at is text, not a number"),
        (saying(bad(host=None)), "host is null, not an object"),
        (saying(worse(name=["\x1b"])), "containers.name is a list, not text"),
        (saying(worse(kind="\x1b")), "containers.kind is text, not container or service or cgroup"),
        (saying(worse(cpu={"usage_cores": True})), "cpu.usage_cores is true or false, not a number"),
        (saying(worse(memory={"usage_bytes": 10**400})), "memory.usage_bytes is too large a number"),
        (saying(worse(created_at=float("inf"))), "created_at is no finite number"),
        (saying(event(document(container("a"), container("a")))), "two containers have the same id"),
        (saying(event(document(container("a", node="x"), container("b")))), "some containers have a node"),
        (saying(gzip.compress(b"data: " + b" " * (4 << 20)), Content_Encoding="gzip"), "larger than 1 MiB"),
        (saying(b"not gzip", Content_Encoding="gzip"), "incorrect header check"),
    ],
)
def test_a_lying_exporter_is_one_line(
    answer: Answer, complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server says: exit code 1 and one line without its escape sequences, which names the server."""
    monkeypatch.setattr(connect, "MOST_BYTES", 1 << 20)
    with serving(answer) as where:
        assert main(["--connect", f"http://me:secret@{where}", "--once", "-d", "0.1"]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert where in said
    assert "secret" not in said
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_an_older_exporter_is_understood() -> None:
    """A key that may be null and is missing is unknown; one that is more is left out."""
    old: Any = json.loads(to_json(document(container("web", novel=1))))
    del old["containers"][0]["pod"], old["containers"][0]["network"]["shared_with_count"], old["denied_files"]
    found = checked(old)
    assert found["containers"][0]["pod"] is None
    assert header(found, Scene(), [])
    assert "novel" not in found["containers"][0]
    assert checked(json.loads(to_json(document(container("web"))))) == document(container("web"))


def test_an_unreachable_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody there, and a name that is none."""
    with serving(saying(b"")) as where:
        pass
    for option in ("--connect", "--prometheus"):
        assert main([option, f"http://{where}", "--once", "-d", "0.1"]) == 1
        assert capsys.readouterr().err == f"ctop: http://{where}: Connection refused\n"


def test_a_slow_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes byte by byte, head or body, ends with the time it may take; one too large with its size."""

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        for _ in range(60):
            handler.wfile.write(b"H")
            handler.wfile.flush()
            time.sleep(0.05)

    def drip_body(handler: http.server.BaseHTTPRequestHandler) -> None:
        saying(b"")(handler)
        drip(handler)

    for answer in (drip, drip_body):
        with serving(answer) as where:
            server = Server(at(where))
            with pytest.raises(RemoteError, match=r"no answer within 0\.3 seconds"):
                server.ask("/", seconds=0.3)
    monkeypatch.setattr(remote_http, "MOST_BYTES", 1000)
    with serving(saying(b"x" * 2000)) as where, pytest.raises(RemoteError, match="the answer is larger than"):
        Server(at(where)).ask("/", seconds=20)


def test_certificates_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server's certificate must be trusted: by --ca, or not at all by --insecure; a bad file is one line."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", sans="DNS:localhost"))
    text = saying(event(document(container("web"))))
    with serving(text, lambda sock: context.wrap_socket(sock, server_side=True)) as where:
        url = f"https://localhost:{where.rpartition(':')[2]}"
        assert main(["--connect", url, "--once", "-d", "0.1"]) == 1
        assert "its certificate is not trusted" in capsys.readouterr().err
        assert main(["--connect", url, "--once", "-d", "0.1", "--ca", str(tmp_path / "nothing")]) == 1
        assert "the certificates in" in capsys.readouterr().err
        for option in (["--insecure"], ["--ca", str(authority.ca)]):
            assert main(["--connect", url, "--once", "-d", "0.1", *option]) == 0
            assert "web " in capsys.readouterr().out


def series(metric: str, value: object, **labels: str) -> dict[str, object]:
    """Return one result of an instant query."""
    return {"metric": {"__name__": metric, **labels}, "value": [1_700_000_000.0, str(value)]}


RECEIVED = "container_network_receive_bytes_total"
WEB: dict[str, Any] = {"id": "/docker/aaaa", "name": "web", "image": "nginx", "job": "cadvisor", "instance": "a:8080"}


def cadvisor(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Answer as a Prometheus does that scrapes cAdvisor alone."""
    body = vars(handler)["asked"]
    query = urllib.parse.parse_qs(body.decode())["query"][0]
    found: list[Any]
    if "label_replace" in query:
        found = [
            {"metric": {**WEB, "cpu": "total", "cgscope": "container_cpu_usage_seconds_total"}, "value": [0, "0.25"]},
            {"metric": {**WEB, "cgscope": "container_cpu_cfs_periods_total"}, "value": [0, "10"]},
            {"metric": {**WEB, "cgscope": "container_cpu_cfs_throttled_periods_total"}, "value": [0, "9"]},
            {"metric": {**WEB, "interface": "eth0", "cgscope": RECEIVED}, "value": [0, "100"]},
            {"metric": {**WEB, "interface": "eth1", "cgscope": RECEIVED}, "value": [0, "100"]},
            {"metric": {"id": "/", "instance": "a:8080", "job": "cadvisor", "cgscope": "used_bytes"},
             "value": [0, "2048"]},
        ]  # fmt: skip
    elif "machine_cpu_cores" in query:
        both = [{"instance": f"{node}:8080", "job": "cadvisor"} for node in "ab"]
        found = [series("machine_cpu_cores", 4, **labels) for labels in both]
        found += [series("machine_memory_bytes", 4096, **labels) for labels in both]
        found += [series("up", 1, **both[0]), series("up", 0, **both[1]), series("up", 0, instance="x", job="node")]
    else:
        evil = {**WEB, "name": "evil\x1b[2J", "id": "/docker/bbbb", "instance": "b:8080"}
        found = [
            series("container_spec_cpu_quota", 20000, **WEB),
            series("container_spec_cpu_period", 100000, **WEB),
            series("container_memory_working_set_bytes", 900, **WEB),
            series("container_spec_memory_limit_bytes", 1000, **WEB),
            series("container_threads_max", 0, **WEB),
            series("container_spec_memory_limit_bytes", 0, **evil),
            series("container_memory_usage_bytes", "NaN", **evil),
        ]
    data = {"status": "success", "data": {"resultType": "vector", "result": found}}
    saying(json.dumps(data).encode(), Content_Type="application/json")(handler)


def test_a_fleet_of_cadvisors(capsys: pytest.CaptureFixture[str]) -> None:
    """With cAdvisor's own metrics alone there are nodes, use, own limits, findings; the rest is unknown."""
    with serving(cadvisor) as where:
        with Prometheus(at(where)) as source:
            found = checked(json.loads(json.dumps(source())))
        assert main(["--prometheus", where, "--once", "-s", "node", "-d", "0.1"]) == 0
    web, evil = found["containers"]
    assert (web["name"], web["node"], web["id"]) == ("web", "a:8080", "a:8080/docker/aaaa")
    cpu, memory = web["cpu"], web["memory"]
    assert (cpu["usage_cores"], cpu["limit_cores"], cpu["limit_ratio"]) == (0.25, 0.2, 1.25)
    assert (cpu["throttled_ratio"], cpu["limit_set_by"]) == (0.9, "/docker/aaaa")
    assert (memory["limit_bytes"], memory["limit_ratio"], memory["unreclaimable_bytes"]) == (1000, 0.9, None)
    assert web["network"]["receive_bytes_per_second"] == 200
    assert web["pids"] == {"current": None, "limit": None, "limit_set_by": None}
    assert (web["runtime"], web["pid"], web["network"]["shared_with_host"]) == (None, None, None)
    assert [one["code"] for one in web["findings"]] == ["cpu-throttled"]
    assert (evil["memory"]["limit_bytes"], evil["memory"]["usage_bytes"]) == (None, None)
    assert found["problems"] == ["Prometheus cannot scrape b:8080"]
    assert (found["host"]["cpus"], found["host"]["memory_used_bytes"]) == (8, 2048)
    shown = capsys.readouterr().out
    assert "ctop 2 nodes by 127.0.0.1" in shown
    assert "NODE" in shown
    assert shown.index("web ") < shown.index("evil\\x1b[2J")


def test_an_exporter_of_ours_tells_more() -> None:
    """Our own metrics give effective limits and who sets them, the runtime, the state and what it has found."""
    labels = {**WEB, "node": "n1"}
    info = {**labels, "runtime": "docker", "state": "paused", "kind": "container", "pid": "42", "parent": "/docker/p"}
    figures = [
        Sample("container_cpu_limit_cores", labels, 0.5),
        Sample("container_cpu_limit_info", {**labels, "set_by": "/kubepods"}, 1),
        Sample("container_info", info, 1),
        Sample("container_finding", {**labels, "code": "host-pid", "severity": "warning"}, 1),
        Sample("container_finding", {**labels, "code": "novel", "severity": "\x1b"}, 1),
        Sample("container_processes", labels, 3),
    ]
    [one] = document_of(figures, [], [], 1.0, "prom")["containers"]
    assert (one["node"], one["runtime"], one["state"], one["pid"]) == ("n1", "docker", "paused", 42)
    assert (one["cpu"]["limit_cores"], one["cpu"]["limit_set_by"]) == (0.5, "/kubepods")
    assert (one["parent"], one["members"]) == ("n1/docker/p", 3)
    assert [found["code"] for found in one["findings"]] == ["host-pid"]


def test_a_container_that_is_gone_is_not_shown() -> None:
    """Its rates, which Prometheus still makes of the samples in their window, do not bring it back."""
    figures, rates, machines = scraped("own", paths=("/docker/a", "/docker/gone"))
    found = told(([one for one in figures if one.labels["id"] != "/docker/gone"], rates, machines))
    assert [(one["id"], one["cpu"]["usage_cores"]) for one in found["containers"]] == [("n1/docker/a", 0.5)]


def test_the_quota_of_a_cgroup_above() -> None:
    """It is told as on its own machine: the worst of those above, by its path, and as a finding."""
    labels = {**WEB, "node": "n1"}
    above = {"/shop": (10.0, 9.0), "/": (10.0, 1.0), "/idle": (0.0, 0.0)}
    rates = [
        Sample(f"container_cpu_inherited_{metric}_total", {**labels, "set_by": by}, value)
        for by, values in above.items()
        for metric, value in zip(("periods", "throttled_periods"), values, strict=True)
    ]
    figures = [Sample("container_cpu_usage_seconds_total", labels, 7.0)]
    [one] = document_of(figures, rates, [], 1.0, "prom")["containers"]
    cpu = one["cpu"]
    assert (cpu["throttled_ratio"], cpu["inherited_throttled_ratio"], cpu["throttled_by"]) == (None, 0.9, "/shop")
    assert [found["text"] for found in one["findings"]] == [
        "throttled in 90% of the periods by the quota of /shop, above it"
    ]


def scraped(job: str, *, ours: bool = False, node: str = "n1", paths: Sequence[str] = ("/docker/a",)) -> Series:
    """Return the figures, the rates and the machine that one job tells of a node."""
    labels = {"job": job, "node": node, "instance": f"{node}:1", "image": "nginx"}
    ones = [{**labels, "id": path} for path in paths]
    root = {**labels, "id": "/"}
    figures = [Sample("container_memory_working_set_bytes", one, 100 + len(job)) for one in ones]
    figures += [Sample("container_info", {**one, "runtime": "docker"}, 1) for one in ones if ours]
    rates = [Sample("container_cpu_usage_seconds_total", one, 0.5) for one in ones] + [Sample("used_cores", root, 0.75)]
    return figures, rates, [Sample("machine_cpu_cores", labels, 4), Sample("machine_memory_bytes", labels, 4096)]


def told(*jobs: Series) -> Document:
    """Return the document of several jobs."""
    figures, rates, machines = ([one for job in jobs for one in job[part]] for part in range(3))
    return document_of(figures, rates, machines, 1.0, "prom")


def test_two_jobs_that_scrape_one_node() -> None:
    """Each container and each machine counts once, as a cgscope-exporter has it, and what was left out is said."""
    found = told(scraped("cadvisor", paths=("/docker/a", "/docker/b")), scraped("own", ours=True), scraped("other"))
    assert [(one["id"], one["runtime"]) for one in found["containers"]] == [
        ("n1/docker/a", "docker"), ("n1/docker/b", None),
    ]  # fmt: skip
    assert found["containers"][0]["memory"]["working_set_bytes"] == 103
    assert (found["host"]["cpus"], found["host"]["usage_cores"]) == (4, 0.75)
    assert found["problems"] == [
        f"n1 is scraped twice: shown as job own has it, not job {other} (--prometheus-match chooses)"
        for other in ("cadvisor", "other")
    ]
    assert told(scraped("own", ours=True), scraped("cadvisor"))["problems"] == found["problems"][:1]


def test_two_jobs_that_tell_as_much() -> None:
    """The first by name is shown, whichever answer comes first; of many nodes there is one line."""
    both = [scraped(job, node=node) for node in ("n1", "n2", "n3") for job in ("b", "a")]
    for jobs in (both, both[::-1]):
        found = told(*jobs)
        assert {one["memory"]["working_set_bytes"] for one in found["containers"]} == {101}
        assert found["host"]["cpus"] == 12
        assert found["problems"] == [
            "3 nodes are scraped twice: shown as job a has it, not job b (--prometheus-match chooses)"
        ]
    assert told(*both[::2])["problems"] == []


def test_matchers() -> None:
    """What PromQL has between its braces is taken apart, and put into each question; containers' alone into theirs."""
    assert matchers('job="node"') == ('job="node"',)
    assert matchers(' { job =~ "a|b}" , namespace!="x\\"y" } ') == ('job =~ "a|b}"', 'namespace!="x\\"y"')
    for question in questions(every=False, match=('job="x"',)):
        assert question.count("{") == question.count('job="x"}')
    figures, rates, machines = questions(every=True, match=('namespace="shop"', 'job="x"'))
    assert 'id!="/",namespace="shop",job="x"}' in figures
    assert '{id="/",job="x"}' in rates
    assert machines.endswith('",job="x"}')


@pytest.mark.parametrize(
    "text",
    ["", "{", "}", "job", "job=node", "job='a'", 'job="a', 'job="a",', 'job="a",,b="c"', 'job="a" b="c"',
     'j\u00f6b="a"', 'job="a"}) or up{x="', '__name__="a"} or {b="', 'job="a\n"', 'job="\x1b[2J"', "x" * 100_000,
     'job="' + "x" * 2000 + '"'],
)  # fmt: skip
def test_what_is_no_matcher_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one short line, whatever is in it; nobody is asked anything."""
    with pytest.raises(SystemExit) as ended:
        main(["--prometheus", "127.0.0.1:1", "--prometheus-match", text, "--once"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "--prometheus-match" in said
    assert len(said) < 300
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_a_matcher_needs_a_prometheus(capsys: pytest.CaptureFixture[str]) -> None:
    """Of this machine there are no series to choose from."""
    with pytest.raises(SystemExit):
        main(["--prometheus-match", 'job="a"', "--once"])
    assert "--prometheus-match needs --prometheus" in capsys.readouterr().err


def test_what_is_asked_are_metrics_that_exist() -> None:
    """Each metric in the questions is one that the exporter has, under cAdvisor's name where it has one."""
    from exporter.collectors import COLLECTORS  # noqa: PLC0415  the exporter's table is this test's oracle

    known = set().union(*(one.metrics for one in COLLECTORS.values()))
    assert {*GAUGES, *RATES, *ABOVE, *INFOS} - known == set()
    for question in questions(every=True):
        assert len(question) < 8000
    assert 'image!=""' in questions(every=False)[0]
    assert 'image!=""' not in questions(every=True)[0]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{}", "that is no answer of Prometheus"),
        (b"[]", "that is no answer of Prometheus"),
        (b'{"status": "success", "data": {"result": [{"metric": {}, "value": 5}]}}', "that is no answer"),
        (b'{"status": "success", "data": {"result": [{"metric": [], "value": [0, "1"]}]}}', "that is no answer"),
        (b'{"status": "success", "data": {"result": [{"metric": {}, "value": [0, "x"]}]}}', "that is no answer"),
        (b'{"status": "error", "error": "parse error: \\u001b[2J"}', "parse error"),
        (b"<html>\x1b[2J", "what it says is no JSON"),
        (b"[" * 100_000, "what it says is no JSON"),
    ],
)
def test_a_lying_prometheus_is_one_line(body: bytes, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it answers: exit code 1, and one line without its escape sequences."""
    with serving(saying(body)) as where:
        assert main(["--prometheus", where, "--once", "-d", "0.1"]) == 1
    said = capsys.readouterr().err
    assert complaint in said
    assert where in said
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_a_prometheus_that_goes_keeps_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last picture stays, with a note since when it is old."""
    monkeypatch.setattr(prometheus, "SECONDS", 5.0)
    with serving(cadvisor) as where:
        source = Prometheus(at(where))
        source()
    found = source()
    source.close()
    assert len(found["containers"]) == 2
    assert re.match(r"old since \d\d:\d\d:\d\d: http://127\.0\.0\.1:\d+: ", found["problems"][0])
