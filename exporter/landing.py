"""The page at "/": what this is and where the metrics are. No script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

__all__ = ["SECURITY_HEADERS", "landing"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
a { color: #0b57d0; }
dt { font-family: ui-monospace, monospace; margin-top: .75rem; }
dd { margin: 0; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e8eb; background: #14171a; }
  a { color: #8ab4f8; }
}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SECURITY_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

LINKS = (
    ("ui/", "The live page: every container with its limits and what it uses now, and each one in detail."),
    ("api/v1/containers?interval=1", "Every container with what it is allowed and what it uses, as JSON."),
    ("healthz", "Is the exporter alive? Also at /-/healthy and /-/ready."),
)


def landing(version: str, telemetry_path: str, prefix: str = "") -> str:
    """Return the page as HTML; its links are relative, so it works behind a proxy that adds a prefix or takes one.

    `prefix` is what stands before the paths as they are shown.
    """
    metrics = (telemetry_path.lstrip("/"), "The metrics, measured anew at each scrape.")
    rows = "".join(
        f'<dt><a href="{escape(path)}">{escape(prefix)}/{escape(path)}</a></dt><dd>{escape(text)}</dd>\n'
        for path, text in (metrics, *LINKS)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>cgscope-exporter</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body><main><h1>cgscope-exporter</h1>\n"
        f"<p>Version {escape(version)}. What containers are allowed and what they use, for Prometheus.</p>\n"
        f"<dl>\n{rows}</dl></main></body></html>\n"
    )
