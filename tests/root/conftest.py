"""What several files of tests of the sandbox begin and end with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root import sandboxing
from tests.root.bundles import Runtime
from tests.testbed.commands import Sandbox
from tests.testbed.netbed import NetworkBed
from tests.testbed.tools import need


@pytest.fixture
def nothing_left_of_it(sandbox: Sandbox) -> Iterator[None]:
    """Compare what there is before and after each test."""
    before = sandboxing.cgroup_directories()
    yield
    sandbox.close()
    sandboxing.check_nothing_left(sandbox, before)


@pytest.fixture
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkBed]:
    """Give the `sandbox` command a state directory and a network namespace of its own."""
    need("ip", "nft", "busybox", "nsenter", "unshare")
    found = NetworkBed(str(tmp_path_factory.mktemp("cgscope")))
    yield found
    found.close()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """Give a runtime; its containers are gone afterwards."""
    need("busybox")
    made = Runtime(tmp_path)
    yield made
    made.close()
