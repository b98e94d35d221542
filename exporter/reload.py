"""The web configuration as it is now: its file and the certificates are read again when one of them changes.

Looked at when somebody connects or asks, so nothing runs meanwhile: four
stat(2) a time. A change that cannot be used (half of a new certificate is
written, a key is misspelt) is logged once, and what was before stays in force.
"""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import dataclass

from exporter.logs import fields
from exporter.tls import Certificates
from exporter.web_config import WebConfig, WebConfigError, read

__all__ = ["WebConfigFile"]

log = logging.getLogger(__name__)

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    config: WebConfig
    certificates: Certificates | None = None
    context: ssl.SSLContext | None = None


class WebConfigFile:
    """--web.config.file; without a path, the configuration that has nothing in it. For one thread."""

    def __init__(self, path: str | None = None) -> None:
        """WebConfigError when it cannot be used."""
        self._files: list[str] = [path] if path else []
        self._seen: list[Stamp] = list(map(_stamp, self._files))
        self._loaded = _Loaded(WebConfig())
        if path:
            self._loaded = self._load(path)

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted; this cannot change while it runs."""
        return self._loaded.certificates is not None

    def config(self) -> WebConfig:
        """Return what the file says now, or said when it last could be used."""
        self._refresh()
        return self._loaded.config

    def context(self) -> ssl.SSLContext | None:
        """Return the context for a new connection, None for one that is not encrypted."""
        self._refresh()
        certificates = self._loaded.certificates
        return certificates.context() if certificates and certificates.for_one else self._loaded.context

    def _refresh(self) -> None:
        seen = list(map(_stamp, self._files))
        if seen == self._seen:
            return
        self._seen = seen
        try:
            loaded = self._load(self._files[0])
        except WebConfigError as error:
            log.error("the web configuration stays as it was", extra=fields(error=str(error)))  # noqa: TRY400
            return
        if (loaded.certificates is not None) != self.tls:
            text = "the web configuration stays as it was: TLS comes or goes only with a restart"
            log.error(text, extra=fields(file=self._files[0]))
            return
        self._loaded = loaded
        log.info("the web configuration was read again", extra=fields(file=self._files[0]))

    def _load(self, path: str) -> _Loaded:
        config = read(path)
        # Noted even when they cannot be used, so that their getting better is noticed; and before they are read.
        self._files = [path, *(config.tls.files if config.tls else ())]
        self._seen[1:] = map(_stamp, self._files[1:])
        if config.tls is None:
            return _Loaded(config)
        certificates = Certificates.load(config.tls)
        return _Loaded(config, certificates, certificates.context())


def _stamp(path: str) -> Stamp:
    """Return what differs once a file was written or replaced; empty when there is none."""
    try:
        got = os.stat(path)
    except OSError:
        return ()
    return got.st_dev, got.st_ino, got.st_size, got.st_mtime_ns, got.st_ctime_ns
