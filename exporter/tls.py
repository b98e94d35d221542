"""tls_server_config -> ssl.SSLContext.

What Go can and Python's ssl cannot, and what is done about it:

- ask for a client's certificate without verifying it (RequestClientCert,
  RequireAnyClientCert): the certificate is trusted for its own connection as
  it arrives, before OpenSSL looks at it;
- several curves: the first of curve_preferences is the only one offered
  (a narrower door, never a wider one).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import warnings
from dataclasses import dataclass
from typing import Any

from exporter.web_config import CIPHERS, CURVES, VERSIONS, Tls, WebConfigError

__all__ = ["Certificates"]

UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert")
REQUIRED = ("RequireAnyClientCert", "RequireAndVerifyClientCert")
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, <openssl/x509_vfy.h>; Python has no name for it
NO_COMPRESSION = 1 << 33  # SSL_OP_NO_RX_CERTIFICATE_COMPRESSION, <openssl/ssl.h>, 3.2; no option of those before
MAX_PEM = 1 << 20
ENCRYPTED = b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"  # RFC 7468, 11; RFC 1421, 4.6.1.1
# Record and message of a certificate (RFC 8446, sections 5.1 and 4.4.2).
HANDSHAKE, CERTIFICATE, HEADER = 22, 11, 4


class _Context(ssl.SSLContext):
    """A context that knows which clients it lets in."""

    allowed_sans: tuple[str, ...] | None = None


class _Connection(ssl.SSLObject):
    """A connection that is refused when its client's certificate has none of the allowed names."""

    def do_handshake(self) -> None:
        super().do_handshake()
        context: Any = self.context
        certificate: Any = self.getpeercert()
        if context.allowed_sans is not None and certificate and not _names(certificate) & set(context.allowed_sans):
            raise ssl.SSLCertVerificationError("none of the client certificate's names is allowed")


def _names(certificate: dict[str, Any]) -> set[str]:
    """Return the subject alternative names of a certificate; addresses as Go writes them."""
    return {
        str(ipaddress.ip_address(value)) if kind == "IP Address" else value
        for kind, value in certificate.get("subjectAltName", ())
        if kind in ("DNS", "email", "IP Address", "URI")
    }


@dataclass(frozen=True, slots=True)
class Certificates:
    """A tls_server_config with the content of its files. Made by load()."""

    config: Tls
    cert: bytes
    key: bytes
    client_ca: bytes

    @property
    def for_one(self) -> bool:
        """Whether a context may serve one connection only, since it comes to trust its client."""
        return self.config.client_auth_type in UNVERIFIED

    @classmethod
    def load(cls, config: Tls) -> Certificates:
        """Read the files; WebConfigError when one of them cannot be read."""
        return cls(
            config,
            _pem(config.cert, config.cert_file, "cert_file"),
            _pem(config.key, config.key_file, "key_file"),
            _pem(config.client_ca, config.client_ca_file, "client_ca_file"),
        )

    def context(self) -> ssl.SSLContext:
        """Return a new context; WebConfigError names the file that OpenSSL does not take."""
        config = self.config
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = _Connection
        context.allowed_sans = config.client_allowed_sans
        context.set_alpn_protocols(["http/1.1"])
        self._restrict(context)
        try:
            with _in_memory(self.cert) as cert, _in_memory(self.key) as key:
                # Without a password an encrypted key would be asked for on the terminal.
                context.load_cert_chain(_path(cert), _path(key), password="")
        except ssl.SSLError as error:
            if any(mark in self.key for mark in ENCRYPTED):
                raise WebConfigError(f"{config.key_file or 'key'} is encrypted: take its password off") from error
            what = f"{config.cert_file or 'cert'} and {config.key_file or 'key'}"
            raise WebConfigError(f"{what} are not a certificate and its key in PEM: {_reason(error)}") from error
        self._know_clients(context)
        return context

    def _restrict(self, context: ssl.SSLContext) -> None:
        config = self.config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 were asked for by name
            context.minimum_version = ssl.TLSVersion[VERSIONS[config.min_version]]
            context.maximum_version = ssl.TLSVersion[VERSIONS[config.max_version]]
        ciphers = [name for name in map(CIPHERS.__getitem__, config.cipher_suites) if name]
        if config.min_version in ("TLS10", "TLS11"):  # OpenSSL 3 has these at its lowest level of security alone
            ciphers = [":".join(ciphers) or "DEFAULT", "@SECLEVEL=0"]
        if ciphers:
            context.set_ciphers(":".join(ciphers))
        if config.prefer_server_cipher_suites:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        else:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        if config.curve_preferences:
            context.set_ecdh_curve(CURVES[config.curve_preferences[0]])

    def _know_clients(self, context: ssl.SSLContext) -> None:
        kind = self.config.client_auth_type
        if kind == "NoClientCert":
            return
        context.verify_mode = ssl.CERT_REQUIRED if kind in REQUIRED else ssl.CERT_OPTIONAL
        if kind in UNVERIFIED:
            _trust_whoever_comes(context)
        elif self.client_ca:
            try:
                context.load_verify_locations(cadata=self.client_ca.decode("ascii", "replace"))
            except ssl.SSLError as error:
                where = self.config.client_ca_file or "client_ca"
                raise WebConfigError(f"{where} has no certificates in PEM: {_reason(error)}") from error
        else:  # as in Go
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)


def _trust_whoever_comes(context: ssl.SSLContext) -> None:
    """Let the client's certificate be its own authority, whatever its age. The context is for one connection."""
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME)
    context.options |= NO_COMPRESSION  # of certificates, which seen() would not read

    def seen(_: object, way: str, version: int, content: int, message: int, data: bytes) -> None:
        if way == "read" and content == HANDSHAKE and message == CERTIFICATE and (der := _first(data, version)):
            context.load_verify_locations(cadata=der)

    # Should this attribute go, a certificate that is not known stays refused.
    context._msg_callback = seen  # type: ignore[attr-defined]  # noqa: SLF001


def _first(message: bytes, version: int) -> bytes:
    """Return the first certificate of a Certificate message; empty for none."""
    rest = message[HEADER:]
    if version == ssl.TLSVersion.TLSv1_3:
        rest = rest[1 + rest[0] :]  # the request's context
    rest = rest[3:]  # the length of the list
    return rest[3 : 3 + int.from_bytes(rest[:3], "big")]


def _pem(text: str, path: str, name: str) -> bytes:
    if not path:
        return text.encode()
    try:
        with open(path, "rb") as file:
            return file.read(MAX_PEM)
    except OSError as error:
        raise WebConfigError(f"{name} {path}: {error.strerror or error}") from error


def _in_memory(content: bytes) -> Any:  # noqa: ANN401  a file object
    """Return an open file of that content which no other process can open by name."""
    file = os.fdopen(os.memfd_create("pem"), "w+b", buffering=0)
    file.write(content)
    return file


def _path(file: Any) -> str:  # noqa: ANN401
    return f"/proc/self/fd/{file.fileno()}"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "not PEM").replace("_", " ").lower()
