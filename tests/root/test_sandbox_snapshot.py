"""A start out of a file that holds a process: as any other, and not out of it where that does not fit (snapshot.py)."""

from __future__ import annotations

import contextlib
import os
import platform
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from sandbox import snapshot_code
from sandbox.finding import MARK, START
from sandbox.snapshot import MAKING_BYTES
from sandbox.snapshot_code import CODE, FEATURES, PAGE, TABLE
from tests.root.sandboxing import wait_for
from tests.root.test_sandbox_installed import RUN, Installed, change
from tests.testbed.cgroups import hierarchy
from tests.testbed.leaks import remove_cgroups

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() not in CODE, reason="not written for this machine"),
]

STARTS = 3  # its byte code is kept, then the process; the third one is out of the file
TOLD = {"PYTHONHOME": sys.base_prefix, "PYTHONIOENCODING": "utf-8", "LD_PRELOAD": "libc.so.6", "cgscope_plain": ""}
FOREVER = ("--jsonl", "-d", "60")
PLAIN = dict([snapshot_code.PLAIN.split("=")])


class Kept(Installed):
    """An installed `sandbox` and the file that its third start is out of."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.file = self.kept.with_name(self.kept.name.replace("kept_run", "kept_start"))
        self.again()

    def again(self) -> None:
        """Start it until the file is there, or is another one."""
        for _ in range(STARTS - 1):
            self(*RUN, "true")

    def runs_from(self, **variables: str) -> str:
        """Return what a start executes: the file's name, or Python's."""
        words = (self.command, "run", "-i", *RUN[1:], "sh", "-c", "read line")
        env = self.env | variables
        with subprocess.Popen(words, stdin=subprocess.PIPE, env=env, cwd="/") as begun:
            children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
            assert wait_for(lambda: children.read_text() != "")
            found = os.path.basename(os.readlink(f"/proc/{begun.pid}/exe"))
        assert begun.returncode == 1, begun.returncode  # of `read` at the end of its input
        return found.partition(".")[0]

    def damage(self, at: int, new: bytes) -> None:
        """Change bytes of the words that the machine code reads."""
        data = bytearray(self.file.read_bytes())
        words = struct.unpack_from("<Q", data, 24)[0] - snapshot_code.START + PAGE  # the entry is in the machine code
        count = struct.unpack_from("<H", data, 56)[0]
        segments = [struct.unpack_from("<IIQQ", data, 64 + 56 * number) for number in range(count)]
        begin = next(offset for _, _, offset, address in segments if address == words) + at
        data[begin : begin + len(new)] = new
        other = self.file.with_suffix(".new")
        other.write_bytes(data)
        other.chmod(0o700)
        other.rename(self.file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Give an installation whose starts are out of the file; it stays as it is."""
    installed = Kept(tmp_path_factory.mktemp("kept"))
    yield installed
    installed.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Kept]:
    """Give one that a test may change."""
    installed = Kept(tmp_path)
    yield installed
    installed.close()


