"""The exporter with a web configuration file, asked by curl and by a real Prometheus."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import bcrypt
import pytest

from tests.archive import HOSTS, loads, unpack
from tests.testbed.certificates import Authority, trusting
from tests.testbed.exporter import Running, running
from tests.testbed.processes import until
from tests.testbed.tools import need

COST = 10  # as htpasswd's in the toolkit's documentation
CONFIG = """\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example]
http_server_config:
  headers:
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  prometheus: {hash}
"""


@pytest.fixture(name="files", scope="module")
def files_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with certificates, the configuration and a captured machine."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    authority.issue("server", sans="DNS:localhost,IP:127.0.0.1")
    authority.issue("client", sans="DNS:prometheus.example")
    authority.issue("expired", sans="DNS:prometheus.example", days=-1)
    authority.issue("other-name", sans="DNS:other.example")
    (directory / "stranger").mkdir()
    Authority(directory / "stranger").issue("stranger", sans="DNS:prometheus.example")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(COST)).decode()
    (directory / "web.yml").write_text(CONFIG.format(hash=hashed))
    unpack(loads((HOSTS / "v2.host").read_text(encoding="ascii")), directory / "machine")
    return directory


@pytest.fixture(name="exporter", scope="module")
def exporter_fixture(files: Path) -> Iterator[Running]:
    """Run it with that configuration."""
    options = f"--path.rootfs={files / 'machine'}", f"--web.config.file={files / 'web.yml'}"
    with running(files / "log", *options) as exporter:
        yield exporter


def curl(exporter: Running, files: Path, *arguments: str, certificate: str = "client") -> tuple[int, str]:
    """Ask for the metrics with curl; returns its exit code and what it printed, the status last."""
    need("curl")
    own = ("--cert", f"{certificate}.crt", "--key", f"{certificate}.key") if certificate else ()
    command = ["curl", "-sS", "-m", "60", "--cacert", "ca.crt", *own, "-w", "%{http_code}", *arguments]
    done = subprocess.run(
        [*command, f"{exporter.url}/metrics"], capture_output=True, text=True, check=False, timeout=120, cwd=files
    )
    return done.returncode, done.stdout


def test_the_right_client_gets_the_metrics(exporter: Running, files: Path) -> None:
    """With a certificate of the authority and the password: 200, with the configured header."""
    code, text = curl(exporter, files, "-u", "prometheus:secret", "-i")
    assert (code, text[-3:]) == (0, "200")
    assert "strict-transport-security: max-age=31536000" in text.lower()
    assert 'container_cpu_usage_seconds_total{id="/parent"' in text


@pytest.mark.parametrize("credentials", [(), ("-u", "prometheus:wrong"), ("-u", "nobody:secret"), ("-u", ":")])
def test_a_wrong_password(exporter: Running, files: Path, credentials: tuple[str, ...]) -> None:
    """401 and one line, which shows no password."""
    before = len(exporter.lines("status=401"))
    assert curl(exporter, files, *credentials) == (0, "unauthorized\n401")
    until(lambda: len(exporter.lines("status=401")) > before, "the line")
    [line] = exporter.lines("status=401")[before:]
    assert "level=WARN" in line
    assert "wrong" not in line


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("", "peer did not return a certificate"),
        ("expired", "certificate has expired"),
        ("stranger/stranger", "unable to get local issuer certificate"),
        ("other-name", "none of the client certificate's names is allowed"),
    ],
)
def test_a_wrong_certificate(exporter: Running, files: Path, certificate: str, reason: str) -> None:
    """The connection ends before anything is said over it, and the reason is one line in the log."""
    before = len(exporter.lines("handshake"))
    code, text = curl(exporter, files, "-u", "prometheus:secret", certificate=certificate)
    assert code != 0
    assert text == "000"
    until(lambda: len(exporter.lines("handshake")) > before, "the line")
    [line] = exporter.lines("handshake")[before:]
    assert f'reason="{reason}"' in line


def test_plain_http_to_the_port(exporter: Running, files: Path) -> None:
    """It fails at once, with one line, and the next client is served."""
    before = len(exporter.lines("http request"))
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=120) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in sock.recv(100)
    until(lambda: len(exporter.lines("http request")) > before, "the line")
    assert curl(exporter, files, "-u", "prometheus:secret")[0] == 0


def test_guessing_passwords_does_not_hold_up_who_knows_one(exporter: Running, files: Path) -> None:
    """While two dozen guesses at a time are made, somebody whose password was right before is always answered."""
    context = trusting(files / "ca.crt")
    context.load_cert_chain(files / "client.crt", files / "client.key")

    def ask(password: str) -> int:
        connection = http.client.HTTPSConnection("localhost", exporter.port, timeout=120, context=context)
        given = base64.b64encode(f"prometheus:{password}".encode()).decode()
        connection.request("GET", "/healthz", headers={"Authorization": f"Basic {given}"})
        status = connection.getresponse().status
        connection.close()
        return status

    assert ask("secret") == 200
    with ThreadPoolExecutor(24) as pool:
        guesses = [pool.submit(ask, str(number)) for number in range(24)]
        assert [ask("secret") for _ in range(5)] == [200] * 5
        # 503 for those for whom there was no place in the line; never let in.
        assert {guess.result() for guess in guesses} <= {401, 503}


def test_idle_handshakes_and_connections(exporter: Running, files: Path) -> None:
    """Three hundred that say nothing, and a hundred that end the handshake and then say nothing, keep nobody out."""
    context = trusting(files / "ca.crt")
    context.load_cert_chain(files / "client.crt", files / "client.key")
    idle: list[socket.socket] = []
    try:
        for number in range(400):
            sock = socket.create_connection(("127.0.0.1", exporter.port), timeout=120)
            idle.append(sock if number % 4 else context.wrap_socket(sock, server_hostname="localhost"))
        assert curl(exporter, files, "-u", "prometheus:secret", "-o", "/dev/null") == (0, "200")
    finally:
        for sock in idle:
            sock.close()


def test_a_new_certificate_and_a_new_user_without_a_restart(files: Path, tmp_path: Path) -> None:
    """The next connection gets the new certificate, the next request knows the new user; the old ones are gone."""
    for name in ("ca.crt", "ca.key", "server.crt", "server.key"):
        shutil.copy(files / name, tmp_path)
    config = tmp_path / "web.yml"
    tls = "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users: "
    old, new = (bcrypt.hashpw(word, bcrypt.gensalt(4)).decode() for word in (b"old", b"new"))
    config.write_text(f"{tls}{{a: {old}}}")
    with running(tmp_path / "log", f"--path.rootfs={files / 'machine'}", f"--web.config.file={config}") as exporter:
        assert curl(exporter, tmp_path, "-u", "a:old", "-o", "/dev/null", certificate="") == (0, "200")
        config.write_text(f"{tls}{{a: {new}}}")
        assert curl(exporter, tmp_path, "-u", "a:old", certificate="")[1][-3:] == "401"
        assert curl(exporter, tmp_path, "-u", "a:new", "-o", "/dev/null", certificate="") == (0, "200")
        first = ssl.get_server_certificate(("127.0.0.1", exporter.port))
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        for name in ("crt", "key"):
            shutil.copy(Authority(renewed).issue("x", sans="IP:127.0.0.1")[name == "key"], tmp_path / f"server.{name}")
        assert ssl.get_server_certificate(("127.0.0.1", exporter.port)) == first  # two authorities: no pair
        certificate, key = Authority(renewed).issue("server", sans="IP:127.0.0.1")
        for path in (certificate, key):
            shutil.copy(path, tmp_path)
        assert ssl.get_server_certificate(("127.0.0.1", exporter.port)) == certificate.read_text()
        config.unlink()
        assert curl(exporter, renewed, "-u", "a:new", "-o", "/dev/null", certificate="") == (0, "200")
        until(lambda: len(exporter.lines("the web configuration stays as it was")) >= 2, "the lines")
        assert len(exporter.lines("the web configuration stays as it was")) == 2


@pytest.fixture(name="prometheus")
def prometheus_fixture(exporter: Running, files: Path, tmp_path: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes it with certificate and password; gives its URL."""
    need("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": [{
        "job_name": "cadvisor", "scheme": "https", "scrape_interval": "1s", "scrape_timeout": "1s",
        "tls_config": {"ca_file": str(files / "ca.crt"), "cert_file": str(files / "client.crt"),
                       "key_file": str(files / "client.key")},
        "basic_auth": {"username": "prometheus", "password": "secret"},
        "static_configs": [{"targets": [exporter.url.removeprefix("https://")]}],
    }]}))  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    log = tmp_path / "prometheus.log"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
               f"--web.listen-address={address}"]  # fmt: skip
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until(lambda: b"Server is ready" in log.read_bytes(), "Prometheus")
            yield f"http://{address}"
            process.terminate()
            assert process.wait(120) == 0
        finally:
            process.kill()


def test_prometheus_over_tls_with_a_password(prometheus: str, exporter: Running) -> None:
    """A real Prometheus scrapes it with certificate and password, and nothing is refused meanwhile."""

    def query(expression: str) -> list[float]:
        with urlopen(f"{prometheus}/api/v1/query?{urlencode({'query': expression})}", timeout=120) as answer:  # noqa: S310
            return [float(one["value"][1]) for one in json.loads(answer.read())["data"]["result"]]

    refused = len(exporter.lines("status=40"))
    # On a busy machine one may take too long: that is no refusal.
    until(lambda: query("sum_over_time(up[1m]) > 2"), "three scrapes")
    until(lambda: query('container_cpu_usage_seconds_total{id="/parent",cpu="total"}'), "the samples")
    assert len(exporter.lines("status=40")) == refused
