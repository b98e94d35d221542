"""tls_server_config, by handshakes in memory with Python's own client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from exporter.connection import Connection
from exporter.reload import WebConfigFile
from exporter.web_config import WebConfigError
from tests.testbed.certificates import Authority, trusting

SANS = "DNS:prometheus.example,IP:2001:db8::1,URI:spiffe://a/b,email:a@b.example"


@pytest.fixture(name="files", scope="module")
def files_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority, a server, and clients: known, expired, and of another authority."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    authority.issue("server", sans="DNS:localhost,IP:127.0.0.1")
    authority.issue("known", sans=SANS)
    authority.issue("expired", days=-1, sans=SANS)
    (directory / "other").mkdir()
    Authority(directory / "other").issue("stranger", sans=SANS)
    return directory


def server(files: Path, **more: str) -> WebConfigFile:
    """Return a configuration of a server with that certificate."""
    keys = {"cert_file": "server.crt", "key_file": "server.key", **more}
    path = files / "web.yml"
    path.write_text("tls_server_config: {" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}")
    return WebConfigFile(str(path))


def client(files: Path, name: str = "", **attributes: Any) -> ssl.SSLContext:  # noqa: ANN401
    """Return a client that knows the authority, with the certificate of that name."""
    context = trusting(files / "ca.crt")
    if name:
        context.load_cert_chain(files / f"{name}.crt", files / f"{name}.key")
    for key, value in attributes.items():
        setattr(context, key, value)
    return context


def shake(config: WebConfigFile, context: ssl.SSLContext) -> ssl.SSLObject:
    """Return the client's side after a handshake; the error of the side that refused."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = config.context()
    assert serving
    theirs = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    ours = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return theirs


WHO = ("", "known", "expired", "other/stranger")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("kind", "let_in"),
    [
        ("NoClientCert", WHO),
        ("RequestClientCert", WHO),
        ("RequireAnyClientCert", WHO[1:]),
        ("VerifyClientCertIfGiven", WHO[:2]),
        ("RequireAndVerifyClientCert", WHO[1:2]),
    ],
)
def test_who_is_let_in(files: Path, kind: str, let_in: tuple[str, ...], version: ssl.TLSVersion) -> None:
    """Each of Go's five policies lets in whom it lets in there: nobody's, known, expired and unknown certificates."""
    ca = {} if kind == "NoClientCert" else {"client_ca_file": "ca.crt"}
    config = server(files, client_auth_type=kind, **ca)
    found = []
    for who in WHO:
        try:
            shake(config, client(files, who, maximum_version=version))
            found.append(who)
        except ssl.SSLError:
            pass
    assert tuple(found) == let_in


@pytest.mark.parametrize(
    ("allowed", "let_in"),
    [
        ("prometheus.example", True),
        ("'2001:db8::1'", True),
        ("'spiffe://a/b'", True),
        ("x, a@b.example", True),
        ("known", False),  # the common name is none
        ("prometheus", False),
        ("", False),
    ],
)
def test_allowed_names(files: Path, allowed: str, let_in: bool) -> None:
    """A name of any kind in the client's certificate must be in the list, exactly."""
    kind, sans = "RequireAndVerifyClientCert", f"[{allowed}]"
    config = server(files, client_auth_type=kind, client_ca_file="ca.crt", client_allowed_sans=sans)
    if let_in:
        shake(config, client(files, "known"))
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="none of the client certificate's names"):
            shake(config, client(files, "known"))


def test_an_unverified_certificate_comes_uncompressed(files: Path) -> None:
    """It is read as it arrives, so OpenSSL 3.2 and newer do not let clients compress it (SSL_OP_BIT(33) of theirs)."""
    context = server(files, client_auth_type="RequestClientCert").context()
    assert context
    assert context.options & 1 << 33


def test_a_stranger_trusted_once_is_not_trusted_later(files: Path) -> None:
    """An unverified certificate counts for its own connection: another one has to show its own names."""
    config = server(files, client_auth_type="RequireAnyClientCert", client_allowed_sans="[prometheus.example]")
    shake(config, client(files, "other/stranger"))
    first, second = config.context(), config.context()
    assert first is not second
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shake(config, client(files))


