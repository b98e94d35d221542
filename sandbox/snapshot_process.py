"""The process that a snapshot is taken of, and what it does first where it goes on: snapshot.py draws how.

It has one thread, which Python takes for its first: that which has forked. Its
stack is memory like any other, while that of a program's first thread is where
the kernel puts it, another place each time.
"""

from __future__ import annotations

import _locale
import _thread
import gc
import mmap
import os
import sys
import time

from inspector.kernel import named
from sandbox import finding, snapshot, snapshot_code, snapshot_file, syscalls
from sandbox.contexts import suppress
from sandbox.errors import SandboxError
from sandbox.libc import (
    address,
    array_in,
    call,
    check,
    in_a_thread,
    libc,
    symbol,
    syscall,
    text_at,
    ulongs,
    word_at,
)
from sandbox.quick import signal
from sandbox.snapshot_code import PAGE, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["take"]

COMMANDS = ("sandbox", "sandbox-oci", *finding.INSPECTING)
ARCH_GET_FS, PR_GET_TID_ADDRESS = 0x1003, 40
M_ARENA_MAX, ONE = -8, 1  # a thread has an arena of its own otherwise, at 64 MiB of addresses
STACK_BYTES = 8 << 20  # the kernel's default
# Modules that have what is one process's own: for the live view they are set right (_go_on), TLS it has none.
UNFIT = frozenset({"random", "ssl", "threading"})
OF_TEXTUAL = (b"TEXTUAL", b"ESCDELAY")  # variables that it takes when it is imported
BEHIND = 10
CODE_BYTES = 32 * PAGE
SIGNALS = 64
WORD = 8
# What libc registers for each thread (rseq(2)).
RSEQ_BYTES, RSEQ_UNREGISTER, RSEQ_SIGNATURE = 32, 1, 0x53053053

# Memory that a fork's child has empty: libc's random numbers come out of such (getrandom(3), from glibc 2.41 on).
WIPED, MAP_FIXED, MADV_WIPEONFORK = "wf", 0x10, 18

# What went into the file, once it is taken; the start scripts that may start from it.
_files: snapshot.Found = {}
_scripts: list[list[int]] = []
_wiped: list[tuple[int, int]] = []  # where, and how many bytes
_code: object = None  # as long as this is, the machine code is


def take(path: str, script: str, kind: str, names: list[str]) -> NoReturn:
    """Become what is written to a file: import all, and have a thread fork, whose stack is where the kernel's is not.

    The start script's path is known by `script`, what is imported besides by `names`; 1 where it cannot be done.
    """
    signal.alarm(snapshot.MAKING_SECONDS)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    for origin in finding.STARTED:
        finding.install(origin)
        for name in list(finding.GROUPS):
            __import__(name)
        finding.complete.add(origin)
    for name in names:
        with suppress(ImportError):
            __import__(name)
    finding.out_of = kind
    named.prepare()
    if kind == finding.LIVE:
        os.nice(BEHIND)  # what is looked at meanwhile goes before
    elif unfit := UNFIT.intersection(sys.modules):
        raise SandboxError(f"these have what is one process's own: {', '.join(unfit)}")
    _files.update(snapshot.stats(snapshot.sources()))
    folder = os.path.dirname(script)
    _scripts.extend(found for name in COMMANDS if (found := snapshot.stat(f"{folder}/{name}")))
    libc("mallopt")(M_ARENA_MAX, ONE)
    gc.collect()
    gc.freeze()  # looking for garbage would write to each page
    in_a_thread(lambda: _fork(path), STACK_BYTES)
    os._exit(1)


def _fork(path: str) -> None:
    """Have a child that has but this thread, which is Python's first one there."""
    try:
        pid = os.fork()
        if pid:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        _forked(path)
    except BaseException as error:  # noqa: BLE001  nobody above us would tell
        sys.excepthook(type(error), error, error.__traceback__)
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            sys.stdout.flush()
        if isinstance(error, KeyboardInterrupt):  # as Python ends: a shell's loop ends, too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(1)


def _forked(path: str) -> NoReturn:
    """Call the machine code, in which one goes on here and another out of the file."""
    global _code  # noqa: PLW0603  once
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    mapped = mmap.mmap(-1, CODE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, rights)
    code = snapshot_code.CODE[os.uname().machine]
    mapped[: len(code)] = code
    _code = array = array_in(mapped)
    place = address(array)
    call(place + snapshot_code.MEASURE, place + PAGE + snapshot_code.FEATURES)
    state = _state()
    _leave_surroundings(state)
    pid = call(place + snapshot_code.FORK_LATER, place + PAGE)
    if pid == 0:
        _go_on(place + PAGE)
    try:
        _write(path, pid, place, state)
    finally:
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _state() -> State:
    """Return where libc has what the machine code sets right."""
    found = ulongs(0, 0)
    check(syscall("arch_prctl", ARCH_GET_FS, address(found)), "arch_prctl")
    syscalls.prctl(PR_GET_TID_ADDRESS, address(found) + WORD)
    return State(found[0], found[1], symbol("__curbrk"), symbol("environ"))


