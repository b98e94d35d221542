"""A start that goes on where another process was: one that has imported all that `run`, `exec` and `ctop` need.

Python takes longer to start, and to import that, than the kernel to make a
container, or to tell of many. So one process does it, and forks in machine
code: the child's memory becomes an ELF file (snapshot_file.py), and whoever
executes that is the child, which returns from fork(). Android's zygote forks
applications from a process that has loaded all; this is one that nobody has to
keep waiting.

    renew()  starts Python with                     the start script
      take()  imports all, its thread forks            |
        _forked()  calls fork_later  <- - - - - - - executes the file:
          in the parent _write()s the child             _go_on(), in the child

Both are in snapshot_process.py. What a process has of its surroundings is made
anew: arguments, variables, streams, signals. Where anything that went into
the file is not what it was, kernel, processor, Python, a library, one of our
modules, sh starts Python as usual, and at the end of that command the file is
renewed. The live view of ctop, which imports far more, has a file of its own:
renew_meanwhile() sees to that while a view without it is looked at.

The addresses of such processes, which are random, the C library's canaries and
the seed of Python's hashes are the file's: of one installation, and as secret
as that is (0700).
"""

from __future__ import annotations

import os
import select
import sys
import time
from _frozen_importlib_external import cache_from_source

from sandbox import finding, snapshot_code, snapshot_file
from sandbox.contexts import suppress
from sandbox.libc import syscall
from sandbox.quick import dumps, loads, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    # Of each path what stat() says of it.
    Found = dict[str, list[int] | None]

__all__ = [
    "MAKING_BYTES", "MAKING_SECONDS", "PROVEN", "READY_SECONDS", "record", "renew", "renew_meanwhile", "sources",
    "stat", "stats",
]  # fmt: skip

PLACE = f"{finding.PLACE}/sandbox"
PROGRAM = "import sys; sys.path[:] = {!r}; from sandbox import snapshot_process; snapshot_process.take(*{!r})"
OPTIONS = ("-X", "utf8", "-SP")  # the start script's
# personality(2): libraries below the program, far from where the kernel will put stack and vDSO; and what it is.
ADDR_COMPAT_LAYOUT, NOT_CHANGED = 0x0200000, 0xFFFFFFFF
# What each process has of this machine: its time zone, and libraries that are loaded into all (ld.so(8)).
OTHERS = ("/etc/localtime", "/etc/ld.so.preload")
PROVEN = 71  # the exit code of one that was tried
LENGTH_BYTES = 8
TRY_AGAIN_SECONDS = 86400  # a disk may have been full
# Making one takes half a second, trying it a hundredth: who hangs is ended.
MAKING_SECONDS, TRIAL_SECONDS = 60, 5
# 115 MB and 260, and what else is done meanwhile.
MAKING_BYTES = {finding.START: 192 << 20, finding.LIVE: 384 << 20}
VIEW = ("inspector.", "textual.", "rich.")  # whatever else others have had site execute
READY_SECONDS = 2  # the live view has drawn its second screen
CPUINFO_BYTES = 4096  # the first processor


def renew(kind: str, names: Iterable[str] = (), *, make: bool = True) -> None:
    """Write the file where there is none that is right, and try it; where it does not work here, that is kept.

    Of the live view it has the modules of these `names`. Not to `make` it, is to remove what is not right: each start
    would try it in vain. So it is where it would not fit into the memory that a container may have: the kernel would
    kill something, and all of a pod's at once.
    """
    path = finding.kept_start(kind)
    if os.uname().machine not in snapshot_code.CODE or _is_right(path):
        return
    _remove_rests(path)
    if not (make and _has_room(kind)):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    new = f"{path}.{os.getpid()}"
    try:
        program = PROGRAM.format([os.path.abspath(each) for each in sys.path], (new, sys.argv[0], kind, [*names]))
        usual = syscall("personality", NOT_CHANGED)
        made = _spawn(MAKING_SECONDS, ADDR_COMPAT_LAYOUT, sys.executable, *OPTIONS, "-c", program) == 0
        if not made or not _works(new, usual):
            _give_up(new)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _has_room(kind: str) -> bool:
    from sandbox import ceilings  # noqa: PLC0415  only who makes it

    return ceilings.room() > MAKING_BYTES[kind]


def renew_meanwhile(kind: str) -> None:
    """Do so in a thread, which ends with this process, with what that has imported when it is ready and waits."""
    import threading  # noqa: PLC0415  who calls this has it

    def work() -> None:
        time.sleep(READY_SECONDS)
        with suppress(Exception):  # no room, another version: all is as it was
            renew(kind, [name for name in sys.modules if name.startswith(VIEW)])

    threading.Thread(target=work, daemon=True).start()


