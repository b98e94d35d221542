"""A container in the foreground: what is inside, what is not, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.root import sandboxing
from tests.testbed.commands import SANDBOX, Sandbox

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--rootfs", "/")


@pytest.fixture(autouse=True)
def nothing_left_of_it(sandbox: Sandbox) -> Iterator[None]:
    """Compare what there is before and after each test."""
    before = sandboxing.cgroup_directories()
    mounts = sandboxing.mounts()
    yield
    sandbox.close()
    sandboxing.check_nothing_left(sandbox, before)
    assert [line for line in sandboxing.mounts() if line not in mounts and sandbox.root in line] == []


@pytest.fixture
def rootfs(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> str:
    """Make a root filesystem of a shell and a few programs."""
    directory = os.path.join(tmp_path, "rootfs")
    sandbox("rootfs", "copy", directory, "sh", "ls", "cat", "true")
    return directory


def output(sandbox: Sandbox, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a command in a container of this machine and return what it printed."""
    return sandbox(*RUN, *options, "--", *arguments).stdout.strip()


def test_exit_codes(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """The program's code comes out; 126 cannot be executed, 127 does not exist, 125 is the sandbox, 128+n a signal.

    B001, B003, B130.
    """
    script = os.path.join(tmp_path, "no-format")
    with open(script, "w", encoding="ascii") as file:
        file.write("no program")
    os.chmod(script, 0o755)  # noqa: S103  a program
    cases = {
        ("sh", "-c", "exit 72"): 72,
        ("/etc/passwd",): 126,
        ("/etc",): 126,
        (script,): 126,
        ("no-such-program",): 127,
        ("/no/such/program",): 127,
        ("no\x1b[31m\u202eprogram",): 127,
        ("sh", "-c", "kill -KILL $$"): 0,  # PID 1 cannot kill itself: the shell goes on to its end
        ("sh", "-c", "sh -c 'kill -TERM $$'; exit $?"): 143,
    }
    got = {command: sandbox(*RUN, "-v", f"{tmp_path}:{tmp_path}", "--", *command, check=False) for command in cases}
    assert {command: done.returncode for command, done in got.items()} == cases
    for command in (command for command, code in cases.items() if code in (126, 127)):
        (line,) = got[command].stderr.splitlines()
        assert line.startswith("sandbox: exec: ")
        assert line.isprintable()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--cpu-quota", "999", "--", "true"), 125, "can not be less than 1ms"),
        (("--cpu-quota", "-2", "--", "true"), 125, "can not be less than 1ms"),
        (("--cpu-period", "999", "--", "true"), 125, "or larger than 1s"),
        (("--cpu-period", "1000001", "--", "true"), 125, "or larger than 1s"),
        (("--cpus", "0.5", "--cpu-period", "1000", "--", "true"), 125, "cannot both be set"),
        (("--cpus", "1000", "--", "true"), 125, "range of CPUs is from 0.01 to"),
        (("--memory", "5m", "--", "true"), 125, "Minimum memory limit allowed is 6MB"),
        (("--cap-add", "NOSUCH", "--", "true"), 125, "unknown capability"),
        (("--name", "/", "--", "true"), 125, "invalid container name"),
        (("-v", "/no/such/place:/mnt", "--", "true"), 125, "no such file or directory"),
        (("-v", "/etc:/proc/1", "--", "true"), 125, "the container's own"),
        (("-u", "no-such-user", "--", "true"), 125, "unable to find user no-such-user"),
        (("-w", "/etc/passwd", "--", "true"), 125, "cannot enter the working directory"),
        (("-it", "--", "true"), 1, "the input device is not a TTY"),
        (("--no-such-flag", "--", "true"), 125, "unrecognized arguments: --no-such-flag"),
        ((), 125, "no command"),
        (("--", ""), 127, 'exec: "": executable file not found in $PATH'),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    sandbox: Sandbox, arguments: tuple[str, ...], code: int, text: str
) -> None:
    """What cannot be is refused with Docker's exit code and one clear line; no container stays behind.

    B004, B006, B010.
    """
    done = sandbox("run", "--rootfs", "/", *arguments, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)
    assert text in done.stderr
    assert sandbox("ps", "-aq").stdout == ""


