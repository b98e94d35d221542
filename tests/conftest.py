"""Fixtures and rules for every test.

`root` tests are skipped for anyone else, with the reason. What they leave
behind fails the run: see testbed/leaks.py. In CI a skip for a missing tool
fails too: there everything is installed.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator

import pytest

from tests.testbed import leaks
from tests.testbed.commands import Sandbox
from tests.testbed.docker import Docker
from tests.testbed.tools import IN_CI, need

IS_ROOT = os.geteuid() == 0
MISSING_TOOL = re.compile(r"not installed|missing|no such (tool|program)|not found|could not import", re.IGNORECASE)


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start, also where a shell that put us in the background had us ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root when we are not."""
    if not IS_ROOT:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="makes real containers: run the tests as root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skip for a missing tool into a failure."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and MISSING_TOOL.search(str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be missing: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the run when its root tests leave a mount, cgroup, process, namespace, link or nft table behind.

    CGSCOPE_LEAKS=warn only prints them: for a machine where others make containers meanwhile.
    """
    if not IS_ROOT or not any(item.get_closest_marker("root") for item in request.session.items):
        yield
        return
    before = leaks.before_this_run()
    yield
    only_warn = os.environ.get("CGSCOPE_LEAKS") == "warn"
    if rest := leaks.wait_until_clean(before, 2 if only_warn else leaks.PATIENCE_SECONDS):
        text = "the tests left behind:\n  " + "\n  ".join(rest)
        if not only_warn:
            pytest.fail(text, pytrace=False)
        print(text)


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Give the `sandbox` command a state directory of its own, and remove its containers afterwards."""
    command = Sandbox(str(tmp_path_factory.mktemp("cgscope")))
    yield command
    command.close()


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Run a Docker daemon of our own, without network, holding the image `busybox`."""
    need("docker", "dockerd", "containerd", "runc", "busybox")
    with Docker(str(tmp_path_factory.mktemp("docker"))) as daemon:
        yield daemon
