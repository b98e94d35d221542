"""ctop of some containers only: those of a process, those of a user."""

from __future__ import annotations

import pytest

from inspector.schema import Document
from tests.testbed.commands import CTOP, Sandbox, ctop_document, run

pytestmark = pytest.mark.root


def names(document: Document) -> list[str]:
    """Return the names of a document's containers."""
    return [one["name"] for one in document["containers"]]


def test_p_is_the_containers_of_processes(sandbox: Sandbox) -> None:
    """-p shows the containers that hold these processes, and says which of them is in none."""
    for name in ("chosen-one", "chosen-two", "chosen-not"):
        sandbox.start(name, "sleep", "600")
    pids = [sandbox.pid(name) for name in ("chosen-one", "chosen-two")]
    assert names(ctop_document("-d", "0.1", "-p", str(pids[0]))) == ["chosen-one"]
    both = ctop_document("-d", "0.1", "-s", "name", "-p", f"{pids[0]},{pids[1]},4000000")
    assert names(both) == ["chosen-one", "chosen-two"]
    assert "process 4000000 has ended, or is in none of these" in both["problems"]


def test_u_is_the_containers_of_a_user(sandbox: Sandbox) -> None:
    """-u shows the containers whose first process is that user's, by name or number."""
    sandbox.start("chosen-nobody", "-u", "65534", "sleep", "600")
    sandbox.start("chosen-root", "sleep", "600")
    found = names(ctop_document("-d", "0.1", "-u", "65534"))
    assert "chosen-nobody" in found
    assert "chosen-root" not in found
    table = run([*CTOP, "--once", "-d", "0.1", "-u", "root", "-f", "name:chosen"]).stdout
    assert "chosen-root " in table
    assert "chosen-nobody" not in table