def test_rootfs_that_is_a_file(sandbox: Sandbox) -> None:
    """A root filesystem must be a directory."""
    done = sandbox("run", "--rootfs", "/etc/passwd", "true", check=False)
    assert (done.returncode, done.stderr) == (125, "sandbox: rootfs /etc/passwd: not a directory\n")


def test_first_process_is_another_outside(sandbox: Sandbox) -> None:
    """PID 1 inside is an ordinary PID outside, and both are listed in its status (B075)."""
    sandbox("run", "-d", "--name", "numbers", "--rootfs", "/", "sleep", "600")
    pid = sandbox.pid("numbers")
    assert sandboxing.status(pid, "NSpid").split() == [str(pid), "1"]
    assert sandbox("exec", "numbers", "readlink", "/proc/1/exe").stdout.strip().endswith("/sleep")


def test_namespaces_are_its_own(sandbox: Sandbox) -> None:
    """Every namespace differs from this machine's, unless it is asked to share it."""
    sandbox("run", "-d", "--name", "own", "--rootfs", "/", "sleep", "600")
    sandbox("run", "-d", "--name", "shares", "--pid", "host", "--net", "host", "--rootfs", "/", "sleep", "600")
    ours = sandboxing.namespaces("self")
    own, shares = (sandboxing.namespaces(sandbox.pid(name)) for name in ("own", "shares"))
    assert {kind for kind in ours if own[kind] == ours[kind]} == set()
    assert {kind for kind in ours if shares[kind] == ours[kind]} == {"pid", "net"}


def test_loopback_is_up_and_alone(sandbox: Sandbox) -> None:
    """A container's network is a loopback that works, and nothing else."""
    connect = "s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    program = f"import socket; {connect}; print('ok')"
    assert output(sandbox, "python3", "-c", program) == "ok"
    assert output(sandbox, "ls", "/sys/class/net") == "lo"


def test_no_mount_of_the_host_is_reachable(sandbox: Sandbox) -> None:
    """With `/` as root filesystem only its plain files show: each mount inside is the container's own."""
    allowed = {"/", "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys", "/etc/hosts"}  # noqa: S108
    allowed |= {"/etc/hostname", sandbox.root}
    inside = {line.split()[4] for line in output(sandbox, "cat", "/proc/self/mountinfo").splitlines()}
    assert {path for path in inside - allowed if not path.startswith(("/sys/", "/proc/"))} == set()
    assert output(sandbox, "ls", "-A", sandbox.root) == ""


def test_a_root_that_is_gone_afterwards_is_not_synced(sandbox: Sandbox) -> None:
    """With --rm nobody waits for a disk at the end; what may be mounted again has no such layer, which could not."""
    words = ("--net", "none", "--rootfs", "/", "cat", "/proc/mounts")
    assert "volatile" in sandbox("run", "--rm", *words).stdout.splitlines()[0]
    for options in ((), ("--rm",)):
        container = sandbox("create", *options, *words).stdout.strip()
        assert "volatile" not in sandbox("start", "-a", container).stdout.splitlines()[0]


