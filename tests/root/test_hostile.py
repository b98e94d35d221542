"""Names, command lines, cgroups, mounts and runtimes' files that somebody made to hurt, on the real kernel."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from inspector.kernel.cgroup_tree import MOST_BELOW
from tests.testbed import cgroups
from tests.testbed.cgroups import CpuGroup
from tests.testbed.commands import CTOP, EXPORTER, NSINSPECT, REPOSITORY, Sandbox, ctop_document, find, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import children, until
from tests.testbed.runtimes import SLEEP
from tests.testbed.tools import need

pytestmark = pytest.mark.root

# The kernel takes a newline in all of these but in the name of a cgroup.
EVIL = "\x1b[2J\x1b]0;x\x07 \udcff\udcfe\u202e\t\\ ) R 1 'a' \"b\" {c=\"d\"}"
COMM = b")\n\x1b[2J\xff R 1\\"
LONG = "x" * 200
# As the first process of new namespaces: a name, mounts below a tmpfs of its own, the last of them 5,000 bytes down.
MAIN = f"""
import os, signal
from sandbox.syscalls import mount
with open("/proc/self/comm", "wb") as file:
    file.write({COMM!r})
mount("none", "/tmp", "tmpfs")
for name in ({EVIL!r}, "new\\nline", "a (deleted)", "b//deleted", "-"):
    os.makedirs("/tmp/" + name)
    mount({EVIL!r}, "/tmp/" + name, "tmpfs")
os.mkdir("/tmp/gone")
mount("/tmp/gone", "/tmp/-", None, {0x1000})
os.rmdir("/tmp/gone")
os.chdir("/tmp")
for _ in range(25):
    os.mkdir({LONG!r})
    os.chdir({LONG!r})
mount("none", ".", "tmpfs")
print("there", flush=True)
signal.pause()
"""


@pytest.fixture
def evil() -> Iterator[int]:
    """Run it, in a cgroup whose name is as bad, beside a neighbour; give the PID of the first process."""
    need("unshare")
    argv = ["unshare", "-pmf", "--mount-proc", "--kill-child=KILL", sys.executable, "-c", MAIN, EVIL, "a\nb", LONG * 30]
    with CpuGroup(f"cgscope-{os.getpid()}{EVIL} (deleted)") as group, tempfile.TemporaryFile() as said:
        launcher = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=said, env={**os.environ, "PYTHONPATH": REPOSITORY}
        )
        group.workers.append(launcher)
        until(lambda: os.fstat(said.fileno()).st_size, "the mounts")
        main = _child(launcher.pid)
        for pid in (launcher.pid, main):
            cgroups.write(f"{group.directory}/cgroup.procs", str(pid))
        yield main


@pytest.fixture
def deep() -> Iterator[int]:
    """Give the first process of a container 25 cgroups down, each with a name of 200 bytes."""
    need("unshare")
    mountpoint, _ = cgroups.hierarchy("cpu")
    with contextlib.ExitStack() as stack:
        top = os.open(mountpoint, os.O_RDONLY)
        stack.callback(os.close, top)
        for name in (f"cgscope-{os.getpid()}", *[LONG] * 25):
            os.mkdir(name, dir_fd=top)
            stack.callback(os.rmdir, name, dir_fd=top)
            top = os.open(name, os.O_RDONLY, dir_fd=top)
            stack.callback(os.close, top)
        launcher = subprocess.Popen(["unshare", "-pmf", "--mount-proc", "--kill-child=KILL", *SLEEP])
        stack.callback(_end, launcher, top)
        main = _child(launcher.pid)
        for pid in (launcher.pid, main):
            descriptor = os.open("cgroup.procs", os.O_WRONLY, dir_fd=top)
            os.write(descriptor, str(pid).encode())
            os.close(descriptor)
        yield main


def _child(pid: int) -> int:
    """Return the child of a process, once it has one."""
    until(lambda: children(pid), "a child")
    return children(pid)[0]


def _end(process: subprocess.Popen[bytes], group: int) -> None:
    """Kill a process, and wait until its cgroup is empty."""
    process.kill()
    process.wait()

    def empty() -> bool:
        with open(os.open("cgroup.procs", os.O_RDONLY, dir_fd=group), encoding="ascii") as file:
            return not file.read().strip()

    until(empty, "the cgroup to be empty")


def output(*command: str) -> str:
    """Run a command, which must succeed without a word of complaint; return what it printed, which must be UTF-8."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


@pytest.mark.parametrize(
    "command",
    [
        [*CTOP, "--once", "-a", "-d", "0.2"],
        [*CTOP, "--once", "-a", "-d", "0.2", "-o", "name,id,image,limitby"],
        [*NSINSPECT, "PID"],
        [*NSINSPECT, "--namespaces"],
        [*EXPORTER, "--once"],
        [*NSINSPECT, "PID", "--json"],
    ],
    ids=lambda command: " ".join(command[2:]),
)
def test_nothing_reaches_the_terminal_raw(evil: int, command: list[str]) -> None:
    """Each command succeeds, and every line that it prints for a person is printable; JSON is JSON."""
    shown = output(*(word.replace("PID", str(evil)) for word in command))
    assert "exporter.cli" in command or all(line.isprintable() for line in shown.split("\n"))
    assert "\x1b" not in shown
    if "--json" in command:
        assert json.loads(shown)["pid"] == evil


