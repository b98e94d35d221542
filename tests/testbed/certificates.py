"""Certificates for tests of TLS, made with the openssl command: quick ones, on an elliptic curve."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from tests.testbed.tools import need

__all__ = ["Authority", "trusting"]


def trusting(authority: Path) -> ssl.SSLContext:
    """Return a client's context, as strict as Prometheus and curl are: Python 3.13 wants more of an authority."""
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Authority:
    """A certificate authority in a directory: `ca.crt`, and what issue() adds beside it."""

    def __init__(self, directory: Path) -> None:
        need("openssl")
        self.directory = directory
        self.ca = directory / "ca.crt"
        self._openssl("req", "-x509", *self._key("ca"), "-out", "ca.crt", "-days", "30", "-subj", "/CN=test authority")

    def issue(self, name: str, *, sans: str = "", days: int = 30, key: str = "") -> tuple[Path, Path]:
        """Return a certificate and its key; `days` below 0 is one that has expired. `key` names one to use again."""
        request, certificate, extensions = f"{name}.csr", f"{name}.crt", f"{name}.ext"
        made = ("-key", f"{key}.key") if key else self._key(name)
        self._openssl("req", "-new", *made, "-out", request, "-subj", f"/CN={name}")
        (self.directory / extensions).write_text(f"subjectAltName={sans}\n" if sans else "")
        self._openssl("x509", "-req", "-in", request, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", str(days), "-out", certificate, "-extfile", extensions)  # fmt: skip
        return self.directory / certificate, self.directory / f"{key or name}.key"

    @staticmethod
    def _key(name: str) -> tuple[str, ...]:
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=120)
