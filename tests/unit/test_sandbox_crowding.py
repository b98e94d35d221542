"""Which limit of processes it is that was met."""

from __future__ import annotations

import errno
from pathlib import Path

from sandbox.crowding import explained
from sandbox.errors import SandboxError


def test_the_nearest_limit_that_is_met(tmp_path: Path) -> None:
    """It may be of a cgroup above one that the controller is not handed down to, or of none; other errors stay."""
    inner = tmp_path / "full" / "between" / "inner"
    inner.mkdir(parents=True)
    for place, most, now in ((tmp_path / "full", 9, 8), (inner.parent, None, None), (inner, "max", 3)):
        (place / "cgroup.procs").touch()
        if most:
            (place / "pids.max").write_text(f"{most}\n")
            (place / "pids.current").write_text(f"{now}\n")
    error = SandboxError("fork", 126)
    assert explained(error, [str(inner)]) is error
    error.number = errno.EAGAIN
    told = explained(error, [str(inner)])
    assert (str(told), told.exit_code) == (
        f"no more processes: the limit of 9 is reached in the cgroup {tmp_path}/full (pids.max)", 126
    )  # fmt: skip
    (tmp_path / "full" / "pids.current").write_text("7\n")
    assert explained(error, [str(inner)]) is error
