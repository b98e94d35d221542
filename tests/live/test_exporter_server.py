"""The running exporter against clients who are slow, broken, hostile, or many."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from exporter.listener import MOST
from tests.archive import HOSTS, loads, unpack
from tests.testbed.commands import REPOSITORY
from tests.testbed.exporter import Running, running
from tests.testbed.processes import until

STOPS_WITHIN = 120.0


@pytest.fixture(name="machine", scope="module")
def machine_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Unpack a captured machine, so that a scrape does not depend on this one."""
    directory = tmp_path_factory.mktemp("machine")
    unpack(loads((HOSTS / "v2.host").read_text(encoding="ascii")), directory)
    return f"--path.rootfs={directory}"


@pytest.fixture(name="exporter", scope="module")
def exporter_fixture(machine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one exporter for the tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("exporter") / "log", machine) as exporter:
        yield exporter


def scrape(exporter: Running, path: str = "/metrics") -> tuple[int, bytes]:
    """Return status and body of a GET."""
    try:
        with urlopen(exporter.url + path, timeout=120) as answer:  # noqa: S310  our own http://127.0.0.1
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def connect(exporter: Running) -> socket.socket:
    """Connect to it."""
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=120)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nosuch", 404),
        ("GET", "/metrics/", 404),
        ("GET", "//metrics", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/ui/../cli.py", 404),
        ("GET", "/nosuch%0a%1b%5b31m", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
        ("OPTIONS", "/metrics", 405),
        ("BREW", "/metrics", 405),
        ("GET", "/api/v1/containers?interval=x", 400),
        ("GET", "/" + "a" * 20_000, 414),
    ],
)
def test_what_is_not_there_or_not_allowed(exporter: Running, method: str, path: str, status: int) -> None:
    """Each has its status and one line in the log, printable and short."""
    # Not every line that is new: those of the start come after the one that says where it listens.
    before = len(exporter.lines("status="))
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=120)
    connection.request(method, path)
    assert connection.getresponse().status == status
    connection.close()
    until(lambda: len(exporter.lines("status=")) > before, "the line")
    [line] = exporter.lines("status=")[before:]
    assert re.fullmatch(r"[ -~]{1,600}", line)
    assert f"status={status}" in line


def test_headers_without_end(exporter: Running) -> None:
    """A megabyte of headers gets 431, and the client can read it."""
    with connect(exporter) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000)
        assert sock.recv(200).startswith(b"HTTP/1.1 431 ")


def test_a_thousand_idle_connections(exporter: Running) -> None:
    """They keep no scrape out, and the exporter holds only so many of them; afterwards all are closed."""
    idle = [connect(exporter) for _ in range(1000)]
    try:
        for _ in range(3):
            status, body = scrape(exporter)
            assert (status, b"container_cpu_usage_seconds_total{" in body) == (200, True)
        assert descriptors(exporter, "socket:") <= MOST + 8
    finally:
        for sock in idle:
            sock.close()
    until(lambda: descriptors(exporter, "socket:") < 16, "the connections to go")
    assert scrape(exporter)[0] == 200


def descriptors(exporter: Running, kind: str) -> int:
    """Count the exporter's open files of a kind."""
    directory = f"/proc/{exporter.process.pid}/fd"
    found = 0
    for name in os.listdir(directory):
        try:
            found += os.readlink(f"{directory}/{name}").startswith(kind)
        except FileNotFoundError:
            continue
    return found


def test_clients_who_send_slowly_or_do_not_read(exporter: Running) -> None:
    """Forty that drip their headers and forty that never read what they asked for do not hold up a scrape."""
    held = []
    for number in range(80):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", exporter.port))
        # Pipelined, so that more than the kernel buffers is to be sent.
        whole = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20
        sock.sendall(whole if number % 2 else b"GET /metrics HTTP/1.1\r\nHo")
        held.append(sock)
    try:
        assert [scrape(exporter, "/healthz")[0] for _ in range(5)] == [200] * 5
        until(lambda: scrape(exporter)[0] == 200, "a scrape among them")
    finally:
        for sock in held:
            sock.close()


