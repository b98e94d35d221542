"""--web.config.file: TLS, headers, users and a rate limit, in the form of Prometheus' exporter-toolkit.

The form is https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What is
different here: a `tls_server_config` that has anything in it must have a
certificate and a key; http2 may be said, and clients are answered in HTTP/1.1.

A key that is not known is refused: a misspelt one would leave the door open.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

__all__ = ["CIPHERS", "CURVES", "VERSIONS", "RateLimit", "Tls", "WebConfig", "WebConfigError", "parse", "read"]

MAX_BYTES = 1 << 20
VERSIONS = {"TLS10": "TLSv1", "TLS11": "TLSv1_1", "TLS12": "TLSv1_2", "TLS13": "TLSv1_3"}
"""Go's name -> ssl.TLSVersion's."""
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
"""Go's name -> OpenSSL's."""
CIPHERS = {
    **{
        f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
        for key in ("RSA", "ECDSA")
        for go, openssl in {
            "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
            "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
            "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
            "AES_128_CBC_SHA": "AES128-SHA",
            "AES_256_CBC_SHA": "AES256-SHA",
        }.items()
    },
    # TLS 1.3's cannot be chosen, in Go either: naming them changes nothing.
    **dict.fromkeys(("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"), ""),
}
"""What Go calls the cipher suites that it holds to be secure -> OpenSSL's name."""
CLIENT_AUTH = (
    "NoClientCert", "RequestClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
BCRYPT = re.compile(r"\$2[aby]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

Convert = Callable[[Any, str], Any]


class WebConfigError(Exception):
    """The file cannot be used; the text says in one line where and why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """tls_server_config. PEM is given as text or as a file's path; paths are joined to the file's directory."""

    cert: str = ""
    key: str = field(default="", repr=False)
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    @property
    def verifies_clients(self) -> bool:
        """Whether only clients of an authority of one's own get in: without one it is all the public ones, as in Go."""
        return self.client_auth_type == "RequireAndVerifyClientCert" and bool(self.client_ca or self.client_ca_file)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it names."""
        return tuple(path for path in (self.cert_file, self.key_file, self.client_ca_file) if path)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: one request per `interval` seconds, and `burst` at once."""

    interval: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The whole file; `users` are name -> bcrypt hash."""

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate_limit: RateLimit | None = None


def read(path: str) -> WebConfig:
    """Read the file; WebConfigError, with its path, when it cannot be read or used."""
    try:
        with open(path, "rb") as file:
            return parse(file.read(MAX_BYTES), os.path.dirname(path))
    except OSError as error:
        raise WebConfigError(f"{path}: {error.strerror or error}") from error
    except WebConfigError as error:
        raise WebConfigError(f"{path}: {error}") from None


def parse(text: bytes, directory: str) -> WebConfig:
    """Return what the file's text says; relative paths in it are below `directory`."""
    sections = _section(_load(text), "", {
        "tls_server_config": _tls, "http_server_config": _http, "basic_auth_users": _users, "rate_limit": _rate_limit,
    })  # fmt: skip
    tls = sections.get("tls_server_config")
    if tls:
        paths = {key: os.path.join(directory, path) for key in ("cert_file", "key_file", "client_ca_file")
                 if (path := getattr(tls, key))}  # fmt: skip
        tls = replace(tls, **paths)
    headers = sections.get("http_server_config", {}).get("headers", {})
    return WebConfig(tls, headers, sections.get("basic_auth_users", {}), sections.get("rate_limit"))


def _tls(value: object, where: str) -> Tls | None:
    given = _section(value, where, {
        **dict.fromkeys(("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"), _text),
        "client_auth_type": _client_auth, "client_allowed_sans": _each(_text),
        "min_version": _one_of(VERSIONS), "max_version": _one_of(VERSIONS),
        "cipher_suites": _each(_one_of(CIPHERS)), "prefer_server_cipher_suites": _switch,
        "curve_preferences": _each(_one_of(CURVES)),
    })  # fmt: skip
    if not given:
        return None
    tls = Tls(**given)
    for name in ("cert", "key"):
        if not getattr(tls, name) and not getattr(tls, f"{name}_file"):
            raise WebConfigError(f"{where}: {name} or {name}_file is missing")
    if (tls.client_ca or tls.client_ca_file) and tls.client_auth_type == "NoClientCert":
        raise WebConfigError(f"{where}: a client CA needs a client_auth_type other than NoClientCert")
    names = list(VERSIONS)
    if names.index(tls.min_version) > names.index(tls.max_version):
        raise WebConfigError(f"{where}: min_version is above max_version")
    return tls


def _client_auth(value: object, where: str) -> str:
    text = _text(value, where)
    # The toolkit's older name for it, and its default.
    alias = {"RequireClientCert": "RequireAnyClientCert", "": "NoClientCert"}
    return str(_one_of(CLIENT_AUTH)(alias.get(text, text), where))


def _http(value: object, where: str) -> dict[str, Any]:
    return _section(value, where, {"http2": _switch, "headers": _headers})


def _headers(value: object, where: str) -> dict[str, str]:
    headers = {name: text for name, text in _section(value, where, dict.fromkeys(HEADERS, _text)).items() if text}
    for name, text in headers.items():
        if HEADERS[name]:
            _one_of(HEADERS[name])(text, f"{where}.{name}")
        if not text.isprintable() or not text.isascii():
            raise WebConfigError(f"{where}.{name}: only printable ASCII can be in a header")
    return headers


def _users(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict | None):
        raise WebConfigError(f"{where} is not a mapping")
    users = {}
    for name, text in (value or {}).items():
        users[name] = _text(text, where)
        if not BCRYPT.fullmatch(users[name]):  # a secret: it is not shown
            raise WebConfigError(f"{where}: the password of {name!r} is not a bcrypt hash")
        if ":" in name:
            raise WebConfigError(f"{where}: the name {name!r} has a colon, which basic authentication cannot carry")
    return users


def _rate_limit(value: object, where: str) -> RateLimit | None:
    given = _section(value, where, {"interval": _duration, "burst": _count})
    limit = RateLimit(**given)
    if not limit.interval:
        return None
    if not limit.burst:
        raise WebConfigError(f"{where}: a burst of 0 would refuse every request")
    return limit


def _section(value: object, where: str, keys: Mapping[str, Convert]) -> dict[str, Any]:
    """Convert a mapping's values, each by its key's function; refuse keys that have none."""
    if not isinstance(value, dict | None):
        raise WebConfigError(f"{where or 'the file'} is not a mapping")
    found = {}
    for key, inner in (value or {}).items():
        if key not in keys:
            raise WebConfigError(f"{where}{': ' if where else ''}unknown key {key!r} (known: {', '.join(keys)})")
        found[key] = keys[key](inner, f"{where}.{key}" if where else key)
    return found


def _text(value: object, where: str) -> str:
    if not isinstance(value, str | None):
        raise WebConfigError(f"{where} is not a string")
    return value or ""


def _one_of(known: Mapping[str, str] | tuple[str, ...]) -> Convert:
    def convert(value: object, where: str) -> str:
        text = _text(value, where)
        if text not in known:
            raise WebConfigError(f"{where}: {text!r} is none of {', '.join(known)}")
        return text

    return convert


def _each(convert: Convert) -> Convert:
    def each(value: object, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise WebConfigError(f"{where} is not a list")
        return tuple(convert(one, where) for one in value)

    return each


def _switch(value: object, where: str) -> bool:
    known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    return known[_one_of(tuple(known))(_text(value, where).lower(), where)]


def _count(value: object, where: str) -> int:
    text = _text(value, where)
    if not text.isascii() or not text.isdigit() or len(text) > len(str(1 << 31)):
        raise WebConfigError(f"{where}: {text!r} is not a number")
    return int(text)


def _duration(value: object, where: str) -> float:
    """Convert Go's form: "1m30s"."""
    text = _text(value, where)
    if text == "0":
        return 0.0
    if not text or DURATION.sub("", text):
        raise WebConfigError(f"{where}: {text!r} is not a duration such as 1s or 500ms")
    return sum(float(number) * SECONDS[unit] for number, unit in DURATION.findall(text))


def _load(text: bytes) -> object:
    """Return YAML as dicts, lists, strings and None: what a scalar means is decided by its key, not by its looks."""
    import yaml  # noqa: PLC0415  slow

    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _plain(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise WebConfigError(f"{place}{reason}") from error
    except RecursionError:
        raise WebConfigError("nested too deeply") from None


def _plain(node: yaml.Node) -> object:
    import yaml  # noqa: PLC0415  slow

    value: Any = node.value
    if isinstance(value, str):
        return None if getattr(node, "style", None) is None and value in ("", "~", "null") else value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one) for one in value]
    found: dict[str, object] = {}
    for key, inner in value:
        if not isinstance(key.value, str) or key.value in found:
            raise WebConfigError(f"line {key.start_mark.line + 1}: a key that is no string, or is there twice")
        found[key.value] = _plain(inner)
    return found
