"""cgscope-exporter: containers' limits and use, for Prometheus.

Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot listen, cannot use
its web configuration or, with --once, could not read a part of the metrics,
2 for a wrong option.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from exporter import options
from exporter.address import bind, from_systemd, is_loopback, url
from exporter.collectors import selected
from exporter.logs import fields, set_up
from exporter.privileges import NEEDED, missing_here, own_status, sees_a_container, surplus
from exporter.scrape import Scraper, version
from exporter.shared import Shared
from inspector.command import ended, require_output
from inspector.errors import ParseError
from inspector.kernel.cgroups import read_hierarchies
from inspector.kernel.host import Host
from inspector.model import Observation
from inspector.observe import Observer

if TYPE_CHECKING:
    from exporter.reload import WebConfigFile

__all__ = ["main"]

log = logging.getLogger("exporter")
DEFAULT_ADDRESS = ("127.0.0.1", 10071)


class CannotStart(Exception):
    """What it needs to serve cannot be had; the text says in one line what."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return ended("cgscope-exporter", lambda: _command(argv))


def _command(argv: Sequence[str] | None) -> int:
    arguments = options.parser().parse_args(argv)
    set_up(arguments.log_level, arguments.log_format)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL if arguments.once else _stop)
    host = Host(arguments.path_rootfs, procfs=arguments.path_procfs, sysfs=arguments.path_sysfs)
    _say_what_is_not_mounted(arguments, host)
    selection = selected(arguments)
    observer = selection.observer(host)
    observe = Shared(observer.tick)
    own = not arguments.once and not arguments.web_disable_exporter_metrics
    scraper = Scraper(host, observe, selection, own=own)
    if arguments.once:
        with host:
            return _print(scraper)
    # Closed by the process's end alone: when the server has stopped, a look that nobody waits for any more may still
    # be under way in a thread, and a file that both close is the second time somebody else's.
    return _serve(arguments, scraper, observer, observe)


def _say_what_is_not_mounted(arguments: argparse.Namespace, host: Host) -> None:
    """Log what of the machine a container was not given, and how to give it."""
    if not host.shares_pids():
        log.warning("--path.procfs is of another PID namespace than ours, so nobody is found in the cgroups: "
                    "give this container the host's (--pid host, in Kubernetes hostPID: true)")  # fmt: skip
    if not _has_cgroups(host):
        log.warning("no cgroup of the machine can be read, so limits and most of the use are missing: give "
                    "--path.sysfs the machine's /sys (in a container that of the host, mounted)")  # fmt: skip
    if arguments.path_procfs not in (None, "/proc") and arguments.path_rootfs == "/":
        log.warning("--path.procfs without --path.rootfs: names and images are looked for in files of our own root; "
                    "give it the machine's / (in a container that of the host, mounted)")  # fmt: skip


def _has_cgroups(host: Host) -> bool:
    """Tell whether what is mounted as cgroups is where it should be; without /proc, reading that will tell."""
    try:
        hierarchies = read_hierarchies(host)
    except (OSError, ParseError):
        return True
    return any(host.access(f"{one.mountpoint}/cgroup.procs") for one in hierarchies)