def test_versions_ciphers_and_curves(files: Path) -> None:
    """What the file allows is what is negotiated; what it does not allow is refused."""
    ciphers = "[TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"
    config = server(files, max_version="TLS12", cipher_suites=ciphers, curve_preferences="[CurveP384, X25519]")
    made = shake(config, client(files))
    assert (made.version(), (made.cipher() or ("",))[0]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    other = client(files)
    other.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    with pytest.raises(ssl.SSLError, match=r"(?i)no shared cipher"):
        shake(config, other)
    other = client(files)
    other.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError):
        shake(config, other)
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        shake(server(files, min_version="TLS13"), client(files, maximum_version=ssl.TLSVersion.TLSv1_2))
    assert shake(server(files), client(files)).selected_alpn_protocol() is None


def test_http_1_1_is_what_is_spoken(files: Path) -> None:
    """A client that offers HTTP/2 first gets HTTP/1.1."""
    context = client(files)
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert shake(server(files), context).selected_alpn_protocol() == "http/1.1"


def test_an_old_version_that_was_asked_for(files: Path) -> None:
    """With min_version TLS11 a client of that time gets in."""
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context = client(files, minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert shake(server(files, min_version="TLS11"), context).version() == "TLSv1.1"
    with pytest.raises(ssl.SSLError):
        shake(server(files), context)


def test_certificates_in_the_file_itself(files: Path) -> None:
    """PEM may stand in the file instead of beside it."""
    path = files / "inline.yml"

    def block(name: str) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in (files / name).read_text().splitlines())

    path.write_text(
        f"tls_server_config:\n  cert: {block('server.crt')}  key: {block('server.key')}  client_ca: {block('ca.crt')}"
        "  client_auth_type: RequireAndVerifyClientCert\n"
    )
    config = WebConfigFile(str(path))
    shake(config, client(files, "known"))
    with pytest.raises(ssl.SSLError):
        shake(config, client(files))


@pytest.mark.parametrize("command", [("ec", "-aes128"), ("pkcs8", "-topk8")])
def test_an_encrypted_key_is_refused(files: Path, command: tuple[str, str]) -> None:
    """A key with a password is refused at the start, as what it is; nobody is asked for it on the terminal."""
    subprocess.run(
        ["openssl", *command, "-in", "server.key", "-passout", "pass:x", "-out", "locked.key"],
        cwd=files, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with pytest.raises(WebConfigError, match=r"locked\.key is encrypted: take its password off"):
        server(files, key_file="locked.key")


class Keeper:
    """An owner of connections that notes what is unread when one has ended."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.unread = -1

    def used(self, _: object) -> None:
        """See exporter.connection.Owner."""

    def stuck(self, _: object, *, stuck: bool) -> None:
        """See exporter.connection.Owner."""

    def lost(self, one: Connection) -> None:
        """See exporter.connection.Owner."""
        self.unread = one.unread
        self.over.set()


def test_what_a_client_has_not_read(files: Path) -> None:
    """What is encrypted and waits is counted, or who reads it would seem not to; once it is closed there is nothing."""
    size, config = 4 << 20, uvicorn.Config(PlainTextResponse(), ws="none", lifespan="off", log_config=None)
    config.load()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        keeper = Keeper()
        made = Connection(config, ServerState(), keeper)
        accepted = loop.connect_accepted_socket(lambda: made, ours, ssl=server(files).context())
        opened = asyncio.open_connection(sock=theirs, ssl=client(files), server_hostname="localhost")
        _, (reader, writer) = await asyncio.gather(accepted, opened)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        made.transport.write(b"x" * size)
        await asyncio.sleep(0.05)
        assert size / 2 < made.unread < size * 2
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        await reader.readexactly(size)
        assert made.unread < size / 4
        made.transport.abort()
        assert await reader.read() == b""
        await keeper.over.wait()
        assert keeper.unread == 0
        made.transport.close()
        made.transport.close()
        assert (made.unsent, made.unread) == (0, 0)
        writer.transport.abort()
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 60))
