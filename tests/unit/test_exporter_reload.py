"""The web configuration is read again when it changes, and only then."""

from __future__ import annotations

import contextlib
import logging
import shutil
import ssl
from pathlib import Path

import pytest

from exporter.reload import WebConfigFile
from tests.testbed.certificates import Authority

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


def served(config: WebConfigFile) -> str:
    """Return the common name in the certificate that a new connection gets."""
    context = config.context()
    assert context
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    theirs, ours = anyone.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    for side in (theirs, ours, theirs):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    der = theirs.getpeercert(binary_form=True)
    assert der
    return next(name for name in ("one", "two") if name.encode() in der)


def test_users_come_and_go(tmp_path: Path) -> None:
    """A user added to the file is there at the next look, and one removed is gone."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{a: {HASH}}}")
    config = WebConfigFile(str(path))
    assert list(config.config().users) == ["a"]
    path.write_text(f"basic_auth_users: {{a: {HASH}, b: {HASH}}}")
    assert list(config.config().users) == ["a", "b"]
    replacement = tmp_path / "new"
    replacement.write_text(f"basic_auth_users: {{c: {HASH}}}")
    replacement.rename(path)
    assert list(config.config().users) == ["c"]


def test_without_a_change_nothing_is_read(tmp_path: Path) -> None:
    """Two looks give the very same configuration."""
    path = tmp_path / "web.yml"
    path.write_text("http_server_config: {}")
    config = WebConfigFile(str(path))
    assert config.config() is config.config()


def test_a_change_that_is_no_good_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was before stays in force, through a misspelt key and a removed file, with one line each."""
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{a: {HASH}}}")
    config = WebConfigFile(str(path))
    for break_ in (lambda: path.write_text("basic_auth_user: {}"), path.unlink):
        caplog.clear()
        break_()
        assert [list(config.config().users) for _ in range(3)] == [["a"]] * 3
        assert [(record.levelno, record.message) for record in caplog.records] == [
            (logging.ERROR, "the web configuration stays as it was")
        ]
    path.write_text(f"basic_auth_users: {{b: {HASH}}}")
    assert list(config.config().users) == ["b"]


def test_a_new_certificate(tmp_path: Path) -> None:
    """A renewed certificate is served to the next connection; half of one, or the wrong key, leaves the old one."""
    authority = Authority(tmp_path)
    authority.issue("one")
    authority.issue("two")
    for name in ("crt", "key"):
        shutil.copy(tmp_path / f"one.{name}", tmp_path / f"now.{name}")
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: now.crt, key_file: now.key}")
    config = WebConfigFile(str(path))
    assert served(config) == "one"
    (tmp_path / "now.crt").write_text((tmp_path / "two.crt").read_text()[:200])
    assert served(config) == "one"
    shutil.copy(tmp_path / "two.crt", tmp_path / "now.crt")
    assert served(config) == "one"
    shutil.copy(tmp_path / "two.key", tmp_path / "now.key")
    assert served(config) == "two"


def test_files_that_come_later(tmp_path: Path) -> None:
    """A configuration that names a certificate which is not there yet comes into force when it is."""
    authority = Authority(tmp_path)
    authority.issue("one")
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: one.crt, key_file: one.key}")
    config = WebConfigFile(str(path))
    path.write_text("tls_server_config: {cert_file: two.crt, key_file: two.key}")
    assert served(config) == "one"
    authority.issue("two")
    assert served(config) == "two"


def test_tls_does_not_come_or_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is encrypted stays so until it is started anew, and one that is not as well."""
    Authority(tmp_path).issue("one")
    tls = "tls_server_config: {cert_file: one.crt, key_file: one.key}"
    path = tmp_path / "web.yml"
    for first, then in ((tls, ""), ("", tls)):
        caplog.clear()
        path.write_text(first)
        config = WebConfigFile(str(path))
        path.write_text(then)
        assert (config.context() is not None) == bool(first)
        assert [record.message[-37:] for record in caplog.records] == ["TLS comes or goes only with a restart"]


def test_no_file_is_an_empty_configuration() -> None:
    """Without --web.config.file there is no TLS and no user."""
    config = WebConfigFile()
    assert (config.tls, config.context(), dict(config.config().users)) == (False, None, {})
