"""--web.config.file: what is accepted, what is refused, and that promtool thinks the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.reload import WebConfigFile
from exporter.web_config import RateLimit, WebConfigError, parse
from tests.testbed.certificates import Authority
from tests.testbed.tools import need

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
FILES = "cert_file: server.crt, key_file: server.key"
GOOD = {
    "nothing": "",
    "a comment alone": "# nothing\n",
    "empty sections": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n",
    "certificate": f"tls_server_config: {{{FILES}}}",
    "versions": f"tls_server_config: {{{FILES}, min_version: TLS10, max_version: TLS13}}",
    "ciphers": f"tls_server_config: {{{FILES}, prefer_server_cipher_suites: false, "
    "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]}",
    "curves": f"tls_server_config: {{{FILES}, curve_preferences: [CurveP521, X25519]}}",
    **{
        kind: f"tls_server_config: {{{FILES}, client_auth_type: {kind}, client_ca_file: ca.crt}}"
        for kind in ("RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
                     "RequireAndVerifyClientCert")
    },
    "headers": "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: 1\n"
    "    Content-Security-Policy: \"default-src 'self'\"\n    X-Content-Type-Options: nosniff\n",
    "users": f"basic_auth_users:\n  alice: {HASH}\n  007: {HASH}\n",
}  # fmt: skip
# With what our one line has to say.
BAD = {
    "tls_server_config: {cert_fil: server.crt}": "tls_server_config: unknown key 'cert_fil'",
    "tls: {}": "unknown key 'tls'",
    "tls_server_config: {key_file: server.key}": "cert or cert_file is missing",
    "tls_server_config: {cert_file: server.crt}": "key or key_file is missing",
    f"tls_server_config: {{{FILES}, client_ca_file: ca.crt}}": "a client CA needs a client_auth_type",
    f"tls_server_config: {{{FILES}, client_auth_type: x}}": "'x' is none of NoClientCert, ",
    f"tls_server_config: {{{FILES}, min_version: TLS111}}": "'TLS111' is none of TLS10, ",
    f"tls_server_config: {{{FILES}, cipher_suites: [TLS_NULL]}}": "'TLS_NULL' is none of ",
    f"tls_server_config: {{{FILES}, curve_preferences: [CurveP257]}}": "'CurveP257' is none of ",
    f"tls_server_config: {{{FILES}, client_allowed_sans: x}}": "client_allowed_sans is not a list",
    "tls_server_config: {cert_file: none.crt, key_file: server.key}": "none.crt: No such file or directory",
    "tls_server_config: {cert_file: server.key, key_file: server.crt}": "are not a certificate and its key in PEM",
    "tls_server_config: {cert_file: server.crt, key_file: ca.key}": "are not a certificate and its key in PEM",
    "http_server_config: {http2: maybe}": "'maybe' is none of true, ",
    "http_server_config: {headers: {Content-Type: x}}": "unknown key 'Content-Type'",
    "http_server_config: {headers: {X-Frame-Options: x}}": "'x' is none of deny, sameorigin",
    "http_server_config: 3": "http_server_config is not a mapping",
    "basic_auth_users: {john: doe}": "the password of 'john' is not a bcrypt hash",
    "- a": "the file is not a mapping",
    "a: b: c": "line 1: mapping values are not allowed here",
    "tls_server_config: {cert: a, cert: b}": "line 1: a key that is no string, or is there twice",
    "\x01": "special characters are not allowed",
}
# Refused here and not there: a door that would be open, or shut for good.
STRICTER = {
    "tls_server_config: {min_version: TLS12}": "cert or cert_file is missing",
    f"tls_server_config: {{{FILES}, min_version: TLS13, max_version: TLS12}}": "min_version is above max_version",
    f"basic_auth_users: {{'a:b': '{HASH}'}}": "the name 'a:b' has a colon",
    f"tls_server_config: {{{FILES}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.key}}":
    "server.key has no certificates in PEM",
    'http_server_config: {headers: {Content-Security-Policy: "a\\nb"}}': "only printable ASCII can be in a header",
}  # fmt: skip


@pytest.fixture(name="files", scope="module")
def files_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory with ca.crt, server.crt and server.key."""
    directory = tmp_path_factory.mktemp("tls")
    Authority(directory).issue("server", sans="DNS:localhost")
    return directory


