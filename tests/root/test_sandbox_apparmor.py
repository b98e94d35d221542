"""A program is under the AppArmor profile that config.json or --security-opt names, or does not start.

The virtual machine's kernel has AppArmor; where this one has not, only that it is said.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.bundles import Runtime, create, wait_for_program
from tests.root.sandboxing import wait_for
from tests.testbed.commands import Sandbox
from tests.testbed.runtimes import make_root
from tests.testbed.tools import need

pytestmark = [pytest.mark.root, pytest.mark.vm]

NAME = f"cgscope-test-{os.getpid()}"
# As the engines' own: every file may be read and executed, and what is not reached from the root is as if at it.
PROFILE = """\
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  network,
  mount,
  umount,
  signal,
  deny /secret r,
}}
"""
# The interface to load profiles is mounted for that alone.
LOAD = 'mountpoint -q /sys/kernel/security || mount -t securityfs securityfs /sys/kernel/security; exec "$@"'


def is_enabled() -> bool:
    """Tell whether this kernel has AppArmor."""
    path = Path("/sys/module/apparmor/parameters/enabled")
    return path.exists() and path.read_text() == "Y\n"


def parser(*options: str, profile: str = PROFILE) -> None:
    """Load or remove the profile."""
    need("apparmor_parser")
    words = ["unshare", "-m", "sh", "-c", LOAD, "sh", "apparmor_parser", "-K", *options]
    subprocess.run(words, input=profile.format(name=NAME), text=True, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def profile() -> Iterator[str]:
    """Give a profile that is loaded."""
    if not is_enabled():
        pytest.skip("this kernel runs without AppArmor")
    parser("-r")
    try:
        yield NAME
    finally:
        parser("-R")


def test_a_profile(runtime: Runtime, profile: str) -> None:
    """The first program and those of exec are under it: what it denies to everybody is denied to root."""
    runtime.set("process", "apparmorProfile", value=profile)
    runtime.set("process", "noNewPrivileges", value=True)
    (runtime.bundle / "rootfs/secret").write_text("x")
    create(runtime, "confined")
    runtime("start", "confined")
    pid = runtime.state("confined")["pid"]
    wait_for_program(pid, b"sleep")
    assert Path(f"/proc/{pid}/attr/current").read_text() == f"{profile} (enforce)\n"
    done = runtime("exec", "confined", "sh", "-c", "cat /proc/self/attr/current; cat /secret; echo $?", check=False)
    assert done.stdout.splitlines() == [f"{profile} (enforce)", "1"]
    assert "Permission denied" in done.stderr


def test_a_profile_that_is_not_loaded(runtime: Runtime) -> None:
    """Nothing starts without the profile it is to have: one line, and nothing is left."""
    runtime.set("process", "apparmorProfile", value="no-such-profile")
    done = runtime("create", "--bundle", str(runtime.bundle), "lost", check=False)
    why = "'no-such-profile' is not loaded" if is_enabled() else "this kernel runs without AppArmor"
    assert (done.returncode > 0, why in done.stderr, done.stderr.count("\n")) == (True, True, 1), done.stderr
    assert os.listdir(runtime.directory / "root") == []


def test_run_and_exec(sandbox: Sandbox, tmp_path: Path, profile: str) -> None:
    """`sandbox run --security-opt apparmor=NAME`: so is what `exec` brings, and `inspect` tells it."""
    options = ("--net", "none", "--security-opt", f"apparmor={profile}", "--rootfs", make_root(str(tmp_path / "root")))
    told = sandbox("run", "--rm", *options, "cat", "/proc/self/attr/current").stdout
    assert told == f"{profile} (enforce)\n"
    name = sandbox("run", "-d", *options, "sleep", "1000").stdout.strip()
    assert sandbox("exec", name, "cat", "/proc/self/attr/current").stdout == told
    assert sandbox.inspect(name)["AppArmorProfile"] == profile


@pytest.mark.parametrize("user", ["0", "1000"])
def test_the_init_of_ours(sandbox: Sandbox, tmp_path: Path, profile: str, user: str) -> None:
    """With `--init` PID 1 is under the profile as well, whoever it is, and passes signals and the exit code on."""
    options = ("--net", "none", "--security-opt", f"apparmor={profile}", "--rootfs", make_root(str(tmp_path / "root")))
    script = "trap 'exit 7' TERM; cat /proc/1/attr/current /proc/self/attr/current; while :; do sleep 0.1; done"
    words = ("--init", "--user", user, *options, "sh", "-c", script)
    name = sandbox("run", "-d", *words).stdout.strip()
    assert wait_for(lambda: sandbox("logs", name).stdout == f"{profile} (enforce)\n" * 2)
    sandbox("kill", "-s", "TERM", name)
    assert sandbox("wait", name).stdout == "7\n"


def test_run_with_a_profile_that_is_not_loaded(sandbox: Sandbox, tmp_path: Path) -> None:
    """It is refused in one line, and nothing is left."""
    root = make_root(str(tmp_path / "root"))
    options = ("--net", "none", "--security-opt", "apparmor=no-such-profile", "--rootfs", root)
    done = sandbox("run", *options, "true", check=False)
    why = "'no-such-profile' is not loaded" if is_enabled() else "this kernel runs without AppArmor"
    assert (done.returncode, why in done.stderr, done.stderr.count("\n")) == (125, True, 1), done.stderr
    assert sandbox("ps", "-aq").stdout == ""


def test_a_proc_that_is_none(runtime: Runtime, profile: str) -> None:
    """A file in the place of the kernel's does not pass for it (CVE-2019-16884)."""
    runtime.set("process", "apparmorProfile", value=profile)
    fake = runtime.bundle / "rootfs/proc/self/attr/apparmor"
    fake.mkdir(parents=True)
    (fake / "exec").write_text("")
    (fake.parent / "exec").write_text("")
    runtime.config["mounts"] = [one for one in runtime.config["mounts"] if one["destination"] != "/proc"]
    for key in ("maskedPaths", "readonlyPaths"):
        runtime.set("linux", key, value=[])
    done = runtime("create", "--bundle", str(runtime.bundle), "fooled", check=False)
    assert (done.returncode > 0, done.stderr.count("\n")) == (True, 1), done.stderr
    assert "no proc filesystem is mounted at /proc" in done.stderr
    assert (fake / "exec").read_text() == ""
