"""What a container may not do, asked from inside it: seccomp, no_new_privs, capabilities, guarded paths.

B024 and the like are the numbers of the behaviours of other runtimes' tests that these are taken from.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from typing import Any

import pytest

from tests.root import sandboxing
from tests.testbed.commands import REPOSITORY, SANDBOX, Completed, Sandbox, run
from tests.testbed.docker import IMAGE, Docker

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are x86_64's"),
]

PROBE = os.path.join(REPOSITORY, "tests/root/probe.py")
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or "python3"
PROFILE = os.path.join(REPOSITORY, "sandbox/seccomp/default.json")
BIND = ("-v", f"{PROBE}:/probe.py:ro")
# x86_64
MKDIR, CHMOD, SOCKET, CLONE3, GETPID = 83, 90, 41, 435, 39


def probe(sandbox: Sandbox, *arguments: str, options: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what probe.py says in a container."""
    done = sandbox("run", "--rm", *options, *BIND, "--rootfs", "/", PYTHON, "/probe.py", *arguments)
    return dict(json.loads(done.stdout))


def written(tmp_path: os.PathLike[str], **document: Any) -> str:  # noqa: ANN401  JSON
    """Write a profile and return its path."""
    path = os.path.join(tmp_path, "profile.json")
    with open(path, "w", encoding="ascii") as file:
        json.dump(document, file)
    return path


