"""cgscope-exporter: containers' limits and use, for Prometheus.

Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot listen or, with
--once, when a part of the metrics could not be read, 2 for a wrong option.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from exporter.address import bind, is_loopback, parse_address, url
from exporter.scrape import Scraper, version
from exporter.shared import Shared
from inspector.document import document
from inspector.kernel.host import Host
from inspector.model import Observation
from inspector.observe import Observer

__all__ = ["main"]

log = logging.getLogger("exporter")
OTHER_PATHS = {"/", "/api/v1/containers", "/healthz", "/-/healthy", "/-/ready"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=getattr(logging, arguments.log_level.upper()),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL if arguments.once else _stop)
    host = Host(arguments.path_rootfs, procfs=arguments.path_procfs, sysfs=arguments.path_sysfs)
    observe = Shared(Observer(host).tick)
    scraper = Scraper(Shared(lambda: document(None, observe())), own=not arguments.once)
    with host:
        return _print(scraper) if arguments.once else _serve(arguments, scraper, observe)


def _stop(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _print(scraper: Scraper) -> int:
    """Write the metrics of this moment to standard output (--once)."""
    page = scraper.page()
    try:
        sys.stdout.buffer.write(page.text().encode())  # the format is UTF-8, whatever the locale
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # `| head` has what it wants; without this the interpreter complains while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if page.ok else 1


def _serve(arguments: argparse.Namespace, scraper: Scraper, observe: Callable[[], Observation]) -> int:
    """Listen and answer until SIGTERM or SIGINT."""
    try:
        sock = bind(*arguments.web_listen_address)
    except OSError as error:
        host, port = arguments.web_listen_address
        print(f"cgscope-exporter: cannot listen on {host!r}, port {port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 1
    with sock:
        log.info("cgscope-exporter %s: metrics at %s%s", version(), url(sock), arguments.web_telemetry_path)
        if not is_loopback(sock):
            log.warning("anyone who can reach %s may read the metrics: there is no authentication", url(sock))
        _run(sock, arguments, scraper, observe)
    return 0


def _run(
    sock: socket.socket, arguments: argparse.Namespace, scraper: Scraper, observe: Callable[[], Observation]
) -> None:
    # Half a second of imports that --help, --once and a wrong option do without.
    from exporter.live import Look  # noqa: PLC0415
    from exporter.server import serve  # noqa: PLC0415
    from exporter.stream import Streams  # noqa: PLC0415
    from exporter.web import Endpoints, application  # noqa: PLC0415

    logging.getLogger("uvicorn").setLevel(max(log.getEffectiveLevel(), logging.WARNING))
    endpoints = Endpoints(
        scraper,
        observe,
        document,
        telemetry_path=arguments.web_telemetry_path,
        max_requests=arguments.web_max_requests,
    )
    streams = Streams(observe, Look)
    serve(application(endpoints, streams), sock, streams.close)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong; argparse would print its usage too."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cgscope-exporter",
        description="Containers' limits and use as Prometheus metrics, under cAdvisor's names. Nothing runs between "
        "scrapes, and each scrape is fresh.",
    )
    add = parser.add_argument
    add("--web.listen-address", dest="web_listen_address", type=_checked(parse_address), metavar="HOST:PORT",
        default="127.0.0.1:10071", help="where to listen (default: %(default)s; [::1]:10071; :10071 is every address)")
    add("--web.telemetry-path", dest="web_telemetry_path", type=_checked(_telemetry_path), metavar="PATH",
        default="/metrics", help="path of the metrics (default: %(default)s)")
    add("--web.max-requests", dest="web_max_requests", type=_checked(_count), metavar="N", default="40",
        help="scrapes served at a time; more are told to come back (default: %(default)s)")
    add("--path.procfs", dest="path_procfs", type=_checked(_directory), metavar="DIR",
        help="where the machine's /proc is mounted")
    add("--path.sysfs", dest="path_sysfs", type=_checked(_directory), metavar="DIR",
        help="where the machine's /sys is mounted")
    add("--path.rootfs", dest="path_rootfs", type=_checked(_directory), metavar="DIR", default="/",
        help="where the machine's root filesystem is mounted (default: %(default)s)")
    add("--log.level", dest="log_level", choices=("debug", "info", "warning", "error"), default="info",
        help="least severe messages to write to standard error (default: %(default)s)")
    add("--once", action="store_true", help="write the metrics to standard output and exit, for "
        "a look or for node_exporter's textfile collector (the exporter's own process_* are left out)")
    add("--version", action="version", version=f"cgscope-exporter {version()}")
    return parser  # fmt: skip


def _checked(parse: Callable[[str], object]) -> Callable[[str], object]:
    """Make argparse show a ValueError's own text."""

    def checked(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _telemetry_path(text: str) -> str:
    if not text.startswith("/") or text in OTHER_PATHS or any(character in text for character in "{}?#% \t\n"):
        raise ValueError(f"{text!r} is not a path for the metrics, such as /metrics")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number from 1")
    return int(text)


def _directory(text: str) -> str:
    if not os.path.isdir(text):
        raise ValueError(f"{text!r} is not a directory")
    return text


if __name__ == "__main__":
    sys.exit(main())