def _leave_surroundings(state: State) -> None:
    """Have nothing that is this process's own."""
    with suppress(OSError):  # older libraries have none of it: the kernel's notes on which processor we are
        syscall("rseq", state.thread + word_at(symbol("__rseq_offset")), RSEQ_BYTES, RSEQ_UNREGISTER, RSEQ_SIGNATURE)
    libc("clearenv")()
    os.environ._data.clear()  # type: ignore[attr-defined]  # noqa: SLF001  a change by its methods is one of libc's
    finding.forget()
    _wiped.extend(_wiped_by_forks())


def _wiped_by_forks() -> list[tuple[int, int]]:
    """Return what of our memory a child has empty: where, and how many bytes."""
    found = []
    with open("/proc/self/smaps", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            first, *words = line.split()
            if not first.endswith(":"):
                begin, end = (int(address, 16) for address in first.split("-"))
            elif first == "VmFlags:" and WIPED in words:
                found.append((begin, end - begin))
    return found


def _write(path: str, pid: int, place: int, state: State) -> None:
    """Write the memory of a process to a file."""
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def read(begin: int, count: int) -> bytes:
        data = os.pread(fd, count, begin)
        if len(data) != count:
            raise SandboxError("not all of its memory can be read")
        return data

    image = snapshot_file.compose(snapshot_file.read_maps(pid), read, place, state)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o700)) as written:
        written.write(image)
        written.write(snapshot.record(_files))
        written.flush()
        os.fsync(written.fileno())  # after a loss of power zeros would be executed


# What goes on out of the file.


def _go_on(state: int) -> NoReturn:
    """Be the command that the file was executed for, with the start script's path as the first argument."""
    for place, size in _wiped:  # otherwise our children would have the same random numbers as we
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
        call(symbol("mmap"), place, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        call(symbol("madvise"), place, size, MADV_WIPEONFORK)
    begin = word_at(state + snapshot_code.BEGIN)
    words = _texts(begin + 2 * WORD)  # behind their number, and how the file was called
    for entry in _texts(begin + (word_at(begin) + 2) * WORD):
        name, equals, value = entry.partition(b"=")
        if equals:
            os.environ._data.setdefault(name, value)  # type: ignore[attr-defined]  # noqa: SLF001  libc has it already
    sys.argv[:] = map(os.fsdecode, words)
    if not any(words[:1]):
        _prove()
    is_ours = snapshot.stat(sys.argv[0]) in _scripts and not _is_told()
    if not is_ours or any(snapshot.stat(path) != known for path, known in _files.items()):
        finding.as_usual()
    _take_signals(word_at(state + snapshot_code.IGNORED))
    _take_streams()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if "TZ" in os.environ:
        time.tzset()
    _take_locale()
    if random := sys.modules.get("random"):
        random.seed()
    finding.run(sys.argv[0])


def _is_told() -> bool:
    """Tell whether there are variables that Textual would have heeded."""
    names = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    return finding.out_of == finding.LIVE and any(name.startswith(OF_TEXTUAL) for name in names)


def _texts(place: int) -> list[bytes]:
    """Return the texts that are pointed at from an address on, up to the pointer that is none."""
    found = []
    while (text := text_at(place)) is not None:
        found.append(text)
        place += WORD
    return found


def _take_signals(ignored: int) -> None:
    """Do about signals what Python does when it starts; those that our caller ignores stay so."""
    for number in (each for each in range(1, SIGNALS + 1) if ignored >> each - 1 & 1):
        with suppress(OSError, ValueError):  # two are libc's own
            signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    if not ignored >> signal.SIGINT - 1 & 1:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_locale() -> None:
    """Have the locale's characters, which ctop asks for; without LC_ALL the one that we have, C.UTF-8, is as good."""
    if os.environ.get("LC_ALL"):
        _locale.setlocale(_locale.LC_CTYPE, "C")
        with suppress(_locale.Error):  # type: ignore[attr-defined]  # there is none of that name
            _locale.setlocale(_locale.LC_CTYPE, "")


def _take_streams() -> None:
    """Make the standard streams as Python does in its UTF-8 mode."""
    kinds = (("stdin", "r", -1, "surrogateescape"), ("stdout", "w", -1, "surrogateescape"))
    for number, (name, mode, buffering, errors) in enumerate((*kinds, ("stderr", "w", 1, "backslashreplace"))):
        stream: Any
        try:
            stream = open(number, mode, buffering, "utf-8", errors, "\n", closefd=False)  # noqa: SIM115
        except OSError:  # closed
            stream = None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _prove() -> NoReturn:
    """Try what was set right: the clock, much memory in one piece and in many, a child, a thread, one more library."""
    time.time()
    pieces = [bytes(size) for size in (*range(0, 40_000, 9), 64 << 20)]
    if (pid := os.fork()) == 0:
        os._exit(len(pieces) % 2)
    os.waitpid(pid, 0)
    done = _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(done.release, ())
    done.acquire()
    with suppress(ImportError):
        import _queue  # noqa: F401, PLC0415
    _take_streams()
    sys.stdout.write("")
    os._exit(snapshot.PROVEN)