@pytest.mark.vm
def test_the_third_start_goes_on(made: Kept) -> None:
    """What it executes is the file, which nobody but its owner can read; nothing else is left beside it."""
    assert made.runs_from() == "kept_start"
    assert made.file.stat().st_mode & 0o777 == 0o700
    assert list(made.file.parent.glob("kept_start*")) == [made.file]
    before = made.file.stat()
    made(*RUN, "true")
    assert (made.file.stat().st_ino, made.file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


SCRIPTS = {
    "arguments": "{run} printf '%s|' '' 'a b' \"$(printf '\\377')\" '*'",
    "variables": "{run} -e KNOWN -e EMPTY -e ODD -e MISSING -e LC_CTYPE -e NEW=1 env | grep -v HOSTNAME | sort",
    "streams": "printf 'a\\nb' | {run} -i sh -c 'cat; echo error >&2; exit 3'; echo $?",
    "nobody_reads": "{run} sh -c 'while echo y; do :; done' | head -n 2",
    "closed_input": "{run} cat <&-; echo $?",
    "closed_output": "{run} true >&-; echo $?",
    "closed_errors": "{run} no-such-program 2>&-; echo $?",
    "no_program": "{run} no-such-program; echo $?",
    "help": "{sandbox} run --help && {sandbox} --help && {sandbox} ps --help && {sandbox} oci --help; echo $?",
    "help_on_a_full_disk": "{sandbox} run --help > /dev/full; echo $?",
    "bad_option": "{sandbox} run --no-such-option; echo $?",
    "killed": "{run} sh -c 'kill -TERM $$; sleep 0.5'; echo $?",
    "ignored": "trap '' HUP INT USR1; {run} grep -E 'Sig(Ign|Cgt|Blk)' /proc/self/status",
    "directory": "cd /usr/lib && {run} -w /usr pwd",
    "limits": "ulimit -n 77; {run} sh -c 'ulimit -n'; umask 077; {run} sh -c umask",
    "local_time": "TZ=XYZ-5 {sandbox} events --since 1h --until 0s | grep -c '+05:00'",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_the_same_start(made: Kept, name: str) -> None:
    """What comes of a start is the same as of Python's own."""
    script = SCRIPTS[name].format(sandbox=made.command, run=" ".join(map(str, (made.command, *RUN[:-1]))))
    env = made.env | {"KNOWN": "a=b", "EMPTY": "", "LC_ALL": "C"}

    def said(**variables: str) -> tuple[bytes, bytes, int]:
        words = ["sh", "-c", f"ODD=$(printf '\\377x'); export ODD; {script}"]
        done = subprocess.run(words, capture_output=True, check=False, env=env | variables, cwd="/", timeout=180,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        return done.stdout, done.stderr, done.returncode

    usual = said(**PLAIN)
    assert said() == usual
    assert b"Traceback" not in usual[1]
    assert usual[0], "a comparison of nothing"


def test_signals_are_as_with_python(made: Kept) -> None:
    """Which are ignored, blocked and taken: a reader that is gone, or a limit of size, is an error and no death."""

    def signals(**variables: str) -> list[str]:
        words = (made.command, "run", "-i", *RUN[1:], "sh", "-c", "read line")
        with subprocess.Popen(words, stdin=subprocess.PIPE, env=made.env | variables, cwd="/") as begun:
            children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
            assert wait_for(lambda: children.read_text() != "")
            lines = Path(f"/proc/{begun.pid}/status").read_text().splitlines()
        return [line for line in lines if line.startswith("Sig") and "SigQ" not in line]

    assert signals() == signals(**PLAIN)


@pytest.mark.parametrize(("before", "code"), [("", 130), ("trap '' INT; ", -signal.SIGTERM)])
def test_an_interrupt_is_as_with_python(made: Kept, before: str, code: int) -> None:
    """SIGINT ends a command with 130, where whoever started it does not ignore it."""
    made(*RUN, "true")
    words = ["sh", "-c", f"{before}exec {made.command} events --since 1h"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=made.env, cwd="/", stdout=pipe, stderr=pipe) as begun:
        assert begun.stdout is not None
        assert begun.stderr is not None
        begun.stdout.readline()
        assert os.readlink(f"/proc/{begun.pid}/exe") == str(made.file)
        begun.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            begun.wait(1 if before else 60)
        begun.terminate()
        assert begun.wait(60) == code
        assert begun.stderr.read() == b""


def test_another_machine_starts_as_usual(own: Kept) -> None:
    """Where kernel, processor or addresses are others than they were, Python is started, and all goes well."""
    for at, new in (
        (FEATURES, b"\xff" * 4),
        (TABLE, struct.pack("<Q", 0) + struct.pack("<3Q", 1, 0x1000_0000_0000_0000, PAGE)),
    ):
        own.damage(at, new)
        assert own.runs_from() == "python3"
        assert own(*RUN, "echo", "said").stdout == "said\n"


def test_another_version_starts_as_usual(own: Kept) -> None:
    """A module that is not what it was: Python is started, and the file becomes another one, which has it."""
    change(own, "errors", "# another\n")
    before = own.file.stat().st_ino
    assert own.runs_from().startswith("python")
    own.again()
    assert own.file.stat().st_ino != before
    assert own.runs_from() == "kept_start"


def test_who_does_not_make_it_removes_what_is_stale(own: Kept) -> None:
    """Where only other verbs are used, or Docker, each start would execute it first, in vain."""
    own("ps")
    assert own.file.exists()
    change(own, "errors", "# another\n")
    for _ in range(STARTS):  # a first one may have byte code to keep
        own("ps")
    assert not own.file.exists()


@pytest.mark.parametrize("words", [("ctop", "--once", "-d", "0.1"), ("nsinspect", "self")])
def test_what_inspects_makes_it_too(own: Kept, words: tuple[str, ...]) -> None:
    """Also ctop without its live view goes on out of it, and so does what another command starts then."""
    own.file.unlink()
    for _ in range(STARTS):
        subprocess.run([own.command.with_name(words[0]), *words[1:]], env=own.env, check=True, capture_output=True)
    made = own.file.stat().st_ino
    assert ctop_runs_from(own, FOREVER, {}) == "kept_start"
    assert own.runs_from() == "kept_start"
    assert own.file.stat().st_ino == made


def test_what_others_have_executed_does_not_get_into_it(own: Kept) -> None:
    """A package's *.pth that imports what a process is not kept with: site executes it, which nobody has need of."""
    own.file.unlink()
    (own.packages / "other.pth").write_text("import threading; import sys; sys.stderr.write('executed')\n")
    words = [str(own.command.with_name("nsinspect")), "self"]
    for _ in range(STARTS):
        done = subprocess.run(words, env=own.env, check=True, capture_output=True)
        assert done.stderr == b""
    assert own.file.stat().st_mode & 0o777 == 0o700


@pytest.fixture(scope="module")
def complete(made: Kept) -> Kept:
    """Give the installation that has what ctop and nsinspect import in its file as well."""
    commands = ("ctop --json -d 0.1", "ctop --once -d 0.1", "ctop --help", "nsinspect self", "nsinspect --json 1")
    for _ in range(STARTS):
        for name, *words in map(str.split, (*commands, "nsinspect --help", "nsinspect --namespaces")):
            subprocess.run([made.command.with_name(name), *words], env=made.env, check=True, capture_output=True)
    return made


def ctop_runs_from(made: Kept, words: Sequence[str], more: Mapping[str, str], stdin: int = subprocess.DEVNULL) -> str:
    """Return what a ctop that goes on until it is ended executes."""
    stdout = subprocess.PIPE if stdin == subprocess.DEVNULL else stdin
    env = {**made.env, **more}
    with subprocess.Popen([made.command.with_name("ctop"), *words], stdin=stdin, stdout=stdout, env=env) as begun:
        exe = f"/proc/{begun.pid}/exe"
        comm = Path(f"/proc/{begun.pid}/comm")
        shells = ("sh", "dash", "bash")
        assert wait_for(lambda: os.path.basename(os.readlink(exe)) not in shells and comm.read_text() == "ctop\n")
        try:
            return os.path.basename(os.readlink(exe)).partition(".")[0]
        finally:
            begun.kill()


INSPECTING = {
    "table": "ctop --once -d 0.1",
    "ascii": "LC_ALL=C ctop --once -d 0.1",
    "no_such_locale": "LC_ALL=xx_YY.UTF-8 ctop --once -d 0.1",
    "coerced": "LANG=C ctop --once -d 0.1 -p $$",
    "other_locale": "LC_ALL=xx_YY.ISO-8859-1 ctop --once -d 0.1",
    "narrow": "COLUMNS=40 ctop --once -d 0.1",
    "help": "ctop --help",
    "bad_option": "ctop --json -d 0.1 --no-such-option",
    "refused": "ctop --json -d 0.1 -n 3",
    "full_disk": "ctop --json -d 0.1 > /dev/full",
    "closed_output": "ctop --json -d 0.1 >&-",
    "closed_errors": "ctop --json -d 0.1 2>&- <&- | grep -o schema",
    "two_documents": "ctop --jsonl -n 2 -d 0.1 | grep -o schema",
    "nobody_reads": "ctop --once -d 0.1 | head -n 1",
    "no_text": "ctop --once -d 0.1 \"$(printf 'a\\377')\"",
    "nobody_answers": "ctop --json --connect 127.0.0.1:1",
    "no_recording": "ctop --json --replay /none",
    "process": "nsinspect 1",
    "itself": "nsinspect --json self | grep -o '\"schema\"'",
    "none": "nsinspect no-such-container",
    "namespaces": "nsinspect --namespaces | grep -o PROCS",
    "changes": "nsinspect --changes 1",
    "owner": "nsinspect --owner /none",
    "what_it_takes": "nsinspect --help",
    "nothing": "nsinspect",
}


@pytest.mark.parametrize("name", INSPECTING)
def test_it_is_the_same_that_inspects(complete: Kept, name: str) -> None:
    """What it prints is the same but for what was measured, and so are its errors."""
    script = f"PATH={complete.command.parent}:$PATH; unset LC_ALL; {INSPECTING[name]}"

    def said(**variables: str) -> tuple[str, str, int]:
        words = ["sh", "-c", script]
        done = subprocess.run(words, capture_output=True, check=False, env=complete.env | variables, timeout=180,
                              stdin=subprocess.DEVNULL, text=True, errors="surrogateescape")  # fmt: skip
        told = [line for line in done.stdout.splitlines() if not line.startswith(("!", "i"))]  # findings come and go
        return re.sub(r"[-\d.]+[kKMGT]?i?B?|  +", "", "\n".join(told)), done.stderr, done.returncode

    usual = said(**PLAIN)
    assert said() == usual
    assert "Traceback" not in usual[1]
    assert usual[0] + usual[1], "a comparison of nothing"


def test_what_has_threads_has_python(complete: Kept) -> None:
    """The live view on a terminal, however it comes to be asked for, and what asks another machine."""
    controller, terminal = pty.openpty()
    listening = socket.create_server(("127.0.0.1", 0))
    try:
        for words in ((), ("-f", "x--once"), ("-s", "cpu")):
            assert ctop_runs_from(complete, words, {"TERM": "xterm"}, terminal).startswith("python"), words
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert ctop_runs_from(complete, ("--jsonl", "--connect", address), {}).startswith("python")
    finally:
        listening.close()
        os.close(controller)
        os.close(terminal)


def test_what_has_threads_does_not_start_twice(own: Kept) -> None:
    """The file would find out that it is not for these, and start them once more."""

    def starts_from_it(line: str) -> bool:
        own.file.write_text("#!/bin/sh\nexit 77\n")  # who does not start from it makes it anew
        name, *words = line.split()
        command = [str(own.command.with_name(name)), *words]
        return subprocess.call(command, env=own.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) == 77

    assert all(map(starts_from_it, ("nsinspect 1", "ctop --once", "sandbox ps")))
    for line in ("nsinspect --changes 1", "ctop --connect ::", "ctop --json --prometheus ::", "ctop --replay /none"):
        assert not starts_from_it(line)


def test_what_ctop_heeds_of_python_is_heeded(complete: Kept) -> None:
    """Another encoding than UTF-8."""
    for variables in ({"LC_ALL": "xx_YY.ISO-8859-1"}, {"PYTHONUTF8": "0"}, {"PYTHONCOERCECLOCALE": "0"}):
        assert ctop_runs_from(complete, FOREVER, variables).startswith("python"), variables
    assert ctop_runs_from(complete, FOREVER, {"LANG": "xx_YY.utf8"}) == "kept_start"


@pytest.mark.parametrize("end", [b"", b"[1, 2]" + (6).to_bytes(8, "little") + MARK, bytes(99) + MARK])
def test_what_is_no_such_file_becomes_one(own: Kept, end: bytes) -> None:
    """Byte code as Python writes it, or what another version has left."""
    own.file.unlink()
    own.file.write_bytes(end)
    own.again()
    assert own.runs_from() == "kept_start"


def test_another_command_starts_as_usual(own: Kept, tmp_path: Path) -> None:
    """A second environment with the same modules has libraries of its own: it does not start as the first one."""
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "env", other, symlinks=True)
    shutil.rmtree(other / own.packages.relative_to(tmp_path / "env") / "sandbox")
    (other / own.packages.relative_to(tmp_path / "env") / "sandbox").symlink_to(own.packages / "sandbox")
    first, own.command = own.command, other / "bin/sandbox"
    assert own.runs_from().startswith("python")
    own.command = first
    assert own.runs_from() == "kept_start"


@pytest.mark.parametrize("variable", ["PYTHONPATH", *TOLD, "PYTHONPYCACHEPREFIX"])
def test_who_tells_python_something_has_python(made: Kept, variable: str, tmp_path: Path) -> None:
    """What only a start of Python's heeds is heeded."""
    value = TOLD.get(variable, str(tmp_path))
    assert made.runs_from(**{variable: value}).startswith("python")


def test_without_memory_that_is_written_and_executed(made: Kept) -> None:
    """It starts where systemd's MemoryDenyWriteExecute forbids that."""
    program = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    words = (sys.executable, "-c", program, made.command, *RUN, "grep", "-c", "Name", "/proc/self/status")
    done = subprocess.run(words, env=made.env, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_nothing_is_relative_to_where_it_was_made(own: Kept, tmp_path: Path) -> None:
    """Made by a command that was called ./sandbox, of an installation to be edited: modules are found there later."""
    edited = tmp_path / "edited"
    edited.mkdir()
    for name in ("sandbox", "inspector"):
        (own.packages / name).rename(edited / name)
    (own.packages / "_editable_impl_cgscope.pth").write_text(f"{edited}\n")
    file = edited / "sandbox/__pycache__" / own.file.name
    file.unlink()
    for _ in range(STARTS):
        subprocess.run(["./sandbox", *RUN, "true"], env=own.env, cwd=own.command.parent, check=True)
    assert file.stat().st_mode & 0o777 == 0o700
    relative = f"./../lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages\0"
    assert relative.encode() not in file.read_bytes()


@pytest.mark.parametrize("error", ["ValueError", "KeyboardInterrupt"])
def test_what_nobody_catches_ends_it_as_with_python(own: Kept, error: str) -> None:
    """What was said is not lost, and an interrupt is told to who waits."""
    path = own.packages / "sandbox/cli.py"
    told = f'    if "FAIL" in os.environ:\n        sys.stdout.write("said")\n        raise {error}\n'
    path.write_text(path.read_text().replace("    code = main(argv)\n", f"{told}    code = main(argv)\n"))
    for _ in range(STARTS):
        own(*RUN, "true")
    done = [
        subprocess.run([own.command, "ps"], env=own.env | {"FAIL": "1"} | more, cwd="/", check=False,
                       capture_output=True)
        for more in ({}, PLAIN)
    ]  # fmt: skip
    assert (done[0].returncode, done[0].stdout) == (done[1].returncode, b"said")
    assert done[0].stderr.endswith(f"{error}\n".encode())


def test_a_copy_has_a_file_of_its_own(own: Kept, tmp_path: Path) -> None:
    """That which was copied with it is another installation's, which is still there, and is of no use."""
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "env", copy, symlinks=True)
    own.command, own.file = copy / "bin/sandbox", copy / own.file.relative_to(tmp_path / "env")
    for _ in range(STARTS):
        own(*RUN, "true")
    assert own.runs_from() == "kept_start"


def test_another_machine_with_the_same_installation_leaves_it(own: Kept, tmp_path: Path) -> None:
    """In a home directory on NFS, or a container that the installation is mounted in: each would make it in turn."""
    python = os.path.realpath(sys.executable)
    shutil.copy(python, tmp_path / "python")
    script = f'hostname another && mount --bind {tmp_path}/python {python} && exec "$@"'
    words = ["unshare", "-m", "-u", "sh", "-c", script, "sh", str(own.command.with_name("ctop")), "--json"]

    def started() -> int:
        for _ in range(STARTS):
            subprocess.run(words, env=own.env, check=True, stdout=subprocess.DEVNULL)
        return own.file.stat().st_ino

    subprocess.run(words[-2:], env=own.env, check=True, stdout=subprocess.DEVNULL)  # its byte code
    own.again()
    before = own.file.stat().st_ino
    assert started() == before
    os.utime(own.file, (0, 0))
    assert started() != before, "it is no longer in use there"


def test_what_a_fork_wipes_is_wiped(own: Kept) -> None:
    """Memory that a child has empty is so out of the file: the C library has its random numbers in such."""
    text = "import mmap\nWIPED = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nWIPED.madvise(18)\n"
    change(own, "errors", text + "WIPED[:4] = b'seed'\n")
    for _ in range(STARTS):
        own(*RUN, "true")
    words = (own.command, "run", "-i", *RUN[1:], "sh", "-c", "read line")
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=own.env, cwd="/") as begun:
        assert wait_for(lambda: Path(f"/proc/{begun.pid}/task/{begun.pid}/children").read_text() != "")
        assert os.readlink(f"/proc/{begun.pid}/exe") == str(own.file)
        lines = Path(f"/proc/{begun.pid}/smaps").read_text().splitlines()
    assert [line for line in lines if line.startswith("VmFlags:") and "wf" in line.split()]


def test_addresses_are_random_where_its_maker_had_none(own: Kept) -> None:
    """As a debugger's programs: it has that of no more than one."""
    found = []
    for _ in range(2):
        own.file.unlink()
        subprocess.run(["setarch", "-R", own.command, *RUN, "true"], env=own.env, cwd="/", check=True)
        found.append(struct.unpack_from("<Q", own.file.read_bytes(), 24)[0])
    assert found[0] != found[1]


def test_what_hangs_is_ended(own: Kept) -> None:
    """A trial that does not end does not keep the command that it is at the end of."""
    own.file.unlink()
    path = own.packages / "sandbox/snapshot_process.py"
    path.write_text(path.read_text().replace("    time.time()\n", "    time.sleep(1000)\n"))
    own.again()
    own.again()
    assert own.file.stat().st_mode & 0o777 == 0o600


def test_what_may_not_be_executed_is_given_up(own: Kept) -> None:
    """Where a policy forbids programs that no package has brought, that is found out once."""
    own.file.unlink()
    text = "def _write(path: str, *_: object) -> None:\n    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))\n"
    change(own, "snapshot_process", text)
    own.again()
    own.again()
    before = own.file.stat()
    assert before.st_mode & 0o777 == 0o600
    own.again()
    assert own.file.stat().st_ino == before.st_ino


def test_nothing_is_tried_again_that_does_not_work(own: Kept) -> None:
    """Where a process cannot be kept, a file that nobody can execute says so, until something is another one."""
    own.file.unlink()
    change(own, "snapshot_process", "def take(path: str, script: str) -> NoReturn:\n    os._exit(1)\n")
    own.again()
    own.again()
    assert own.file.stat().st_mode & 0o777 == 0o600
    before = own.file.stat().st_ino
    assert own.runs_from().startswith("python")
    assert own.file.stat().st_ino == before
    os.utime(own.file, (0, 0))
    own.again()
    assert own.file.stat().st_ino != before, "a day later it is tried again"
    shutil.copy(Path(snapshot_code.__file__).with_name("snapshot_process.py"), own.packages / "sandbox")
    own.again()
    own.again()
    assert own.runs_from() == "kept_start"


@pytest.mark.parametrize("bytes_more", [64 << 20, 320 << 20])
def test_it_is_not_made_where_memory_is_short(own: Kept, bytes_more: int) -> None:
    """In a small container the kernel would kill for it: the maker, or all that is there (memory.oom.group)."""
    own.file.unlink()
    mountpoint, version = hierarchy("memory")
    group = Path(mountpoint, f"cgscope-kept-{os.getpid()}")
    group.mkdir()
    try:
        (group / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text(str(bytes_more))
        join = ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', str(group)]
        words = [*join, str(own.command.with_name("ctop")), "--json"]
        for _ in range(STARTS):
            subprocess.run(words, env=own.env, check=True, stdout=subprocess.DEVNULL)
        killed = (group / ("memory.events" if version == 2 else "memory.oom_control")).read_text().splitlines()
    finally:
        remove_cgroups([str(group)])
    assert "oom_kill 0" in killed
    assert own.file.exists() == (bytes_more > MAKING_BYTES[START])


def test_without_a_place_nothing_is_kept(own: Kept) -> None:
    """Where the directory is not to be written to, or byte code is not wanted, none is made, and nothing is said."""
    own.file.unlink()
    own.env["PYTHONDONTWRITEBYTECODE"] = "1"
    own.again()
    assert not own.file.exists()
    del own.env["PYTHONDONTWRITEBYTECODE"]
    own.again()
    assert own.file.exists()


def test_what_was_not_finished_is_removed(own: Kept) -> None:
    """Whoever left it had a number that is somebody's: the next one to have it makes the file, and says so to none."""
    own.file.unlink()
    words = ["sh", "-c", f'touch {own.file}.$$ {own.file}.99999999; exec "$@"', "sh", str(own.command), *RUN, "true"]
    subprocess.run(words, env=own.env, cwd="/", check=True)
    assert list(own.file.parent.glob("kept_start*")) == [own.file]
    assert own.file.stat().st_mode & 0o777 == 0o700


def test_byte_code_is_not_written_where_it_is_not_wanted(own: Kept) -> None:
    """Of what a start out of the file imports besides, as of what one of Python's own does."""
    for path in own.file.parent.glob("about.*"):
        path.unlink()
    own.files[0].unlink(missing_ok=True)
    own.env["PYTHONDONTWRITEBYTECODE"] = "1"
    own("version")
    assert not [*own.file.parent.glob("about.*"), *own.file.parent.glob("combined.*")]


def test_none_is_made_that_nobody_starts_from(own: Kept) -> None:
    """With PYTHONOPTIMIZE byte code has other names; the start script knows one."""
    own.file.unlink()
    own.env["PYTHONOPTIMIZE"] = "2"
    own.again()
    own.again()
    assert list(own.file.parent.glob("kept_start*")) == [own.file]
    assert own.runs_from() == "kept_start"


def test_two_at_once(own: Kept) -> None:
    """Starts that meet while there is none leave one file, and no process."""
    own.file.unlink()
    begun = [own.begin(*RUN, "echo", "said") for _ in range(3)]
    assert [(*each.communicate(timeout=180), each.returncode) for each in begun] == [("said\n", "", 0)] * 3
    assert list(own.file.parent.glob("kept_start*")) == [own.file]
    assert own.runs_from() == "kept_start"
