"""What the commands share: how they end, and an option."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from inspector.errors import InspectorError
from inspector.garbage import uncollected_at_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

    from inspector.plain import Plain

__all__ = ["INTERRUPTED", "add_socket", "be", "ended", "keep_live", "leave", "require_output", "wrong"]

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def be(main: Callable[[], int]) -> NoReturn:
    """Be a console script: main(), and an end at once where there was no live view, which has threads to wait for.

    Python would first take apart all that it holds, an eighth of what `ctop --once` takes to start and to end.
    """
    try:
        code = main()
    except SystemExit as end:  # argparse's
        code = int(end.code or 0)
    finding = sys.modules.get("sandbox.finding")  # the script has started us
    if "textual" not in sys.modules:
        if finding and code != INTERRUPTED:
            finding.keep()
    elif finding and finding.out_of:  # above us is nobody who would end Python
        sys.modules["threading"]._shutdown()  # noqa: SLF001
    else:
        sys.exit(code)
    os._exit(code)  # stdout is flushed: main() tells of a full one


def leave(*, live: bool = False) -> None:
    """Have modules found as usual from now on, where the start script has started us: threads are to come.

    What ctop and nsinspect import for theirs is in no process out of a file, but the live view's in that for it.
    """
    if finding := sys.modules.get("sandbox.finding"):
        if finding.out_of and not (live and finding.out_of == finding.LIVE):
            finding.as_usual()
        finding.leave()


def keep_live() -> None:
    """Have the next live view start sooner."""
    if finding := sys.modules.get("sandbox.finding"):
        finding.keep_live()


def ended(name: str, run: Callable[[], int]) -> int:
    """Run a command; return its exit code: 1, with one line on stderr, for what a person can do something about."""
    uncollected_at_exit()
    try:
        return _run_to_the_end(run)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # `ctop --once | head -1`: the reader has what it wants
        return 0
    except InspectorError as error:
        return _complain(name, str(error))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.exists("/proc/self"):
            return _complain(name, "/proc is not mounted here, and all is read there: mount -t proc proc /proc")
        about = f"{error.strerror}: {error.filename!r}" if error.filename is not None else str(error.strerror)
        if error.filename is None and error.errno in FULL:  # nothing else is written to without a name
            _write_no_more()
            about = f"standard output: {about}"
        return _complain(name, about)


def require_output() -> None:
    """Raise InspectorError when standard output is closed: there is nothing to write to then."""
    if sys.stdout is None:
        raise InspectorError("standard output is closed")


def _run_to_the_end(run: Callable[[], int]) -> int:
    """Run it and write all that it has said, so that what cannot be written is known; also before --help ends it."""
    try:
        code = run()
    except SystemExit:
        if sys.stdout is not None:  # closed
            sys.stdout.flush()
        raise
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _write_no_more() -> None:
    """Let what is still to be written go nowhere: Python would complain once more when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(name: str, text: str) -> int:
    from inspector.views.text import safe  # noqa: PLC0415  only when something went wrong

    sys.stderr.write(f"{name}: {safe(text)}\n")
    return 1


def wrong(text: str) -> argparse.ArgumentTypeError:
    """Return what an argument's type raises: argparse tells of it in these words."""
    import argparse  # noqa: PLC0415  with what it imports it takes as long as a look at twenty containers

    return argparse.ArgumentTypeError(text)


def add_socket(parser: argparse.ArgumentParser | Plain) -> None:
    """Declare --socket: None without it, "" without PATH."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        nargs="?",
        const="",
        type=_socket,
        help="ask this API socket, or those of Docker and Podman, for names that no file tells (waits 1 s at most)",
    )


def _socket(text: str) -> str:
    path = text.removeprefix("unix://")
    if path and not path.startswith("/"):
        raise wrong(f"must be the path of a socket such as /run/docker.sock, not {text!r}")
    return path