def _stop(_: int, __: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _print(scraper: Scraper) -> int:
    """Write the metrics of this moment to standard output (--once)."""
    require_output()
    page = scraper.page()
    sys.stdout.buffer.writelines(page.pieces())  # the format is UTF-8, whatever the locale
    return 0 if page.ok else 1


def _serve(
    arguments: argparse.Namespace, scraper: Scraper, observer: Observer, observe: Callable[[], Observation]
) -> int:
    """Listen and answer until SIGTERM or SIGINT."""
    with ExitStack() as stack:
        try:
            web_config = _web_config(arguments.web_config_file)
            sockets = [stack.enter_context(sock) for sock in _listen(arguments)]
        except CannotStart as error:
            print(f"cgscope-exporter: {error}", file=sys.stderr)  # noqa: T201
            return 1
        path = options.route_prefix(arguments) + arguments.web_telemetry_path
        _say_what_is_served(sockets, web_config, path, observer.host)
        _run(sockets, web_config, arguments, scraper, observer, observe)
    return 0


def _web_config(path: str | None) -> WebConfigFile:
    # YAML and TLS, which --help, --once and a wrong option do without.
    from exporter.reload import WebConfigFile  # noqa: PLC0415
    from exporter.web_config import WebConfigError  # noqa: PLC0415

    try:
        return WebConfigFile(path)
    except WebConfigError as error:
        raise CannotStart(f"--web.config.file: {error}") from error


def _listen(arguments: argparse.Namespace) -> list[socket.socket]:
    """Return the listening sockets: all of them, or none when one cannot be had."""
    if arguments.web_systemd_socket:
        if sockets := from_systemd(os.environ):
            return sockets
        raise CannotStart("--web.systemd-socket: systemd has passed no socket")
    with ExitStack() as stack:
        sockets = []
        for host, port in arguments.web_listen_address or [DEFAULT_ADDRESS]:
            try:
                sockets.append(stack.enter_context(bind(host, port)))
            except OSError as error:
                reason = str(error.strerror or error).partition(" (while ")[0]  # Python says the address again
                raise CannotStart(f"cannot listen on {host!r}, port {port}: {reason}") from error
        stack.pop_all()
    return sockets


def _say_what_is_served(sockets: list[socket.socket], web_config: WebConfigFile, path: str, host: Host) -> None:
    """Log where the metrics are, who may read them, and what of the machine will be missing in them."""
    config = web_config.config()
    for sock in sockets:
        where = url(sock, "https" if web_config.tls else "http")
        log.info("metrics at %s%s", where, path, extra=fields(version=version(), basic_auth=bool(config.users)))
        if not is_loopback(sock) and not config.users and not (config.tls and config.tls.verifies_clients):
            log.warning("anyone who can reach it may read the metrics: there is no authentication",
                        extra=fields(address=where))  # fmt: skip
    if lacks := missing_here():
        what = fields(missing=",".join(lacks), hides="; ".join(lacks.values()))
        log.warning("not everything can be read", extra=what)
    if sees_a_container(host):
        log.warning("runs in a container, and sees no more than is in there: give it the machine's /proc, /sys and / "
                    "(--path.procfs, --path.sysfs, --path.rootfs) and its process IDs (--pid host)")  # fmt: skip
    if surplus(own_status()):
        log.info("has more capabilities than it needs: an ordinary user with these will do",
                 extra=fields(capabilities=",".join(NEEDED)))  # fmt: skip


def _run(
    sockets: list[socket.socket],
    web_config: WebConfigFile,
    arguments: argparse.Namespace,
    scraper: Scraper,
    observer: Observer,
    observe: Callable[[], Observation],
) -> None:
    # Half a second of imports that --help, --once and a wrong option do without.
    from exporter.live import Look, with_victims  # noqa: PLC0415
    from exporter.server import serve  # noqa: PLC0415
    from exporter.stream import Streams  # noqa: PLC0415
    from exporter.web import Endpoints, application  # noqa: PLC0415
    from inspector.victims import Victims  # noqa: PLC0415

    document = with_victims(Victims(observer.host))
    endpoints = Endpoints(
        scraper,
        observe,
        document,
        telemetry_path=arguments.web_telemetry_path,
        prefix=options.route_prefix(arguments),
        external=arguments.web_external_url,
        max_requests=arguments.web_max_requests,
    )
    look = partial(Look, make=document, lacks=tuple(missing_here()))
    streams = Streams(observe, look, focus=partial(setattr, observer, "focused"))
    serve(application(endpoints, streams), sockets, web_config, streams.close)


if __name__ == "__main__":
    sys.exit(main())
