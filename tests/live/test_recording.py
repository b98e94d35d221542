"""Recordings of this machine."""

from __future__ import annotations

import json
from pathlib import Path

from inspector.ctop.recording.replay import Replay
from inspector.ctop.recording.writer import Recorder, Writer
from inspector.ctop.source import KernelSource
from inspector.views.jsontext import to_json


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
