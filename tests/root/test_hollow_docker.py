"""Hollow containers of a real Docker, with the shells, supervisors and servers of this machine.

`server` is a copy of perl that waits for ever, so that it has a name of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.kernel.host import Host
from inspector.observe import Observer
from inspector.schema import Container
from tests.testbed.commands import ctop_document
from tests.testbed.docker import Docker
from tests.testbed.processes import until
from tests.testbed.tools import need

pytestmark = pytest.mark.root

IMAGE = "machine"
SERVER = "/files/server -e sleep"
SUPERVISORD = "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/tmp/log\npidfile=/tmp/pid\n[program:web]\n"
TEMPORARY = "".join(f"{kind}_temp_path /tmp/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
FILES = {
    # Two samples a second apart are not both between one `sleep` and the next.
    "loop": f"#!/bin/sh\n{SERVER} &\nwhile :; do sleep 5; done\n",
    "exec": f"#!/bin/bash\nset -e\n{SERVER} &\nexec tail -f /dev/null\n",
    "nginx": f"daemon off; worker_processes 4; pid /tmp/nginx; error_log /dev/null; events {{}}\n"
    f"http {{ access_log off; {TEMPORARY} server {{ listen 127.0.0.1:8080; }} }}\n",
    "fatal": f"{SUPERVISORD}command=/bin/false\nstartretries=0\n",
    "workers": f"{SUPERVISORD}command=nginx -c /files/nginx\n",
    "restarted": f"{SUPERVISORD}command={SERVER}\n",
    "s6/web/run": "#!/bin/sh\nexit 1\n",
    "s6/web/finish": "#!/bin/sh\nexit 125\n",  # a permanent failure: s6-supervise(8)
    "s6-loop/web/run": "#!/bin/sh\nexit 1\n",
}
# A server that the test kills, and what is then said.
KILLED = {
    "loop": (["/files/loop"], "its script starts server in the background, and it is not there"),
    "exec": (["/files/exec"], "its child server (PID"),
    "wait": (["sh", "-c", f"{SERVER} & wait; sleep infinity"], "only `sleep infinity` is left"),
    "tini": (["tini", "--", "/files/loop"], "PID 1 is tini"),
}
# A supervisor that has given up, or whose program ends at once, again and again.
FAILED = {
    "supervisord": (["supervisord", "-c", "/files/fatal"], "it has given up, or was told to stop them"),
    "s6": (["sh", "-c", "cp -r /files/s6 /tmp/s6; exec s6-svscan /tmp/s6"], "none of its programs (web): it has given"),
    "s6-loop": (["sh", "-c", "cp -r /files/s6-loop /tmp/s6; exec s6-svscan /tmp/s6"], "(web): what it starts ends at"),
}
ALIVE = {
    "by-design": ["sleep", "infinity"],
    "tail": ["tail", "-f", "/dev/null"],
    "idle-loop": ["sh", "-c", "while sleep 1; do :; done"],
    "idle-nginx": ["nginx", "-c", "/files/nginx"],
    "application": ["python3", "-c", "import time; time.sleep(1e6)"],
    "workers": ["supervisord", "-c", "/files/workers"],
    "restarted": ["supervisord", "-c", "/files/restarted"],
}


@pytest.fixture(scope="module")
def fleet(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Run all of the above at once, each on this machine's own /usr and /etc; give the daemon."""
    need("supervisord", "s6-svscan", "nginx", "tini", "perl", "python3")
    files = tmp_path_factory.mktemp("files")
    shutil.copy(shutil.which("perl") or "", files / "server")
    for name, text in FILES.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
        (files / name).chmod(0o755)
    _image(docker, files)
    commands = {**{name: command for name, (command, _) in (KILLED | FAILED).items()}, **ALIVE}
    volumes = ("-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "-v", f"{files}:/files:ro")
    try:
        for name, command in commands.items():
            docker("run", "-d", "--name", f"hollow-{name}", "--network", "none", *volumes, IMAGE, *command)
        yield docker
    finally:
        docker("rm", "-f", *(f"hollow-{name}" for name in commands), check=False)


def _image(docker: Docker, below: Path) -> None:
    """Make an image of nothing but directories to mount on, and the links of a merged /usr."""
    with tarfile.open(below / "image.tar", "w") as tar:
        for name in ("bin", "sbin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
        for name in ("usr", "etc", "files", "proc", "run", "tmp", "var"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, stat.S_ISVTX | 0o777
            tar.addfile(directory)
    docker("import", str(below / "image.tar"), IMAGE)


def said() -> dict[str, str]:
    """Return what `ctop --once --json` says of the hollow ones of the fleet, by name."""
    shown = ctop_document("--once")["containers"]
    return {one["name"].removeprefix("hollow-"): text(one) for one in shown if _ours(one) and one["state"] == "hollow"}


def _ours(one: Container) -> bool:
    return one["runtime"] == "docker" and one["name"].startswith("hollow-")


def text(one: Container) -> str:
    """Return the evidence of a hollow container: exactly one finding, and critical."""
    (found,) = [finding for finding in one["findings"] if finding["code"] == "hollow"]
    assert found["severity"] == "critical"
    return found["text"]


def server(docker: Docker, name: str) -> int:
    """Return the PID, on this machine, of the server in a container; 0 for none."""
    listed = docker("top", f"hollow-{name}", "-eo", "pid,stat,comm").stdout.splitlines()[1:]
    found = (line.split() for line in listed)
    return next((int(pid) for pid, state, comm in found if comm == "server" and not state.startswith("Z")), 0)


def kill(docker: Docker, name: str) -> int:
    """Kill the server in a container, as the OOM killer would; wait until it has ended, and return its PID."""
    until(lambda: server(docker, name), f"the server in {name}")
    pid = server(docker, name)
    os.kill(pid, signal.SIGKILL)
    until(lambda: server(docker, name) != pid, f"the server in {name} to end")
    return pid


def test_a_container_whose_server_was_killed_is_hollow_within_two_samples(fleet: Docker) -> None:
    """One `ctop --once` before says of none of them that it is hollow, one after of each, with the evidence."""
    until(lambda: all(server(fleet, name) for name in KILLED), "the servers")
    assert not said().keys() & KILLED.keys()
    pids = {name: kill(fleet, name) for name in KILLED}
    found = said()
    assert found.keys() >= KILLED.keys()
    for name, (_, evidence) in KILLED.items():
        assert evidence in found[name], name
    assert f"(PID {pids['exec']})" in found["exec"]


def test_a_supervisor_that_has_given_up_is_hollow_within_two_samples(fleet: Docker) -> None:
    """Supervisord with its program FATAL, s6 with a permanent or an endless failure: said once it lasts, and why."""
    del fleet
    missing = set(FAILED)

    def all_said() -> bool:
        """Look with two samples more: supervisord needs 5 s to give up, and s6 may start something in a sample."""
        found = said()
        missing.difference_update(name for name, (_, evidence) in FAILED.items() if evidence in found.get(name, ""))
        return not missing

    until(all_said, f"what is said of {missing}", 180)


def test_what_idles_waits_by_design_or_is_restarted_is_not_hollow(fleet: Docker) -> None:
    """Idle nginx, an application as PID 1, `sleep infinity`, loops, many workers; and a program that is restarted."""
    looked: set[str] = set()
    wrong: dict[str, str] = {}
    with Host() as host:
        observer = Observer(host, groups=False)

        def look() -> None:
            seen = observer.tick()
            names = {one.id: one.name.removeprefix("hollow-") for one in seen.containers}
            looked.update(names.values())
            wrong.update({names[id_]: why for id_, why in seen.hollow.items() if names[id_] in ALIVE})

        for _ in range(2):
            kill(fleet, "restarted")
            _looking(look, lambda: server(fleet, "restarted") != 0)
    assert wrong == {}
    assert looked >= ALIVE.keys()
    assert not said().keys() & ALIVE.keys()


def _looking(look: Callable[[], None], condition: Callable[[], bool]) -> None:
    """Look again and again until something is so, and for as long as a supervisor takes to call it a success."""
    deadline = time.monotonic() + 120
    while not condition():
        look()
        assert time.monotonic() < deadline
    for _ in range(10):
        look()
        time.sleep(0.1)