def test_what_is_hostile_is_told_as_it_is(evil: int) -> None:
    """The document has the names as they are, but for bytes that no text can hold; none is taken for something else."""
    document = ctop_document("-a", "--processes", "-d", "0.2")
    assert [problem for problem in document["problems"] if "docker" not in problem] == []
    (one,) = (one for one in document["containers"] if one["pid"] == evil and one["kind"] == "container")
    assert one["pids"]["current"] == 2
    assert one["cgroups"]["cpu"].endswith(" (deleted)")
    process = next(process for process in one["processes"] or () if process["pid"] == evil)
    assert process["comm"] == COMM.decode(errors="backslashreplace")
    assert process["ppid"] > 1
    assert EVIL.replace("\udcff\udcfe", r"\xff\xfe") in process["cmdline"]


def test_a_cgroup_called_deleted_is_not_its_neighbour() -> None:
    """The figures of "x (deleted)", which lives, are its own, not those of x."""
    name = f"cgscope-{os.getpid()}"
    with CpuGroup(name) as busy, CpuGroup(f"{name} (deleted)") as other:
        busy.burn()
        other.set_quota(30_000)
        other.burn()
        document = ctop_document("-a", "-d", "0.5")
    assert find(document, busy.path)["cpu"]["limit_cores"] != pytest.approx(0.3)
    assert find(document, other.path)["cpu"]["limit_cores"] == pytest.approx(0.3)


def test_cgroups_without_end(sandbox: Sandbox) -> None:
    """A container that makes more cgroups in its own than are looked at is there all the same, and it is said."""
    identifier = sandbox.start("endless", "--pids-limit", "77", "sleep", "1000")
    directory = cgroups.path_of(sandbox.pid("endless"), "pids")
    made = [f"{directory}/{number}" for number in range(MOST_BELOW + 50)]
    try:
        for path in made:
            os.mkdir(path)
        document = ctop_document("-a", "-d", "0.2")
    finally:
        for path in made:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(path)
    said = [problem for problem in document["problems"] if f"there are more than {MOST_BELOW} below it" in problem]
    assert [problem.split("'")[1] for problem in said] == [f"/cgscope/{identifier}"]
    one = find(document, "endless")
    assert (one["runtime"], one["members"], one["pids"]["limit"]) == ("sandbox", 1, 77)


def test_a_cgroup_too_deep_for_a_path(deep: int) -> None:
    """A process whose cgroup's path is longer than 4,096 bytes is still found by its namespaces."""
    document = ctop_document("-d", "0.2")
    (one,) = (one for one in document["containers"] if one["pid"] == deep)
    assert one["pids"]["current"] == 2
    assert output(*NSINSPECT, str(deep))


def test_where_proc_is_not_mounted() -> None:
    """Each command says in one line that there is no /proc, and what to do."""
    for command in (CTOP, [*NSINSPECT, "1"], [*NSINSPECT, "--namespaces"]):
        done = run(["unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh", *command], check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(": /proc is not mounted here, and all is read there: mount -t proc proc /proc\n")
        assert done.stderr.count("\n") == 1


def test_a_runtimes_files_that_are_something_else(docker: Docker) -> None:
    """In place of Docker's file a FIFO, a link to another file, a device, garbage: no name, no wait, nothing told."""
    secret = f"{docker.directory}/secret"
    with open(secret, "w", encoding="ascii") as file:
        json.dump({"Name": "/stolen", "Config": {"Image": "stolen"}}, file)
    with docker.running("cgscope-named", IMAGE, *SLEEP) as id_:
        place = f"{docker.directory}/data/containers/{id_}/config.v2.json"
        os.rename(place, f"{place}.aside")
        for kind in ("fifo", "link", "directory", "device", "huge", "nothing"):
            _put(kind, place, secret)
            one = find(ctop_document("-d", "0.2"), id_)
            assert (one["name"], one["image"]) == (id_[:12], "unknown"), kind
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(place) if kind == "directory" else os.unlink(place)
        os.rename(f"{place}.aside", place)
        assert find(ctop_document("-d", "0.2"), id_)["name"] == "cgscope-named"


def _put(kind: str, place: str, secret: str) -> None:
    """Put something at a place where a file should be."""
    match kind:
        case "fifo":
            os.mkfifo(place)
        case "link":
            os.symlink(secret, place)
        case "directory":
            os.mkdir(place)
        case "device":
            os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # as /dev/zero: without end
        case "huge":
            with open(place, "wb") as file:
                file.truncate(64 << 30)
