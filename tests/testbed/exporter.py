"""The exporter as a process of its own, on a free port of loopback."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.commands import EXPORTER, REPOSITORY
from tests.testbed.processes import until

__all__ = ["Running", "running"]


@dataclass(frozen=True, slots=True)
class Running:
    """A started exporter; its first address, and where its log goes."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def port(self) -> int:
        """The port of its first address."""
        return int(self.url.rsplit(":", 1)[1])

    def lines(self, text: str = "") -> list[str]:
        """Return the lines of its log that contain a text."""
        return [line for line in self.log.read_text().splitlines() if text in line]


@contextmanager
def running(log: Path, *arguments: str, wrap: Sequence[str] = ()) -> Iterator[Running]:
    """Run `WRAP cgscope-exporter ARGUMENTS`; it is killed at the end. A traceback in its log fails the test."""
    command = [*wrap, *EXPORTER, "--web.listen-address=127.0.0.1:0", *arguments]
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, cwd=REPOSITORY) as process:
        try:
            until(lambda: "metrics at " in log.read_text() or process.poll() is not None, "the exporter")
            match = re.search(r"metrics at (\w+://\S+:\d+)/", log.read_text())
            assert match, log.read_text()
            yield Running(process, match[1], log)
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
