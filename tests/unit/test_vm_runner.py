"""The runner of the virtual machine believes nothing but what the guest says of itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.vm import run

# Stands for vng: prints what a guest would, and exits with a code of its own.
GUEST = "import sys; print(*sys.argv[2:], sep='\\n'); sys.exit(int(sys.argv[1]))"


def machine(code: int, *lines: str) -> list[str]:
    """Return a command that prints these lines and exits with that code."""
    return [sys.executable, "-c", GUEST, str(code), *lines]


def test_the_exit_code_is_pytests_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A failing test in the guest gives pytest's exit code, even where the virtual machine itself exits with 0."""
    result = run.boot(machine(0, "firmware", run.UP, "1 failed", run.DONE + "1", "powering off"))
    assert (result.up, result.code) == (True, 1)
    assert capsys.readouterr().out == "1 failed\n"


def test_passing_tests_pass_whatever_the_machine_exits_with() -> None:
    """The guest's word is enough: qemu's own exit code says nothing of the tests."""
    assert run.boot(machine(255, run.UP, "2 passed", run.DONE + "0\r")).code == 0


def test_a_guest_that_breaks_off_has_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    """A guest that came up and never reported an exit code is told from one that passed."""
    result = run.boot(machine(0, run.UP, "3 passed", run.DONE + "soon"))
    assert (result.up, result.code) == (True, None)
    assert "3 passed" in capsys.readouterr().out


def test_a_guest_that_never_came_up_shows_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Boot messages are shown when the boot failed, and only then."""
    result = run.boot(machine(1, "no such kernel"))
    assert (result.up, result.code) == (False, None)
    assert "no such kernel" in capsys.readouterr().err


def test_a_guest_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limit the machine and everything it started is killed, and there is no result."""
    monkeypatch.setattr(run, "TIMEOUT_SECONDS", 0.5)
    hangs = [sys.executable, "-c", "import time; print('cgscope-vm: up', flush=True); time.sleep(60)"]
    assert run.boot(hangs).code is None


def test_a_guest_that_stands_still_is_told_from_one_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of which nothing is heard is ended; each line gives it as long again."""
    monkeypatch.setattr(run, "SILENT_SECONDS", 2)
    program = "import sys, time; print('cgscope-vm: up', flush=True)\n"
    program += "for second in sys.argv[1:]: time.sleep(float(second)); print('.', flush=True)"
    slow, still = ([sys.executable, "-c", program, *seconds] for seconds in (["1"] * 3, ["1", "600"]))
    assert (run.boot(slow).stands_still, run.boot(still).stands_still) == (False, True)


def test_a_guest_that_stood_still_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and the second one's word is taken."""
    program = "import os, sys, time; print('cgscope-vm: up', flush=True)\n"
    program += "os.path.exists(sys.argv[1]) or (open(sys.argv[1], 'w').close(), time.sleep(600))\n"
    program += "print('cgscope-vm: pytest exited with 5', flush=True)"
    for name, value in (("PATH", os.environ["PATH"]), ("TMPDIR", str(tmp_path))):
        monkeypatch.setenv(name, value)  # which main() changes for its children
    for name, function in (("missing", list), ("newest_kernel", lambda: "/boot/vmlinuz"), ("pack", lambda _: None)):
        monkeypatch.setattr(run, name, function)
    monkeypatch.setattr(run, "command", lambda *_, **__: [sys.executable, "-c", program, str(tmp_path / "mark")])
    monkeypatch.setattr(run, "SILENT_SECONDS", 1)
    assert run.main([]) == 5


def test_a_guest_that_does_not_come_up_in_time_is_ended() -> None:
    """Where KVM boots nothing, not the time of all tests is waited before it is done without."""
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert not run.boot(silent, up_within=0.5).up


# Stands for vng and qemu: a process with a child of its own, both of which say who they are and stay.
STAYS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("cgscope-vm: up", flush=True)
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(600)
"""
RUNNER = """
import sys
from tests.vm import run
run.missing = lambda: []
run.newest_kernel = lambda: "/boot/vmlinuz-1-amd64"
run.pack = lambda archive: print(archive, flush=True)
run.command = lambda *_, **__: [sys.executable, "-c", sys.argv[1]]
sys.exit(run.main([]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_machine_too(number: signal.Signals) -> None:
    """Who ends the runner ends the machine and all its processes, and the packed archive's directory."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, STAYS], cwd=run.REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        archive = runner.stdout.readline().strip()
        pids = next(line for line in runner.stdout if line.startswith("pids")).split()[1:]
        runner.send_signal(number)
        runner.stdout.read()
    assert runner.returncode == (-number if number == signal.SIGINT else 128 + number)
    assert not os.path.exists(os.path.dirname(archive))
    deadline = time.monotonic() + 60
    while any(map(_runs, pids)):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    """Tell whether a process is there, and not a zombie that its parent has not noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][:1] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_newest_full_kernel_is_booted(tmp_path: Path) -> None:
    """Versions are compared as numbers, and the cloud flavour, which has no 9p, is left out."""
    for name in ("6.1.0-9-amd64", "6.1.0-56-amd64", "6.2.0-1-cloud-amd64"):
        (tmp_path / f"vmlinuz-{name}").touch()
    assert run.newest_kernel(str(tmp_path)) == os.path.join(tmp_path, "vmlinuz-6.1.0-56-amd64")
    assert run.newest_kernel(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_missing_machine_fails_only_in_ci(ci: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without qemu the tests in the virtual machine are skipped, with the reason; in CI that is a failure."""
    monkeypatch.setattr(run, "missing", lambda: ["qemu-system-x86_64"])
    monkeypatch.setenv("CI", ci)
    assert run.main([]) == code


def test_a_file_that_is_gone_is_left_out(tmp_path: Path) -> None:
    """Other tests write byte code meanwhile, under names that are gone a moment later."""
    (tmp_path / "stays").touch()
    with run.Archive.open(tmp_path / "archive", "w") as tar:
        for name in ("gone", "stays"):
            tar.add(tmp_path / name, name)
    with tarfile.open(tmp_path / "archive") as tar:
        assert tar.getnames() == ["stays"]
