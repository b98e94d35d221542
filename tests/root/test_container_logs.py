"""Where runtimes keep what a container has said: read by ctop's page of logs from the real files."""

from __future__ import annotations

import tempfile

import pytest

from inspector.ctop.logs import Logs
from inspector.kernel.host import Host
from tests.root import sandboxing
from tests.testbed import runtimes
from tests.testbed.commands import ctop_document, find

pytestmark = pytest.mark.root

SAYS = ["sh", "-c", "while :; do echo said; echo complained >&2; sleep 1; done"]


def said(name: str, *words: str) -> None:
    """Wait until the log of a running container has all these lines."""
    logs = Logs(Host(), find(ctop_document("-d", "0.2"), name))

    def there() -> bool:
        logs.read_on()
        lines = {"".join(text for text, _ in line) for line in logs.lines()}
        return lines >= set(words)

    assert sandboxing.wait_for(there), (logs.problem, logs.lines()[-5:])


def test_podman() -> None:
    """Podman's log driver k8s-file leaves ctr.log beside the container's config."""
    with runtimes.podman("talker", "--log-driver", "k8s-file", command=SAYS):
        said("talker", "said", "complained")


def test_lxc() -> None:
    """LXC's console is in the file that lxc.console.logfile names."""
    with tempfile.TemporaryDirectory(prefix="console") as below:
        command = ["sh", "-c", "while :; do echo said > /dev/console; sleep 1; done"]
        with runtimes.lxc("talker", f"lxc.console.logfile = {below}/console", command=command):
            said("talker", "said")
