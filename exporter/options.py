"""The exporter's options, named and grouped as the Prometheus exporters have them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from urllib.parse import urlsplit

from exporter.address import parse_address
from exporter.collectors import declare
from exporter.logs import FORMATS, LEVELS
from exporter.version import version
from inspector.arguments import Parser

__all__ = ["parser", "route_prefix"]

OTHER_PATHS = {"/", "/api/v1/containers", "/api/v1/stream", "/ui", "/healthz", "/-/healthy", "/-/ready"}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = Parser(
        prog="cgscope-exporter",
        usage="%(prog)s [options]",
        description="Containers' limits and use as Prometheus metrics, under cAdvisor's names. Nothing runs between "
        "scrapes, and each scrape is fresh.",
        allow_abbrev=False,
    )
    made.add_argument(
        "--once", action="store_true", help="write the metrics to standard output and exit, for a look or for "
        "node_exporter's textfile collector (the exporter's own process_* are left out)",
    )  # fmt: skip
    made.add_argument("--version", action="version", version=f"cgscope-exporter {version()}")
    web = made.add_argument_group("web").add_argument
    _listening(web)
    _serving(web)
    _paths(made.add_argument_group("the machine (for a container that has it mounted)").add_argument)
    declare(made.add_argument_group("collectors", "--no-collector.NAME turns one off").add_argument)
    log = made.add_argument_group("log, on standard error").add_argument
    log(
        "--log.level",
        dest="log_level",
        choices=LEVELS,
        default="info",
        type=_level,
        help="least severe events to write (default: %(default)s)",
    )
    log(
        "--log.format",
        dest="log_format",
        choices=tuple(FORMATS),
        default="logfmt",
        help="one line an event as key=value pairs or as JSON (default: %(default)s)",
    )
    return made


def _listening(add: Callable[..., object]) -> None:
    add(
        "--web.listen-address",
        dest="web_listen_address",
        type=_checked(parse_address),
        metavar="HOST:PORT",
        action="append",
        help="where to listen; may be given more than once (default: 127.0.0.1:10071; "
        "[::1]:10071; :10071 is every address)",
    )
    add(
        "--web.systemd-socket",
        dest="web_systemd_socket",
        action="store_true",
        help="listen on the sockets that systemd passes (socket activation) instead",
    )
    add(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        help="TLS, client certificates, users with "
        "passwords, headers and a rate limit, as Prometheus' exporter-toolkit has them; read again when it changes",
    )


def _serving(add: Callable[..., object]) -> None:
    add(
        "--web.external-url",
        dest="web_external_url",
        type=_checked(_external_url),
        metavar="URL",
        help="URL under which the exporter is reached from outside, for instance behind a reverse proxy; a path in it "
        "prefixes all endpoints unless --web.route-prefix says otherwise",
    )
    add(
        "--web.route-prefix",
        dest="web_route_prefix",
        type=_checked(_prefix),
        metavar="PATH",
        help="prefix of all endpoints (default: the path of --web.external-url)",
    )
    add(
        "--web.telemetry-path",
        dest="web_telemetry_path",
        type=_checked(_telemetry_path),
        metavar="PATH",
        default="/metrics",
        help="path of the metrics (default: %(default)s)",
    )
    add(
        "--web.max-requests",
        dest="web_max_requests",
        type=_checked(_count),
        metavar="N",
        default="40",
        help="scrapes served at a time, more are answered 503; 0 is no limit (default: %(default)s)",
    )
    add("--web.disable-exporter-metrics", dest="web_disable_exporter_metrics", action="store_true",
        help="leave out the exporter's own process_*")  # fmt: skip


def _paths(add: Callable[..., object]) -> None:
    add(
        "--path.procfs",
        dest="path_procfs",
        type=_checked(_directory),
        metavar="DIR",
        help="where the machine's /proc is mounted",
    )
    add(
        "--path.sysfs",
        dest="path_sysfs",
        type=_checked(_directory),
        metavar="DIR",
        help="where the machine's /sys is mounted",
    )
    add("--path.rootfs", dest="path_rootfs", type=_checked(_directory), metavar="DIR", default="/",
        help="where the machine's root filesystem is mounted (default: %(default)s)")  # fmt: skip


def _checked(parse: Callable[[str], object]) -> Callable[[str], object]:
    """Make argparse show a ValueError's own text."""

    def checked(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _level(text: str) -> str:
    return "warn" if text == "warning" else text  # its name in version 0.1


def _telemetry_path(text: str) -> str:
    ours = text in OTHER_PATHS or text.startswith("/ui/")
    if not text.startswith("/") or ours or any(character in text for character in "{}?#% \t\n"):
        raise ValueError(f"{text!r} is not a path for the metrics, such as /metrics")
    return text


def _external_url(text: str) -> str:
    """Return a URL without a slash at its end; like Prometheus, a scheme that is not http is refused."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
        right = right and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        right = False
    if not right or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not a URL such as https://example.org/cgscope")
    _prefix(parts.path)
    return text.rstrip("/")


def _prefix(text: str) -> str:
    """Return a path with a slash before it and none behind it; "" for the top."""
    trimmed = text.strip("/")
    if (
        any(character in trimmed for character in "{}?#%\\ \t\r\n")
        or not trimmed.isascii()
        or {"", ".", ".."} & set(trimmed.split("/") if trimmed else ())
    ):
        raise ValueError(f"{text!r} is not a path that can be a prefix, such as /cgscope")
    return f"/{trimmed}" if trimmed else ""


def route_prefix(arguments: argparse.Namespace) -> str:
    """Return the prefix of all endpoints: "/cgscope", or "" for none."""
    if arguments.web_route_prefix is not None:
        given: str = arguments.web_route_prefix
        return given
    return _prefix(urlsplit(arguments.web_external_url or "").path)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is not a number from 0")
    return int(text)


def _directory(text: str) -> str:
    if not os.path.isdir(text):
        raise ValueError(f"{text!r} is not a directory")
    return text