def test_scrapes_cut_in_the_middle(exporter: Running) -> None:
    """Thirty clients that reset the connection after asking are no error."""
    before = len(exporter.lines())
    for _ in range(30):
        with connect(exporter) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Those that were cut are being served still, beside what the test before left: the places are taken for a moment.
    until(lambda: scrape(exporter)[0] == 200, "a scrape after them")
    assert [line for line in exporter.lines()[before:] if "level=ERROR" in line] == []


def rest(sock: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_it_stops_with_streams_and_a_scrape_open(machine: str, tmp_path: Path) -> None:
    """SIGTERM ends it within seconds, with status 0: streams end whole, and a document under way is still served."""
    with running(tmp_path / "log", machine) as exporter:
        streams = [connect(exporter) for _ in range(5)]
        for sock in streams:
            sock.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        waiting = connect(exporter)
        waiting.sendall(b"GET /api/v1/containers?interval=0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        half, idle = connect(exporter), connect(exporter)
        half.sendall(b"GET / HT")
        # What was sent before this question is read before it is answered.
        assert scrape(exporter, "/healthz")[0] == 200
        exporter.process.send_signal(signal.SIGTERM)
        body = rest(waiting)
        assert body.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body.partition(b"\r\n\r\n")[2])["containers"]
        assert exporter.process.wait(STOPS_WITHIN) == 0
        for sock in streams:
            assert rest(sock).endswith(b"0\r\n\r\n")
        for sock in (*streams, waiting, half, idle):
            sock.close()
        assert len(exporter.lines("msg=stopping")) == 1


def test_so_many_scrapes_at_a_time(tmp_path: Path) -> None:
    """Beyond --web.max-requests a scrape is told to come back, while health and the landing page are answered."""
    with running(tmp_path / "log", "--web.max-requests=1") as exporter:
        request = b"GET /api/v1/containers?interval=3 HTTP/1.1\r\nHost: x\r\n\r\n"
        with ExitStack() as stack:

            def refused() -> bool:
                """Ask beside one that takes long: whichever comes first has the place."""
                stack.enter_context(connect(exporter)).sendall(request)
                return scrape(exporter, "/api/v1/containers?interval=0.1")[0] == 503

            until(refused, "one to be refused")
            assert [scrape(exporter, path)[0] for path in ("/healthz", "/")] == [200, 200]


def test_several_addresses(machine: str, tmp_path: Path) -> None:
    """--web.listen-address may be given more than once; one that cannot be had is one line and 1."""
    more = "--web.listen-address=[::1]:0"
    with running(tmp_path / "log", machine, more) as exporter:
        until(lambda: exporter.lines("//[::1]:"), "the line of the second address")
        [line] = exporter.lines("//[::1]:")
        match = re.search(r"metrics at (http://\[::1\]:\d+)/", line)
        assert match
        for url in (match[1], exporter.url):
            with urlopen(f"{url}/healthz", timeout=120) as answer:  # noqa: S310  our own http://[::1]
                assert answer.read() == b"ok\n"
        taken = f"--web.listen-address=127.0.0.1:{exporter.port}"
        command = [sys.executable, "-m", "exporter.cli", "--web.listen-address=127.0.0.1:0", taken]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=REPOSITORY)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "Address already in use" in done.stderr


def test_sockets_that_systemd_passes(machine: str, tmp_path: Path) -> None:
    """Two sockets, one of them a unix one, are served as sd_listen_fds(3) describes."""
    path = str(tmp_path / "socket")
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, log.open("wb") as stderr:
        unix.bind(path)
        unix.listen()
        # What systemd does between fork and exec: the sockets become descriptors 3 and 4, and it names the process.
        script = (
            "import os, sys\n"
            f"first, second = os.dup({tcp.fileno()}), os.dup({unix.fileno()})\n"
            "os.dup2(first, 503); os.dup2(second, 504); os.dup2(503, 3); os.dup2(504, 4)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2')\n"
            f"os.execv(sys.executable, [sys.executable, '-m', 'exporter.cli', '--web.systemd-socket', {machine!r}])\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], stderr=stderr, cwd=REPOSITORY, pass_fds=[tcp.fileno(), unix.fileno()]
        ) as process:
            try:
                until(lambda: f"metrics at unix:{path}/metrics" in log.read_text(), "the exporter")
                tcp_port = tcp.getsockname()[1]
                for address in (path, ("127.0.0.1", tcp_port)):
                    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
                        sock.settimeout(60)
                        sock.connect(address)
                        sock.sendall(b"GET /nosuch HTTP/1.0\r\n\r\n")
                        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")
                process.terminate()
                assert process.wait(STOPS_WITHIN) == 0
            finally:
                process.kill()
    assert "client=unix " in log.read_text()


