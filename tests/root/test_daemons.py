"""Real sockets: Docker's, for an ordinary user to whom its files are closed and its API is not; and Podman's."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator

import pytest

from inspector.daemons import Names
from inspector.kernel.host import Host
from inspector.observe import Observer
from inspector.schema import Container, Document
from tests.testbed.commands import CTOP, NSINSPECT, Completed, find, run
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.processes import until
from tests.testbed.runtimes import IMAGE as PODMAN_IMAGE
from tests.testbed.runtimes import SLEEP, podman
from tests.testbed.tools import need

pytestmark = pytest.mark.root
USER, GROUP = 1000, 31_337


def as_user(*command: str, check: bool = True) -> Completed:
    """Run a command as an ordinary user in the socket's group."""
    words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={GROUP}"]
    return run([*words, *command], check=check)


@pytest.fixture
def place(docker: Docker) -> Iterator[str]:
    """Give the daemon's socket to a group, at a place that users can reach, with a container behind it."""
    need("setpriv")
    if as_user(*CTOP, "--help", check=False).returncode:
        pytest.skip("no Python that an ordinary user can execute, or the checkout is closed to users")
    socket = docker.socket.removeprefix("unix://")
    with tempfile.TemporaryDirectory(prefix="socket") as below:
        os.chmod(below, 0o755)  # noqa: S103  the user has to get through
        os.link(socket, f"{below}/docker.sock")
        os.chown(socket, 0, GROUP)
        with docker.running("cgscope-named", "--label", "team=shop", IMAGE, *SLEEP):
            yield f"{below}/docker.sock"


def seen(identifier: str, *arguments: str) -> tuple[Container, Document]:
    """Return the container, and all that ctop says to the user."""
    document: Document = json.loads(as_user(*CTOP, "--json", "-d", "0.1", *arguments).stdout)
    return find(document, identifier), document


def test_the_socket_names_what_the_user_may_not_read(docker: Docker, place: str) -> None:
    """Without --socket the container goes by its id; with it by name, image and labels as `docker inspect` has them."""
    told = json.loads(docker("inspect", "cgscope-named").stdout)[0]
    identifier = told["Id"]
    container, document = seen(identifier)
    assert (container["name"], container["image"]) == (identifier[:12], "unknown")
    assert document["denied"] > 0
    wanted = (told["Name"].removeprefix("/"), told["Config"]["Image"], told["Config"]["Labels"])

    def named() -> bool:
        container, document = seen(identifier, "--socket", place)
        # On a busy machine dockerd may take longer than the second it is given.
        assert document["problems"] in ([], [f"{place}: no answer within 1 s"])
        return (container["name"], container["image"], container["labels"]) == wanted

    until(named, "dockerd's answer")


def test_nsinspect_finds_a_container_by_the_name_that_the_socket_tells(docker: Docker, place: str) -> None:
    """A name that no file tells the user is the container's with --socket, and nobody's without."""
    shown = as_user(*NSINSPECT, "--json", "cgscope-named", check=False)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == (
        "nsinspect: no container with the id or name 'cgscope-named' (ctop --once lists them)"
        "; names may not be read: root may, or --socket asks for them\n"
    )

    def named() -> bool:
        done = as_user(*NSINSPECT, "--json", "cgscope-named", "--socket", place, check=False)
        return done.returncode == 0 and json.loads(done.stdout)["pid"] == docker.pid("cgscope-named")

    until(named, "dockerd's answer")
    nowhere = as_user(*NSINSPECT, "cgscope-named", "--socket", "/nowhere", check=False)
    assert nowhere.stderr == "nsinspect: /nowhere: No such file or directory\n" + shown.stderr


def test_a_socket_that_the_user_may_not_use(docker: Docker, place: str) -> None:
    """A socket of another group is one line under problems, and the table is there."""
    os.chown(place, 0, 0)
    identifier = docker("inspect", "-f", "{{.Id}}", "cgscope-named").stdout.strip()
    container, document = seen(identifier, "--socket", place)
    assert container["name"] == identifier[:12]
    assert document["problems"] == [f"{place}: Permission denied"]


def test_podmans_service() -> None:
    """Podman's API names a container as Docker's does; here its files, which do as well, are left out of account."""
    with podman("cgscope-named", "--label", "team=shop") as box, tempfile.TemporaryDirectory(prefix="socket") as below:
        assert box.tool is not None
        path, identifier = f"{below}/podman.sock", box.tool("inspect", "-f", "{{.Id}}", "cgscope-named").strip()
        with Host() as host:
            seen = Observer(host, groups=False).tick()
            # It ends when nobody has asked for so many seconds.
            service = threading.Thread(target=box.tool, args=("system", "service", "--time", "5", f"unix://{path}"))
            service.start()
            until(lambda: os.path.exists(path), "Podman's service")
            ones = (one for one in seen.containers if one.id == identifier)
            bare = tuple(one._replace(name=one.id[:12], image="unknown", labels={}) for one in ones)
            after = Names(path, seconds=60).named(seen._replace(containers=bare))
        service.join()
        (found,) = after.containers
        assert (found.name, found.image, found.labels.get("team")) == ("cgscope-named", PODMAN_IMAGE, "shop")
        assert after.problems == seen.problems