def test_what_only_the_mount_has_needed_goes_at_the_start(sandbox: Sandbox) -> None:
    """With --rm what nobody mounts again is removed while the program starts; it can write and remove as ever."""
    words = ("--net", "none", "--rootfs", "/", "sh", "-c", "read line; rm /etc/passwd; echo it >/made; cat /made")

    def directories() -> set[str]:
        top = f"{sandbox.root}/containers"
        found = [os.path.relpath(os.path.join(place, name), top) for place, names, _ in os.walk(top) for name in names]
        return {path.partition("/")[2] for path in found} - {""}

    with subprocess.Popen(
        [*SANDBOX, "run", "--rm", "-i", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=sandbox.env
    ) as launcher:
        assert sandboxing.wait_for(lambda: directories() == {"upper", "work", "work/work"}), directories()
        told, _ = launcher.communicate(b"\n")
    assert (launcher.returncode, told) == (0, b"it\n")


def test_a_socket_of_the_host_cannot_be_reached(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """The file of a Unix socket shows through the overlay, and nobody answers behind it."""
    path = os.path.join(tmp_path, "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        program = f"import socket; print(socket.socket(socket.AF_UNIX).connect_ex({path!r}) != 0)"
        assert output(sandbox, "python3", "-c", program) == "True"


def test_nothing_propagates_out(sandbox: Sandbox) -> None:
    """A filesystem mounted inside, at the start or by the program, is seen inside only; so is a file written (B080)."""
    before = sandboxing.mounts()
    script = "mount -t tmpfs inner /mnt && touch /mnt/x /etc/z && grep -cE ' /(mnt|srv) tmpfs ' /proc/mounts; sleep 60"
    options = ("--cap-add", "SYS_ADMIN", "--tmpfs", "/srv")
    sandbox("run", "-d", "--name", "mounts", "--rootfs", "/", *options, "sh", "-c", script)
    assert sandboxing.wait_for(lambda: sandbox("logs", "mounts").stdout == "2\n")
    assert [line for line in set(sandboxing.mounts()) - set(before) if "inner" in line or " /srv " in line] == []
    assert not any(os.path.exists(path) for path in ("/etc/z", "/mnt/x"))


def test_capabilities(sandbox: Sandbox) -> None:
    """The sets are Docker's, exactly; inheritable and ambient are empty; flags add and drop; other users have none.

    B024, B025.

    T30.
    """

    def sets(*options: str) -> list[int]:
        lines = output(sandbox, "grep", "Cap", "/proc/self/status", options=options).splitlines()
        return [int(line.split()[1], 16) for line in lines]

    docker = 0xA80425FB
    assert sets() == [0, docker, docker, docker, 0]
    assert sets("--cap-drop", "ALL") == [0, 0, 0, 0, 0]
    assert sets("--cap-drop", "all", "--cap-add", "cap_mknod") == [0, 1 << 27, 1 << 27, 1 << 27, 0]
    assert sets("--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN")[1] == (docker | 1 << 21) & ~1
    assert sets("-u", "nobody") == [0, 0, 0, docker, 0]
    own = int(sandboxing.status("self", "CapBnd"), 16)
    assert sets("--privileged") == [0, own, own, own, 0]


def test_descriptors_inside_are_the_standard_ones(sandbox: Sandbox) -> None:
    """A descriptor that the launcher inherited does not reach the program."""
    reading, writing = os.pipe()
    try:
        for options, init in (((), 1), (("--init",), 2)):
            script = f"ls /proc/{init}/fd; ls /proc/1/fd"
            done = subprocess.run(
                [*SANDBOX, *RUN, *options, "--", "sh", "-c", script],
                pass_fds=(reading, writing),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=sandbox.env,
                check=True,
            )
            assert set(done.stdout.split()) <= {b"0", b"1", b"2"}
    finally:
        os.close(reading)
        os.close(writing)


def test_standard_streams_that_are_closed(sandbox: Sandbox) -> None:
    """A launcher without standard streams gives the program null devices, never a file of its own."""
    script = 'exec 0<&- 2>&-; exec "$@"'
    command = ["sh", "-c", script, "sh", *SANDBOX, *RUN, "--", "sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2"]
    done = subprocess.run(command, capture_output=True, text=True, env=sandbox.env, check=True)
    assert done.stdout.split() == ["/dev/null", "/dev/null"]


def test_standard_input_only_when_asked(sandbox: Sandbox) -> None:
    """With -i the program reads our input, without it nothing."""
    assert sandbox(*RUN, "-i", "--", "cat", text="hello").stdout == "hello"
    assert sandbox(*RUN, "--", "cat", text="hello").stdout == ""


def test_signals_are_passed_on(sandbox: Sandbox) -> None:
    """A signal to `sandbox run` reaches the program; one it has no handler for is its own business (B106)."""
    program = "trap 'echo usr1' USR1; trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([*SANDBOX, *RUN, "--", "sh", "-c", program], stdout=subprocess.PIPE, env=sandbox.env) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGUSR1)
        assert run.stdout.readline() == b"usr1\n"
        run.send_signal(signal.SIGTERM)
        assert run.stdout.readline() == b"term\n"
        assert run.wait(120) == 7


def test_a_program_that_ignores_term_is_killed_at_the_third(sandbox: Sandbox) -> None:
    """Whoever asks three times gets rid of a PID 1 without handlers."""
    command = [*SANDBOX, *RUN, "--", "sh", "-c", "echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=sandbox.env) as run:
        assert run.stdout is not None
        run.stdout.readline()
        for _ in range(3):
            assert run.poll() is None
            run.send_signal(signal.SIGTERM)
            # Two that come before the first is taken are one.
            assert sandboxing.wait_for(lambda: not int(sandboxing.status(run.pid, "ShdPnd"), 16))
        assert run.wait(120) == 137


def test_default_signal_dispositions(sandbox: Sandbox) -> None:
    """The program starts with every signal at its default and none blocked, whatever Python or our caller did (T8)."""
    lines = output(sandbox, "grep", "Sig", "/proc/self/status").splitlines()
    found = {line.split()[0]: int(line.split()[1], 16) for line in lines if not line.startswith("SigQ")}
    assert (found["SigBlk:"], found["SigIgn:"]) == (0, 0)


def test_init_reaps_and_passes_the_code(sandbox: Sandbox) -> None:
    """With --init the program is not PID 1, orphans are reaped, and its exit code is the container's (B107)."""
    # The orphan's entry is there for as long as nobody has collected it.
    script = "echo $$; (sleep 0.1 & echo $! > /orphan); while [ -e /proc/$(cat /orphan) ]; do sleep 0.05; done; exit 9"
    done = sandbox(*RUN, "--init", "--", "sh", "-c", script, check=False)
    assert (done.stdout, done.returncode) == ("2\n", 9)
    assert sandbox(*RUN, "--init", "--", "sh", "-c", "kill -KILL $$", check=False).returncode == 137


def test_init_tells_nothing_of_its_launcher(sandbox: Sandbox) -> None:
    """What `ps` inside shows of --init's PID 1 is its name: the command line has paths of the host and variables."""
    words = ("--init", "-e", "SECRET=word", "--", "sh", "-c", "tr '\\0' '\n' < /proc/1/cmdline; cat /proc/1/comm")
    assert sandbox(*RUN, *words).stdout.split() == ["sandbox-init", "sandbox-init"]


def test_environment_user_and_directory(sandbox: Sandbox) -> None:
    """The environment is Docker's defaults and -e; -u and -w are the container's user and directory.

    B022, B023, B073, B074.
    """
    options = ("-e", "A=b=c", "-e", "NO_SUCH_VARIABLE", "-u", "daemon", "-w", "/made/here", "--hostname", "h1")
    lines = output(sandbox, "sh", "-c", "id -u; id -g; pwd; hostname; env", options=options).splitlines()
    assert lines[:4] == ["1", "1", "/made/here", "h1"]
    environment = dict(line.split("=", 1) for line in lines[4:])
    assert environment == {
        "A": "b=c",
        "HOME": "/usr/sbin",
        "HOSTNAME": "h1",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD": "/made/here",
    }


def test_default_hostname_is_the_short_id(sandbox: Sandbox) -> None:
    """Without --hostname a container is called by the first twelve digits of its id (B074)."""
    container = sandbox("run", "-d", "--rootfs", "/", "sleep", "600").stdout.strip()
    assert sandbox("exec", container, "hostname").stdout.strip() == container[:12]


def test_volumes(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """A directory or file of the host is bound, writable or not; a mount is made before one below it (B051, B055)."""
    directory = os.path.join(tmp_path, "d")
    os.mkdir(directory)
    with open(os.path.join(tmp_path, "f"), "w", encoding="ascii") as file:
        file.write("file")
    options = ("-v", f"{tmp_path}/f:/v/x/file:ro", "-v", f"{directory}:/v", "--tmpfs", "/v/t:size=1m")
    script = "cat /v/x/file; echo written > /v/y; echo no > /v/x/file; df -k /v/t | tail -1 | cut -d' ' -f1"
    done = sandbox(*RUN, *options, "--", "sh", "-c", script)
    assert done.stdout == "filetmpfs\n"
    assert "Read-only file system" in done.stderr
    with open(os.path.join(directory, "y"), encoding="ascii") as file:
        assert file.read() == "written\n"


def test_read_only_root(sandbox: Sandbox) -> None:
    """With --read-only nothing of the root filesystem can be written, a tmpfs can (B059)."""
    done = sandbox(*RUN, "--read-only", "--tmpfs", "/srv", "--", "sh", "-c", "touch /srv/x && touch /x", check=False)
    assert (done.returncode, "Read-only file system" in done.stderr) == (1, True)


def test_kernel_files_are_guarded(sandbox: Sandbox) -> None:
    """What /proc and /sys tell or control of the whole machine is hidden or cannot be written (B028)."""
    script = """
    for file in /proc/sys/kernel/domainname /sys/kernel/profiling /proc/bus/new /sys/fs/cgroup/x /sys/fs/cgroup/*/x; do
        echo 1 2>/dev/null > $file && echo "wrote $file"
    done
    for file in /proc/kcore /proc/keys /proc/timer_list; do
        [ "$(head -c 1 $file 2>/dev/null | wc -c)" = 0 ] || echo "read $file"
    done
    ls -A /sys/firmware 2>/dev/null
    """
    assert output(sandbox, "sh", "-c", script) == ""


@pytest.mark.vm
def test_devices_of_the_host_cannot_be_opened(sandbox: Sandbox) -> None:
    """A node can be made, as Docker lets it, and a disk or the kernel's memory not be read through it (B044)."""
    script = "mknod /dev/d b 254 0 && mknod /dev/mem c 1 1 && cat /dev/d; cat /dev/mem; head -c 1 /dev/zero | wc -c"
    done = sandbox(*RUN, "--", "sh", "-c", script)
    assert done.stdout.strip() == "1"
    assert done.stderr.count("Operation not permitted") == 2


def test_a_copied_root_filesystem(sandbox: Sandbox, rootfs: str) -> None:
    """`rootfs copy` makes a directory in which programs run; it is not written to."""
    before = sorted(os.listdir(rootfs))
    script = "cat /proc/1/comm; echo x > /new; ls /new /dev/null"
    done = sandbox("run", "--rm", "--rootfs", rootfs, "sh", "-c", script)
    assert done.stdout.split() == ["sh", "/dev/null", "/new"]
    assert sorted(os.listdir(rootfs)) == before


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_hostile_links_are_refused(sandbox: Sandbox, rootfs: str, name: str) -> None:
    """A root filesystem whose /proc, /dev or /sys is a link starts nothing and changes nothing behind the link.

    T19.
    """
    os.rmdir(os.path.join(rootfs, name))
    os.symlink("/etc", os.path.join(rootfs, name))
    done = sandbox("run", "--rootfs", rootfs, "true", check=False)
    assert (done.returncode, f"/{name} is a symbolic link" in done.stderr) == (125, True)
    assert sandbox("ps", "-aq").stdout == ""


def test_a_program_that_is_our_own_executable_is_refused(sandbox: Sandbox, rootfs: str) -> None:
    """Neither a link to /proc/self/exe nor a script with it as interpreter starts this machine's Python inside.

    B042.
    """
    os.symlink("/proc/self/exe", os.path.join(rootfs, "bin", "link"))
    with open(os.path.join(rootfs, "bin", "script"), "w", encoding="ascii") as file:
        file.write("#!/proc/self/exe\n")
    os.chmod(os.path.join(rootfs, "bin", "script"), 0o755)  # noqa: S103  a program
    for name in ("link", "script"):
        done = sandbox("run", "--rm", "--rootfs", rootfs, f"/bin/{name}", check=False)
        assert (done.returncode, "leads to /proc/self/exe" in done.stderr) == (126, True)


def test_links_of_a_volume_target_stay_inside(sandbox: Sandbox, rootfs: str, tmp_path: os.PathLike[str]) -> None:
    """A link in the root filesystem leads inside it, not on this machine; into /proc it may not lead at all."""
    os.symlink(f"{tmp_path}", os.path.join(rootfs, "out"))
    os.symlink("/proc/sys", os.path.join(rootfs, "forged"))
    volume = os.path.join(tmp_path, "volume")
    os.mkdir(volume)
    run = ("run", "--rm", "--rootfs", rootfs)
    done = sandbox(*run, "-v", f"{volume}:/out/new", "true", check=False)
    assert (done.returncode, os.path.exists(os.path.join(tmp_path, "new"))) == (125, False)
    done = sandbox(*run, "-v", f"{volume}:/forged/kernel", "true", check=False)
    assert (done.returncode, "leads to /proc/sys/kernel" in done.stderr) == (125, True)


def test_dry_run_does_nothing(sandbox: Sandbox) -> None:
    """--dry-run prints the plan, its limits last, and makes no container."""
    done = sandbox("run", "--rootfs", "/", "--cpu-quota", "20000", "--dry-run", "true")
    lines = done.stdout.splitlines()
    assert lines[-1] == "exec   'true'"
    assert "pivot_root" in lines
    assert any("20000" in line for line in lines[lines.index("pivot_root") :])
    assert not os.path.exists(os.path.join(sandbox.root, "containers"))


def test_names_are_unique(sandbox: Sandbox) -> None:
    """A name that a container has is refused to another, and free again when that one is removed (B010)."""
    sandbox("run", "--name", "taken", "--rootfs", "/", "true")
    done = sandbox("run", "--name", "taken", "--rootfs", "/", "true", check=False)
    assert (done.returncode, "already in use" in done.stderr) == (125, True)
    sandbox("rm", "taken")
    sandbox("run", "--rm", "--name", "taken", "--rootfs", "/", "true")


@pytest.mark.parametrize(
    ("around", "words", "line"),
    [
        (["unshare", "-m", "sh", "-c", 'mount -t tmpfs t /dev; exec "$@" <&-', "sh"], ("ps",), "/dev/null: No such"),
        (["unshare", "-m", "sh", "-c", 'mount -t tmpfs t /dev; exec "$@" <&- >&-', "sh"], ("ps",), "/dev/null: No"),
        (["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh"], ("run", "--rootfs", "x", "true"), "the current directory: No"),
        (["setpriv", "--reuid", "4242", "--clear-groups", "prlimit", "--nproc=1:1"],
         ("run", "--net", "none", "--rootfs", "/", "true"), "no more processes can be made"),
    ],
)  # fmt: skip
def test_what_is_missing_around_us_is_named(
    tmp_path: os.PathLike[str], around: list[str], words: tuple[str, ...], line: str
) -> None:
    """Without /dev/null, a current directory or one more process there is one line that says so, and 125 of `run`."""
    state, gone = (os.path.join(tmp_path, name) for name in ("state", "gone"))
    for path in (state, gone):
        os.mkdir(path)
        os.chown(path, 4242, 4242)
    os.chmod(tmp_path, 0o755)  # noqa: S103  the other user's way to it
    env = {**os.environ, "CGSCOPE_ROOT": state}
    done = subprocess.run([*around, *SANDBOX, *words], env=env, cwd=gone, capture_output=True, text=True, check=False)
    said = [text for text in done.stderr.splitlines() if text.startswith("sandbox")]  # and the shell's own
    assert (len(said), line in said[0] if said else None) == (1, True), done.stderr
    assert done.returncode == (125 if words[0] == "run" else 1)
    assert "Traceback" not in done.stderr