def _remove_rests(path: str) -> None:
    """Remove what was being written by who was killed meanwhile."""
    folder, name = os.path.split(path)
    for each in os.listdir(folder):
        writer = each[len(name) + 1 :]  # who has our number was in another container, or before the machine started
        if each.startswith(f"{name}.") and (writer == str(os.getpid()) or not os.path.exists(f"/proc/{writer}")):
            with suppress(OSError):
                os.unlink(f"{folder}/{each}")


def _spawn(seconds: float, personality: int, *words: str) -> int:
    """Run a program in an environment of nothing, for so long at most, and return its exit code."""
    syscall("personality", personality)  # its own is ours
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    streams = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    pid = os.posix_spawn(words[0], words, {}, file_actions=streams, setsigdef=range(1, 32), setsigmask=())
    os.close(null)
    try:
        ended = os.pidfd_open(pid)
        if not select.select([ended], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
        os.close(ended)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _works(path: str, personality: int) -> bool:
    """Tell whether the kernel executes the file, which a policy may forbid (IMA, fapolicyd), and all goes well then."""
    with suppress(OSError):
        return _spawn(TRIAL_SECONDS, personality, path, "") == PROVEN
    return False


def _give_up(path: str) -> None:
    """Leave a file that nobody can execute, so that this is not tried at each start."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(record(stats(sources())))


# What the file ends with: what went into it.


def record(files: Found) -> bytes:
    """Return these files, and what the process is bound to besides, as text, its length, and a mark."""
    text = dumps([os.uname().nodename, _machine(), files]).encode()
    return text + len(text).to_bytes(LENGTH_BYTES, "little") + finding.MARK


def _is_right(path: str) -> bool:
    """Tell whether a file is there that was made of what is here now.

    That none can be made is true for a day, and so is what another machine has made, or a container, where the modules
    are the same: those who share an installation would make it anew in turn.
    """
    behind = LENGTH_BYTES + len(finding.MARK)
    try:
        with open(path, "rb") as file:
            made = os.fstat(file.fileno())
            is_new = abs(time.time() - made.st_mtime) < TRY_AGAIN_SECONDS
            if not made.st_mode & 0o100 and not is_new:
                return False
            file.seek(-behind, os.SEEK_END)
            length, mark = int.from_bytes(file.read(LENGTH_BYTES), "little"), file.read()
            if mark != finding.MARK:
                return False
            file.seek(-behind - length, os.SEEK_END)
            node, machine, files = loads(file.read(length))
        ours = stat(f"{PLACE}/snapshot_process.py") in files.values()  # not of what this one is a copy of
        if node != os.uname().nodename and is_new:
            machine, files = _machine(), {path: files[path] for path in files if path.startswith(f"{finding.PLACE}/")}
        return bool(ours and machine == _machine() and stats(files) == files)
    except PermissionError:  # another user's, who would make it anew in turn
        return True
    except (OSError, ValueError, TypeError, AttributeError):  # damaged, or another version's
        return False


def _machine() -> str:
    """Return kernel and processor: what differs from machine to machine with the same files (/proc/cpuinfo)."""
    with open("/proc/cpuinfo", "rb") as file:
        first = file.read(CPUINFO_BYTES).decode(errors="replace").split("\n\n", 1)[0]
    told = (line for line in first.splitlines() if line.startswith(("model", "stepping", "flags")))
    return "\n".join((*os.uname()[2:], *told))


def stats(paths: Iterable[str]) -> Found:
    """Return what is at these paths."""
    return {path: stat(path) for path in paths}


def stat(path: str) -> list[int] | None:
    """Return what changes with a file; of a directory, with what is in it. None where nothing is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def sources() -> list[str]:
    """Return the files that went into this process: Python, its libraries, our modules, and what we found them by."""
    mapped = {each.name for each in snapshot_file.read_maps("self") if each.name.startswith("/")}
    files = {str(getattr(each, "__file__", "")) for each in sys.modules.values()}
    ours = {path for path in files if path.startswith(f"{finding.PLACE}/") or "-packages/" in path}
    kept = {cache_from_source(f"{finding.PLACE}/{origin}") for origin in finding.STARTED}
    return sorted({*mapped, *ours, *kept, f"{PLACE}/snapshot_process.py", PLACE, *OTHERS})
