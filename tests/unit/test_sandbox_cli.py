"""The ends of the `sandbox` command itself: what it printed is out before its process ends at once."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from sandbox import cli
from tests.testbed.commands import REPOSITORY, SANDBOX, run

SHELL = ["sh", "-c", 'exec "$@" >"$0"']


def test_all_of_a_long_text_arrives() -> None:
    """What is still in Python's buffer when a verb ends is written."""
    done = subprocess.run([*SANDBOX, "--help"], stdout=subprocess.PIPE, check=True, cwd=REPOSITORY, text=True)
    assert done.stdout.endswith("without root in $XDG_DATA_HOME/cgscope.\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["ps", "--help"], ["run", "--help"], ["--version"]])
def test_a_full_standard_output_is_one_line_and_an_error(words: list[str], unbuffered: str) -> None:
    """On a full disk the text is lost: one line says what could not be written, and the exit code that it was not."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = run([*SHELL, "/dev/full", *SANDBOX, *words], check=False, env=environment)
    assert (done.returncode, done.stderr) == (1, "sandbox: standard output: No space left on device\n")


@pytest.mark.parametrize("words", [["--help"], ["ps", "--help"], ["info"], ["--version"], ["oci", "--help"]])
def test_a_reader_that_has_gone_is_told_nothing(words: list[str], tmp_path: Path) -> None:
    """`sandbox info | head -1`: we end as by SIGPIPE, as Docker's client does, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [*SANDBOX, "--root", str(tmp_path), *words]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, cwd=REPOSITORY, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


MANY = "9" * 5000  # digits, of which Python makes no number
NUMBERS = (
    ["run", "--dry-run", "--ulimit", f"nofile={MANY}"], ["run", "--dry-run", "--device-read-iops", f"/dev/null:{MANY}"],
    ["run", "--dry-run", "--log-opt", f"max-size={MANY}"], ["run", "--dry-run", "--log-opt", f"max-file={MANY}"],
    ["run", "--dry-run", "--restart", f"on-failure:{MANY}"], ["run", "--dry-run", "--health-interval", f"{MANY}s"],
    ["run", "--dry-run", "--stop-signal", MANY], ["run", "--dry-run", "--stop-signal", f"RTMIN+{MANY}"],
    ["logs", "--tail", MANY], ["kill", "--signal", MANY], ["network", "create", "--subnet", f"10.0.0.0/{MANY}"],
    ["network", "create", "--opt", f"mtu={MANY}"],
)  # fmt: skip


@pytest.mark.parametrize("words", NUMBERS, ids=lambda words: " ".join(words)[:40])
def test_a_number_that_is_too_long_is_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of so many digits Python makes no number: that is a wrong value like any other."""
    last = ["--rootfs", "/", "true"] if words[0] == "run" else ["nowhere"]
    code = cli.main(["--root", str(tmp_path), *words, *last])
    assert (code in (1, 125), capsys.readouterr().err.count("\n")) == (True, 1)
    assert not any(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_traceback(closed: str) -> None:
    """Whoever closes its streams is told nothing, and the exit code is the same."""
    done = run(["sh", "-c", f'"$@" {closed}', "sh", *SANDBOX, "--help"], check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_input_has_nothing() -> None:
    """What is asked there has no answer; that is no traceback."""
    done = run(["sh", "-c", '"$@" <&-', "sh", *SANDBOX, "oci", "update", "-r", "-", "nowhere"], check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


@pytest.mark.parametrize("words", [["run", "--rootfs", "{}", "true"], ["inspect", "{}"], ["run", "{}"], ["rm", "{}"]])
def test_what_a_terminal_would_obey_is_escaped(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A complaint shows control characters of what was given, and of anybody's names, as text."""
    hostile = "a\x1b[31m\u202eb\udcff"
    cli.main(["--root", str(tmp_path), *(word.format(hostile) for word in words)])
    said = capsys.readouterr().err
    assert (said.rstrip("\n").isprintable(), "\\x1b[31m\\u202eb" in said) == (True, True), said


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ps"], 1), (["exec", "one", "run"], 1), (["rm", "-f", "one"], 1), (["volume", "rm", "one"], 1),
        (["run", "--rootfs", "/", "true"], 125), (["container", "run", "--rootfs", "/", "true"], 125),
        (["container", "inspect", "run"], 1),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses(tmp_path: Path, words: list[str], code: int) -> None:
    """A state directory that is none is told with Docker's exit code for its daemon's failures: 125 of `run` alone."""
    (tmp_path / "file").touch()
    done = run([*SANDBOX, "--root", str(tmp_path / "file"), *words], check=False)
    assert (done.returncode, done.stderr.count("\n"), f"sandbox: {tmp_path}/file" in done.stderr) == (code, 1, True)


@pytest.mark.parametrize("words", [["--root", "", "ps"], ["--root=", "ps"], ["--root"], ["--rooted", "x", "ps"]])
def test_a_state_directory_without_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """What a script has not set is not where it happens to be."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 125
    assert (capsys.readouterr().err, os.listdir(tmp_path)) == ("sandbox: --root needs a directory\n", [])


def test_a_wrong_template_is_told_before_any_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing has happened yet, `events` would wait, and be silent about it."""
    words = ["events", "--since", "1s", "--until", "0s", "--format", "{{.Action"]
    assert cli.main(["--root", str(tmp_path), *words]) == 1
    assert capsys.readouterr().err == "sandbox: --format: an action is not closed\n"


def test_what_docker_users_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`info` and `version` have labels and keys of Docker; its verbs that are none here are told of with the reason."""

    def said(*words: str) -> str:
        code = cli.main(["--root", str(tmp_path), *words])
        out, err = capsys.readouterr()
        assert (code, bool(err)) == ((0, False) if out else (1, True))
        return str(out or err)

    lines = said("info").splitlines()
    assert lines[:3] == ["Containers: 0", " Running: 0", " Paused: 0"]
    assert "Storage Driver: overlay2" in lines
    assert [line for line in lines if line.startswith("Total Memory: ") and line.endswith("iB")]
    assert int(said("info", "-f", "{{.MemTotal}}")) > 1 << 20
    assert said("version", "-f", "{{.Server.Version}}") == said("version", "-f", "{{.Version}}")
    assert said("-v") == said("--version")
    assert "no registry here" in said("pull", "busybox")
    assert "not built here" in said("build", ".")