def forbidding(tmp_path: os.PathLike[str], *names: str) -> str:
    """Write a profile that allows all but these calls."""
    return written(
        tmp_path,
        defaultAction="SCMP_ACT_ALLOW",
        syscalls=[{"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    )


def state_of(sandbox: Sandbox, *options: str) -> dict[str, str]:
    """Return the lines of a program's own status that tell of its confinement."""
    command = ("grep", "-E", "^(Seccomp|NoNewPrivs|Cap)", "/proc/self/status")
    text = sandbox("run", "--rm", *options, "--rootfs", "/", *command).stdout
    return {key.rstrip(":"): value for key, value in (line.split() for line in text.splitlines())}


@pytest.mark.parametrize(
    ("options", "filters", "no_new_privs"),
    [
        ((), "1", "0"),
        (("-u", "daemon"), "1", "0"),
        (("--init",), "1", "0"),
        (("--cap-drop", "ALL"), "1", "0"),
        (("--security-opt", "no-new-privileges"), "1", "1"),
        (("--security-opt", "no-new-privileges", "-u", "daemon"), "1", "1"),
        (("--security-opt", "seccomp=unconfined"), "0", "0"),
        (("--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges=true"), "0", "1"),
        (("--privileged",), "0", "0"),
        (("--privileged", "--security-opt", "seccomp=builtin"), "1", "0"),
    ],
)
def test_what_a_program_has_on_it(sandbox: Sandbox, options: tuple[str, ...], filters: str, no_new_privs: str) -> None:
    """A filter unless it is turned off, no_new_privs when asked for; no right is left over from loading it (B024)."""
    found = state_of(sandbox, *options)
    mode = "2" if filters == "1" else "0"
    assert (found["Seccomp"], found["Seccomp_filters"], found["NoNewPrivs"]) == (mode, filters, no_new_privs)
    assert (int(found["CapInh"], 16), int(found["CapAmb"], 16)) == (0, 0)
    if "--privileged" not in options:
        bounding = 0 if "--cap-drop" in options else 0xA80425FB
        granted = 0 if "-u" in options else bounding
        assert [int(found[key], 16) for key in ("CapBnd", "CapPrm", "CapEff")] == [bounding, granted, granted]


def test_calls_under_the_default_profile(sandbox: Sandbox) -> None:
    """Namespaces are refused, clone3 and calls that nobody knows do not exist, threads start all the same (B032).

    B027.
    """
    wanted = {
        "272,0x10000000": "EPERM",  # unshare
        "56,0x10000011": "EPERM",  # clone with a user namespace
        f"{CLONE_3_EMPTY}": "ENOSYS",
        "999": "ENOSYS",
        "165,0,0,0,0,0": "EPERM",  # mount
        "250,0,-3,0": "EPERM",  # keyctl
        "425,1,0": "EPERM",  # io_uring_setup
        "323,0": "EPERM",  # userfaultfd
        f"{SOCKET},38,5,0": "EPERM",  # AF_ALG
        f"{SOCKET},40,1,0": "EPERM",  # AF_VSOCK
        f"{SOCKET},1,1,0": "ok",
        "135,0xffffffff": "ok",  # personality
        "135,4": "EPERM",
        f"{GETPID}": "ok",
    }
    assert probe(sandbox, "64", *wanted) == wanted
    wanted = {f"{GETPID}": "ENOSYS", "0": "ENOSYS", "400": "ENOSYS"}
    assert probe(sandbox, "x32", *wanted) == wanted
    wanted = {"20": "ok", "21": "EPERM", "435": "ENOSYS", "999": "ENOSYS", "359,38": "EPERM", "310,0x10000000": "EPERM"}
    assert probe(sandbox, "32", *wanted) == wanted
    done = sandbox("run", "--rm", "--rootfs", "/", "unshare", "-r", "id", check=False)
    assert "Operation not permitted" in done.stderr
    program = "import threading; t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()"
    assert sandbox("run", "--rm", "--rootfs", "/", PYTHON, "-c", program).stdout == "thread\n"


CLONE_3_EMPTY = f"{CLONE3},0,0"


def test_a_capability_opens_its_calls(sandbox: Sandbox) -> None:
    """With CAP_SYS_ADMIN the profile lets mount, unshare and clone3 through: what then fails is their arguments."""
    wanted = {"165,0,0,0,0,0": "EFAULT", "272,0x20000": "ok", CLONE_3_EMPTY: "EINVAL", "250,0,-3,0": "EPERM"}
    assert probe(sandbox, "64", *wanted, options=("--cap-add", "SYS_ADMIN")) == wanted
    wanted = {"435,0,0": "EINVAL", "999": "ENOSYS", "250,0,-3,0": "ok"}
    assert probe(sandbox, "64", *wanted, options=("--security-opt", "seccomp=unconfined")) == wanted


def test_dockers_answers(sandbox: Sandbox, docker: Docker) -> None:
    """Under one profile every call ends for a program of ours as it does for one of Docker's."""
    mounts = [option for path in ("/usr", "/lib", "/lib64") for option in ("-v", f"{os.path.realpath(path)}:{path}:ro")]
    run = ("run", "--rm", "--network", "none", "--security-opt", f"seccomp={PROFILE}", *mounts, *BIND, IMAGE)
    theirs = json.loads(docker(*run, PYTHON, "/probe.py", "all").stdout)
    lines = docker(*run, "cat", "/proc/self/status").stdout.splitlines()
    status = {key: value for key, _, value in (line.partition(":\t") for line in lines)}
    assert state_of(sandbox).items() <= status.items()
    ours = probe(sandbox, "all")
    newest_of_libseccomp = 450  # 2.5.4
    assert len(ours) > 480
    compared = [number for number in ours if int(number) <= newest_of_libseccomp]
    assert {number: ours[number] for number in compared} == {number: theirs[number] for number in compared}
    assert {ours[number] for number in ours if int(number) > 466} == {"ENOSYS"}
    calls = ("272,0x10000000", CLONE_3_EMPTY, "999", f"{SOCKET},38,5,0", f"{SOCKET},16,3,0", "135,8")
    assert json.loads(docker(*run, PYTHON, "/probe.py", "64", *calls).stdout) == probe(sandbox, "64", *calls)
    assert json.loads(docker(*run, PYTHON, "/probe.py", "32", "20", "21", "359,38").stdout) == probe(
        sandbox, "32", "20", "21", "359,38"
    )


def test_a_profile_of_ones_own_holds_for_all_programs(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """run, exec and a later start have the profile that was given, also with --privileged (B034); inspect shows it."""
    path = forbidding(tmp_path, "mkdir", "mkdirat")
    options = ("--privileged", "--security-opt", f"seccomp={path}")
    script = "mkdir /x 2>/dev/null; echo $?; exec sleep 1000"
    sandbox("run", "-d", "--name", "own", *options, "--rootfs", "/", "sh", "-c", script)
    os.unlink(path)
    assert sandboxing.wait_for(lambda: sandbox("logs", "own").stdout == "1\n")
    done = sandbox("exec", "own", "mkdir", "/y", check=False)
    assert (done.returncode, "Operation not permitted" in done.stderr) == (1, True)
    (option,) = sandbox.inspect("own")["HostConfig"]["SecurityOpt"]
    assert json.loads(option.removeprefix("seccomp="))["syscalls"][0]["names"] == ["mkdir", "mkdirat"]


def test_exec_and_enter_are_as_restricted(sandbox: Sandbox) -> None:
    """One more program has the filter and the no_new_privs of the container; enter --privileged has neither."""
    sandbox("run", "-d", "--name", "own", "--security-opt", "no-new-privileges", "--rootfs", "/", "sleep", "1000")
    command = ("grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status")
    assert sandbox("exec", "own", *command).stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    assert sandbox("exec", "-u", "daemon", "own", *command).stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    pid = str(sandbox.pid("own"))
    assert sandbox("enter", pid, *command).stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    entered = sandbox("enter", pid, "--privileged", *command)
    assert entered.stdout.split() == ["NoNewPrivs:", "0", "Seccomp:", "0"]


def test_the_reaper_of_init_is_filtered_too(sandbox: Sandbox) -> None:
    """--init's PID 1 stays in the container: it has the same filter, and no capability more (T24)."""
    script = "grep -E '^(Seccomp|CapBnd|CapEff):' /proc/1/status"
    lines = sandbox("run", "--rm", "--init", "--rootfs", "/", "sh", "-c", script).stdout.split()
    assert lines == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", "Seccomp:", "2"]


def test_profiles_that_forbid_the_start(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """What execve or capset is forbidden to does not start: one line, Docker's exit codes, nothing left."""
    path = forbidding(tmp_path, "execve")
    done = sandbox("run", "--security-opt", f"seccomp={path}", "--rootfs", "/", "true", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (126, 1)
    assert "operation not permitted" in done.stderr
    path = forbidding(tmp_path, "capset")
    options = ("--security-opt", f"seccomp={path}", "--rootfs", "/")
    done = sandbox("run", *options, "true", check=False)
    assert (done.returncode, len(done.stderr.splitlines()), "forbids capset" in done.stderr) == (125, 1, True)
    assert sandbox("ps", "-aq").stdout == ""
    sandbox("run", "--rm", "--security-opt", "no-new-privileges", *options, "true")


def test_bad_options_leave_nothing(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """Bad options and profiles are one line and exit code 125; an unknown call is passed over, as in Docker."""
    bad = written(tmp_path, defaultAction="SCMP_ACT_NONSENSE")
    options = ("seccomp=/no/such", f"seccomp={bad}", "seccomp=/etc/passwd", "nonsense", "apparmor=x", "label=type:x")
    for option in options:
        done = sandbox("run", "--security-opt", option, "--rootfs", "/", "true", check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (125, 1), option
    assert sandbox("ps", "-aq").stdout == ""
    path = forbidding(tmp_path, "no_such_call", "chmod")
    calls = {f"{CHMOD},0,0": "EPERM", f"{MKDIR},0,0": "EFAULT"}
    assert probe(sandbox, "64", *calls, options=("--security-opt", f"seccomp={path}")) == calls


def test_setuid_programs(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """A setuid program makes root of a user, unless no-new-privileges is set (B035) (T22)."""
    rootfs = os.path.join(tmp_path, "rootfs")
    sandbox("rootfs", "copy", rootfs, "id")
    program = next(os.path.join(below, "id") for below, _, names in os.walk(rootfs) if "id" in names)
    os.chmod(program, 0o4755)  # noqa: S103  what is tested
    run = ("run", "--rm", "-u", "1000:1000", "--rootfs", rootfs)
    assert sandbox(*run, "id", "-u").stdout == "0\n"
    assert sandbox(*run, "--security-opt", "no-new-privileges", "id", "-u").stdout == "1000\n"


def test_another_user_has_no_privilege(sandbox: Sandbox) -> None:
    """As a user nothing goes that a capability of the bounding set would allow; as root it goes (B036, B037)."""
    script = """
    import os
    def attempt(name, *arguments):
        try:
            getattr(os, name)(*arguments)
            print(name, "ok")
        except OSError as error:
            print(name, error.errno)
    attempt("chown", "/etc/hostname", 7, 7)
    attempt("open", "/etc/shadow", os.O_RDWR)
    attempt("chmod", "/etc/hostname", 0o777)
    attempt("mknod", "/dev/shm/node", 0o20600, 0x103)
    attempt("chroot", "/")
    attempt("kill", 1, 0) if os.getpid() != 1 else print("kill own")
    attempt("setgid", 0)
    attempt("setuid", 0)
    """
    program = "\n".join(line[4:] for line in script.splitlines())
    run = ("run", "--rm", "--rootfs", "/")
    names = ("chown", "open", "chmod", "mknod", "chroot", "kill", "setgid", "setuid")
    as_root = sandbox(*run, PYTHON, "-c", program).stdout.splitlines()
    assert as_root == [f"{name} {'own' if name == 'kill' else 'ok'}" for name in names]
    as_user = sandbox(*run, "-u", "1000", PYTHON, "-c", program).stdout.splitlines()
    expected = {"open": "13", "kill": "own"}
    assert as_user == [f"{name} {expected.get(name, '1')}" for name in names]


def test_unguarded_system_paths(sandbox: Sandbox) -> None:
    """With systempaths=unconfined nothing lies over /proc and /sys, and inspect says so; else all of it (B028)."""
    script = "cut -d' ' -f5 /proc/self/mountinfo; exec sleep 1000"
    options = {"guarded": (), "open": ("--security-opt", "systempaths=unconfined")}
    for name, option in options.items():
        sandbox("run", "-d", "--name", name, *option, "--rootfs", "/", "sh", "-c", script)
    points = {}
    for name in options:
        assert sandboxing.wait_for(lambda name=name: "/etc/hosts" in sandbox("logs", name).stdout)  # type: ignore[misc]
        points[name] = set(sandbox("logs", name).stdout.split())
    guards = {path for path in points["guarded"] - points["open"] if path.startswith(("/proc/", "/sys/"))}
    assert guards == points["guarded"] - points["open"]
    known = ("/proc/sys", "/proc/sysrq-trigger", "/proc/kcore", "/proc/keys", "/proc/timer_list")
    assert {path for path in known if os.path.exists(path)} <= guards
    shown = {name: sandbox.inspect(name)["HostConfig"] for name in options}
    assert "/proc/kcore" in shown["guarded"]["MaskedPaths"]
    assert (shown["open"]["MaskedPaths"], shown["open"]["ReadonlyPaths"]) == ([], [])
    assert shown["open"]["SecurityOpt"] == ["systempaths=unconfined"]
    assert shown["guarded"]["SecurityOpt"] is None


def test_dry_run_tells_of_it(sandbox: Sandbox) -> None:
    """--dry-run says whether there is a filter and how long it is."""
    run = ("run", "--dry-run", "--rootfs", "/")
    assert "seccomp unconfined" in sandbox(*run, "--privileged", "true").stdout.splitlines()
    lines = sandbox(*run, "--security-opt", "no-new-privileges", "true").stdout.splitlines()
    assert "no_new_privs" in lines
    assert any(line.startswith("seccomp ") and line.endswith(" instructions") for line in lines)


WITHOUT_SECCOMP = """
import os, sys
from sandbox.capabilities import ALL
from sandbox.seccomp.filters import filter_of, load
profile = '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["seccomp"], "action": "SCMP_ACT_ERRNO"}]}'
load(filter_of(profile, ALL, ""))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_where_no_filter_can_be_loaded(sandbox: Sandbox) -> None:
    """It is said in one line, with the way to go without, and nothing is left; without a filter it runs."""

    def under_a_kernel_without(*options: str) -> Completed:
        words = [*SANDBOX, "run", "--rm", *options, "--rootfs", "/", "true"]
        return run([sys.executable, "-c", WITHOUT_SECCOMP, *words], check=False, env=sandbox.env)

    done = under_a_kernel_without()
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)
    assert "this kernel cannot load a seccomp filter" in done.stderr
    assert "--security-opt seccomp=unconfined" in done.stderr
    assert sandbox("ps", "-aq").stdout == ""
    assert under_a_kernel_without("--security-opt", "seccomp=unconfined").returncode == 0


def test_users_serve_and_ping(sandbox: Sandbox) -> None:
    """Any user of a network of its own binds port 80 and opens a ping socket, as in Docker (B047)."""
    program = (
        "import socket; socket.create_server(('127.0.0.1', 80));"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); print('both')"
    )
    assert sandbox("run", "--rm", "-u", "1000", "--rootfs", "/", PYTHON, "-c", program).stdout == "both\n"
    options = ("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
    done = sandbox("run", "--rm", "-u", "1000", *options, "--rootfs", "/", PYTHON, "-c", program, check=False)
    assert (done.returncode, "PermissionError" in done.stderr) == (1, True)