def promtool(path: Path) -> bool:
    """Tell whether promtool accepts a file."""
    need("promtool")
    done = subprocess.run(["promtool", "check", "web-config", path], capture_output=True, check=False, timeout=60)
    return done.returncode == 0


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_good_to_both(files: Path, name: str) -> None:
    """What we accept, promtool accepts."""
    path = files / "web.yml"
    path.write_text(GOOD[name])
    WebConfigFile(str(path))
    assert promtool(path)


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_bad_to_both(files: Path, text: str) -> None:
    """What promtool refuses, we refuse in one line that names the file and what is wrong."""
    path = files / "bad.yml"
    path.write_text(text)
    with pytest.raises(WebConfigError) as error:
        WebConfigFile(str(path))
    assert str(path.parent) in str(error.value)
    assert BAD[text] in str(error.value)
    assert "\n" not in str(error.value)
    assert not promtool(path)


@pytest.mark.parametrize("text", STRICTER)
def test_what_only_we_refuse(files: Path, text: str) -> None:
    """A file that would leave the door open, or nobody in, is refused though promtool has nothing against it."""
    path = files / "bad.yml"
    path.write_text(text)
    with pytest.raises(WebConfigError, match=STRICTER[text]):
        WebConfigFile(str(path))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """A file that is not there, or is a directory, is named."""
    with pytest.raises(WebConfigError, match=r"no\.yml: No such file or directory"):
        WebConfigFile(str(tmp_path / "no.yml"))
    with pytest.raises(WebConfigError, match="Is a directory"):
        WebConfigFile(str(tmp_path))


def test_a_hash_is_not_shown() -> None:
    """An error about a password does not show it; nor does the configuration when it is printed."""
    with pytest.raises(WebConfigError) as error:
        parse(b"basic_auth_users: {john: hunter2}", "")
    assert "hunter2" not in str(error.value)
    assert HASH not in repr(parse(f"basic_auth_users: {{john: '{HASH}'}}".encode(), ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{interval: 1s, burst: 20}", RateLimit(1.0, 20)),
        ("{interval: 1m30.5s, burst: 1}", RateLimit(90.5, 1)),
        ("{interval: 250ms, burst: 3}", RateLimit(0.25, 3)),
        ("{interval: 0, burst: 0}", None),
        ("", None),
    ],
)
def test_rate_limits(text: str, expected: RateLimit | None) -> None:
    """Durations are Go's; an interval of 0 is no limit."""  # Debian's promtool is older than rate_limit
    assert parse(f"rate_limit: {text}".encode(), "").rate_limit == expected


@pytest.mark.parametrize("text", ["{interval: 1, burst: 1}", "{interval: 1s}", "{interval: 1s, burst: -1}", "5"])
def test_bad_rate_limits(text: str) -> None:
    """A duration without unit, a burst that lets nobody in, and nonsense are refused."""
    with pytest.raises(WebConfigError, match="rate_limit"):
        parse(f"rate_limit: {text}".encode(), "")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A relative path is below the file's directory, an absolute one is itself."""
    tls = parse(b"tls_server_config: {cert_file: a.crt, key_file: /k/a.key}", str(tmp_path)).tls
    assert tls
    assert tls.files == (str(tmp_path / "a.crt"), "/k/a.key")


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt", True),
        ("client_auth_type: RequireAndVerifyClientCert", False),
        ("client_auth_type: RequireAnyClientCert, client_ca_file: ca.crt", False),
        ("client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt", False),
        ("min_version: TLS13", False),
    ],
)
def test_what_counts_as_authentication(rest: str, expected: bool) -> None:
    """Only certificates of an authority that is named, and required; for the warning about listening widely."""
    tls = parse(f"tls_server_config: {{{FILES}, {rest}}}".encode(), "").tls
    assert tls
    assert tls.verifies_clients is expected


def test_allowed_names() -> None:
    """An empty list of names lets nobody in, none at all everybody."""  # Debian's promtool is older than this key
    start = "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert"
    rests = (", client_allowed_sans: [a, b]", ", client_allowed_sans: []", "")
    given = [parse(f"{start}{rest}}}".encode(), "").tls for rest in rests]
    assert [tls and tls.client_allowed_sans for tls in given] == [("a", "b"), (), None]