def test_no_sockets_from_systemd(tmp_path: Path) -> None:
    """Started by hand, --web.systemd-socket is one line and 1."""
    command = [sys.executable, "-m", "exporter.cli", "--web.systemd-socket"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=REPOSITORY)
    expected = "cgscope-exporter: --web.systemd-socket: systemd has passed no socket\n"
    assert (done.returncode, done.stderr) == (1, expected)
    assert tmp_path.exists()


def test_json_log_and_no_metrics_of_its_own(machine: str, tmp_path: Path) -> None:
    """--log.format=json makes each line an object; --web.disable-exporter-metrics leaves process_* out."""
    with running(tmp_path / "log", machine, "--log.format=json", "--web.disable-exporter-metrics") as exporter:
        assert b"process_cpu_seconds_total" not in scrape(exporter)[1]
        scrape(exporter, "/nosuch")
        until(lambda: exporter.lines("status"), "the line")
        lines = [json.loads(line) for line in exporter.lines()]
        assert [line["status"] for line in lines if "status" in line] == [404]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", line["time"]) for line in lines)


def test_an_ordinary_user_is_told_what_is_missing(tmp_path: Path) -> None:
    """Without capabilities it serves what it can, and one line names those that it lacks."""
    with running(tmp_path / "log", wrap=without_capabilities()) as exporter:
        status, body = scrape(exporter)
        assert (status, b'cgscope_scrape_collector_success{collector="containers"} 1' in body) == (200, True)
        [line] = exporter.lines("not everything can be read")
        assert "missing=CAP_DAC_READ_SEARCH,CAP_SYS_PTRACE" in line


def without_capabilities() -> list[str]:
    """Return a prefix that takes the capabilities from a command: none for who has none."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all"]


def test_plain_http_to_a_port_with_tls_and_the_other_way_round(exporter: Running) -> None:
    """A client that speaks TLS to a plain port fails at once, and the exporter goes on."""
    before = len(exporter.lines("status=400"))
    context = ssl.create_default_context()
    with connect(exporter) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname="localhost")
    assert scrape(exporter, "/healthz")[0] == 200
    until(lambda: len(exporter.lines("status=400")) > before, "the line")
    assert len(exporter.lines("status=400")) == before + 1


LOOKING = """
import sys, threading
from exporter import cli
from inspector.kernel.host import Host
from inspector.observe import Observer

over, tick, close = threading.Event(), Observer.tick, Host.close

def slow(self):
    if tick(self) and sys.argv.pop() == "second":
        sys.stderr.write("looking\\n")
        over.wait(100)
    return tick(self)

def closed(self):
    sys.stderr.write("closed in a look\\n")
    close(self)

Observer.tick, Host.close = slow, closed
code = cli.main(sys.argv[1:3])
sys.stderr.write("main is over\\n")
over.set()
sys.exit(code)
"""


def test_a_look_that_outlives_the_server(machine: str, tmp_path: Path) -> None:
    """SIGTERM in the middle of a stream's look: its files are not closed under it by another thread."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", LOOKING, "--web.listen-address=127.0.0.1:0", machine, "second", "first"]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, cwd=REPOSITORY) as process:
        try:
            until(lambda: "metrics at " in log.read_text(), "the exporter")
            match = re.search(r"metrics at http://([\d.]+):(\d+)/", log.read_text())
            assert match, log.read_text()
            with socket.create_connection((match[1], int(match[2])), timeout=120) as sock:
                sock.sendall(b"GET /api/v1/stream?interval=0.5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                until(lambda: "looking\n" in log.read_text(), "the second look")
                process.terminate()
                assert process.wait(STOPS_WITHIN) == 0, log.read_text()
        finally:
            process.kill()
    text = log.read_text()
    assert "main is over\n" in text
    assert "closed" not in text
    assert "Traceback" not in text
