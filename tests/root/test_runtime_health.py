"""What Podman's health checks say, beside Podman's own answer (Docker's are in the exporter's tests)."""

from __future__ import annotations

import pytest

from inspector.kernel.host import Host
from inspector.observe import Observer
from tests.testbed import runtimes

pytestmark = pytest.mark.root

CHECK = ("--health-cmd", "busybox test -e /tmp/ok", "--health-interval", "disable", "--health-retries", "1")


def test_podmans_checks() -> None:
    """Its file is read anew at each tick, also where Podman's directories are not the usual ones."""
    with runtimes.podman("checked", *CHECK) as box, Host() as host:
        assert box.tool is not None
        observer = Observer(host, health=True)

        def said() -> tuple[str, str]:
            seen = observer.tick()
            (one,) = (one for one in seen.containers if one.name == "checked")
            assert box.tool is not None
            return seen.health[one.id], box.tool("inspect", "-f", "{{.State.Health.Status}}", "checked").strip()

        assert said() == ("starting",) * 2
        with pytest.raises(AssertionError, match="healthcheck"):
            box.tool("healthcheck", "run", "checked")
        assert said() == ("unhealthy",) * 2
        box.inside(["busybox", "touch", "/tmp/ok"])  # noqa: S108  the container's
        box.tool("healthcheck", "run", "checked")
        assert said() == ("healthy",) * 2


def test_without_a_check() -> None:
    """There is nothing to say, and nothing that could not be read."""
    with runtimes.podman("unchecked"), Host() as host:
        seen = Observer(host, health=True).tick()
        (one,) = (one for one in seen.containers if one.name == "unchecked")
        assert (seen.health.get(one.id), seen.problems, seen.denied_files) == (None, (), 0)
