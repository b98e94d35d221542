"""What verbs say: a line on standard output, a complaint on standard error, the name of each container served."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from sandbox.contexts import contextmanager, suppress
from sandbox.errors import BadValue, NobodyReads, SandboxError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_AT_ONCE = 50  # as Docker's client
__all__ = [
    "complain",
    "each",
    "each_at_once",
    "ending_with_one",
    "output_path",
    "refuse_terminal",
    "say_documents",
    "say_each",
    "say_line",
    "say_rows",
    "warn",
    "write_archive",
]


def complain(error: BaseException) -> None:
    """Say in one line what went wrong."""
    if sys.stderr is None or isinstance(error, NobodyReads):
        return
    try:
        sys.stderr.write(f"sandbox: {describe(error)}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens
        return


def warn(text: str) -> None:
    """Say in one line what is not as it should be, and does not stop us."""
    complain(SandboxError(f"warning: {text}"))


def say_line(text: str) -> None:
    """Print a line; NobodyReads when its reader has gone, SandboxError when it cannot be written."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise NobodyReads from None
    except OSError as error:
        raise SandboxError(f"standard output: {error.strerror}", 1) from None


def say_rows(
    rows: Sequence[Mapping[str, Any]], template: str, titles: Mapping[str, str], usual: str = ""
) -> None:
    """Print a line a row by a template, or `usual`; with titles before them where it begins with `table`."""
    from sandbox.template import listing  # noqa: PLC0415

    if text := listing(rows, template, titles, usual):
        say_line(text)


def say_documents(documents: Sequence[Mapping[str, Any]], template: str) -> None:
    """Print what `inspect` tells: a line each by a template, or without one all of them as JSON."""
    if template in ("", "json"):
        import json  # noqa: PLC0415

        how: dict[str, Any] = {"separators": (",", ":")} if template else {"indent": 4}
        say_line(json.dumps(documents, **how))
        return
    from sandbox.template import render  # noqa: PLC0415

    for document in documents:
        say_line(render(document, template))


def say_each(names: Sequence[str], find: Callable[[str], Mapping[str, Any]], template: str) -> int:
    """Print what `inspect` tells of those that are there, and complain of the others; 1 when there are such."""
    found, code = [], 0
    for name in names:
        try:
            found.append(find(name))
        except SandboxError as error:
            complain(error)
            code = 1
    say_documents(found, template)
    return code


@contextmanager
def ending_with_one() -> Iterator[None]:
    """Let what goes wrong end with 1, as with Docker's verbs that run no program; not a value that is none."""
    try:
        yield
    except (BadValue, NobodyReads):
        raise
    except (SandboxError, OSError) as error:
        raise SandboxError(describe(error), 1) from None


def refuse_terminal(fd: int) -> None:
    """Refuse a terminal where an archive is to be read or written."""
    if os.isatty(fd):
        raise SandboxError("an archive is not for a terminal: redirect it, or give a file", 1)


def output_path(path: str) -> str:
    """Return the file that is to be written, behind links; SandboxError where that would take a device's place.

    The kernel follows them, and not we: others' in a directory such as /tmp it does not (fs.protected_symlinks).
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return path
    try:
        if stat.S_IFMT(os.fstat(fd).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise SandboxError(f"invalid output path: {path!r} must be a directory or a regular file", 1)
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def write_archive(path: str, pieces: Callable[[], Iterator[bytes]]) -> None:
    """Write an archive to a file, whole or not at all, or for "-" to standard output."""
    from sandbox.pack import write_to  # noqa: PLC0415

    if path == "-":
        refuse_terminal(1)
        write_to(1, pieces())
        return
    place = output_path(path)
    new = f"{place}.new"
    try:
        with suppress(FileNotFoundError):  # an interrupted one's, or what somebody else wants to be written into
            os.unlink(new)
        with open(new, "xb", buffering=0) as file:
            try:
                write_to(file.fileno(), pieces())
                os.replace(new, place)
            except BaseException:
                os.unlink(new)
                raise
    except OSError as error:
        if error.filename not in (new, None):  # of what is archived
            raise
        raise OSError(error.errno, error.strerror, path) from None


def each_at_once(names: Sequence[str], action: Callable[[str], None]) -> int:
    """Do something that may take seconds with all of them at once, and tell of each as each() does."""
    if len(names) == 1:
        return each(names, action)
    if finding := sys.modules.get("sandbox.finding"):
        finding.leave()
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    pool = ThreadPoolExecutor(min(len(names), MOST_AT_ONCE))
    try:
        done = iter([pool.submit(action, name) for name in names])
        return each(names, lambda _: next(done).result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # not after an interrupt


def each(names: Sequence[str], action: Callable[[str], None], *, name_it: bool = True) -> int:
    """Do something with each, print the names as Docker does, and go on after one that fails."""
    code = 0
    for name in names:
        try:
            action(name)
        except SandboxError as error:
            complain(error)
            code = error.exit_code
        else:
            if name_it:
                say_line(name)
    return code
