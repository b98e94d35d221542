"""Recordings of this machine."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from inspector.ctop.recording.file import RecordingError
from inspector.ctop.recording.reader import Recording
from inspector.ctop.recording.replay import Replay
from inspector.ctop.recording.writer import Recorder, Writer
from inspector.ctop.source import KernelSource
from inspector.views.jsontext import to_json
from tests.testbed.commands import CTOP, REPOSITORY, run


def test_this_machine_replays_to_the_same_text(tmp_path: Path) -> None:
    """Documents of the real machine come out of a recording as they went in, to the last letter of their JSON."""
    with KernelSource() as kernel:
        recorder = Recorder(kernel, Writer(str(tmp_path / "file")))
        kernel.begin()
        seen = [recorder() for _ in range(4)]
        recorder.close()
    with Replay(str(tmp_path / "file")) as replay:
        again = [replay() for _ in seen]
    for one, other in zip(seen, again, strict=True):
        assert json.loads(to_json(other)) == json.loads(to_json(one))


def waiting(path: Path, ticks: int) -> int:
    """Wait until a recording has so many ticks; returns how many it has."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(RecordingError), Recording(str(path)) as recording:
            if recording.length >= ticks:
                return recording.length
        assert time.monotonic() < deadline, "the recording does not grow"
        time.sleep(0.05)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_without_a_terminal_it_records_until_a_signal(tmp_path: Path, end: signal.Signals) -> None:
    """`ctop --record FILE` says nothing, ends well at a signal, and leaves every whole tick even when it is killed."""
    path = tmp_path / "file"
    command = [*CTOP, "--record", str(path), "-d", "0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY
    ) as child:
        before = waiting(path, 3)
        child.send_signal(end)
        out, err = child.communicate(timeout=120)
    assert (out, err) == (b"", b"")
    assert child.returncode == (-end if end == signal.SIGKILL else 0)
    with Recording(str(path)) as recording:
        assert recording.length >= before
        for number in range(1, recording.length + 1):
            assert recording.document(number)["containers"] is not None
    assert end == signal.SIGKILL or [one.name for one in tmp_path.iterdir()] == ["file"]


def test_n_ends_a_recording(tmp_path: Path) -> None:
    """-n 2 records two ticks, beside a table or alone; what is not ours is left alone, with one line."""
    path = tmp_path / "file"
    assert run([*CTOP, "--record", str(path), "-n", "2", "-d", "0.1"]).stdout == ""
    assert run([*CTOP, "--record", str(path), "--jsonl", "-n", "2", "-d", "0.1"]).stdout.count("\n") == 2
    with Recording(str(path)) as recording:
        assert recording.length == 4
    other = tmp_path / "other"
    other.write_text("mine")
    done = run([*CTOP, "--record", str(other), "-n", "1"], check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is no recording of ctop" in done.stderr
    assert other.read_text() == "mine"


def test_batch_prints_table_after_table() -> None:
    """-b -n 2 prints two tables as top does; a reader that has seen enough ends it quietly."""
    shown = run([*CTOP, "-b", "-n", "2", "-d", "0.1"]).stdout
    assert len([line for line in shown.splitlines() if line.startswith("ctop ")]) == 2
    shell = f"{' '.join(CTOP)} -b -d 0.1 | head -1"
    done = run(["bash", "-o", "pipefail", "-c", shell])
    assert done.stdout.startswith("ctop ")
    assert done.stderr == ""
