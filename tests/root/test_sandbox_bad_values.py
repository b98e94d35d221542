"""Exit codes of bad values, each beside what the real `docker` and its daemon end with."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from sandbox import cli
from tests.testbed.commands import Sandbox
from tests.testbed.docker import IMAGE, Docker

pytestmark = pytest.mark.root

# What docker's client refuses (125) and what only its daemon does (1 of `create`); `run` ends with 125 for both.
VALUES = (
    "-m abc", "-m ''", "--shm-size ''", "-m 1m", "--memory-swap 1m -m 64m", "--memory-swappiness 101",
    "--memory-reservation 65m -m 64m", "--cpus abc", "--cpus 1000", "--cpu-quota 5", "--cpu-period 5",
    "--cpus ''", "--cpuset-cpus x", "--pids-limit x", "--device-read-bps x", "--device-read-bps /nowhere:1mb",
    "--shm-size x", "--ulimit nofile", "--ulimit nofile=9:5", "--sysctl x", "--oom-score-adj 2000",
    "-p abc", "-p 1:2:3:4:5", "--expose x", "--restart sometimes", "--restart always:3",
    "--health-interval 5", "--stop-timeout x", "--stop-signal NOSUCH", "-e", "-l =x", "--env-file /nowhere",
    "--add-host x", "--dns x", "--mac-address x", "-v a:b:c:d", "--mount foo", "--mount type=foo,dst=/x",
    "--mount type=bind,src=/tmp,dst=/x,readonly=", "--mount type=bind,src=/tmp,dst=/x,bind-recursive=readonly",
    "--mount type=bind,src=/tmp,dst=/x,volume-label=a", "--mount src=v1,dst=/x,volume-label",
    "--mount type=tmpfs,dst=/x,src=/tmp", "--mount src=v1,dst=/x,bind-propagation=private",
    "--volumes-from nowhere", "--volumes-from stopped:rx",
    "--tmpfs relative", "-w relative", "--pid x", "--userns x", "--attach foo",
    "--security-opt nosuch", "--cap-add NOSUCH", "--badflag", "--rm --restart always",
)  # fmt: skip
OTHERS = (
    "create", "exec there", "exec nowhere true", "exec -e there true", "exec stopped true", "update there",
    "update -m abc there", "update -m 1m there", "update --restart sometimes there", "network create --subnet x new",
    "network rm nowhere", "network ls --filter foo", "network ls --filter foo=bar", "network connect nowhere there",
    "network nosuch", "volume create --badflag", "volume create a/b", "volume rm nowhere", "volume ls --filter foo",
    "ps --filter foo", "ps --filter foo=bar", "port there x", "nosuch",
    "logs --since nan there", "events --since nan --until 1s", "ps there", "diff there stopped", "network ls x",
    "volume create aa bb", "update --cpuset-cpus 4000 there", "update --cpuset-cpus 4000 stopped",
    "top there -o nosuch", "ps --filter publish=x", "tag busybox sha256:abc",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Give a sandbox with Docker's image, and in both a container `there` and one, `stopped`, that has ended."""
    path = tmp_path_factory.mktemp("bad")
    docker("save", "-o", f"{path}/image.tar", IMAGE)
    sandbox = Sandbox(str(path / "state"))
    sandbox("load", "-i", f"{path}/image.tar")
    try:
        with docker.running("there", IMAGE, "sleep", "1000"), docker.running("stopped", IMAGE, "true"):
            docker("wait", "stopped")
            sandbox("run", "-d", "--name", "there", IMAGE, "sleep", "1000")
            sandbox("run", "--name", "stopped", IMAGE, "true")
            yield sandbox
    finally:
        sandbox.close()


def compare(docker: Docker, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Fail where a command line ends otherwise than Docker's, or says more than a line."""
    theirs = docker(*words, check=False)
    assert theirs.returncode, f"{words} are no mistake to Docker"
    code = cli.main(["--root", sandbox.root, *words])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (theirs.returncode, 1), f"{words}: {theirs.stderr}, ours: {said}"


def test_values_of_create(docker: Docker, pair: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that the client refuses ends `create` with 125, one that the daemon refuses with 1; `run` with 125."""
    for value in VALUES:
        words = [*shlex.split(value), IMAGE, "true"]
        compare(docker, pair, capsys, ["create", *words])
        assert cli.main(["--root", pair.root, "run", *words]) == 125, value
        assert capsys.readouterr().err.count("\n") == 1
    assert pair("ps", "-aq").stdout.count("\n") == 2


def test_values_of_other_verbs(docker: Docker, pair: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """So do exec, update, network, volume and the rest end."""
    for line in OTHERS:
        compare(docker, pair, capsys, shlex.split(line))
    # Docker looks for a plugin for a quarter of a minute, and then ends with 1.
    for line in ("network create --driver nosuch new", "volume create --driver nosuch new"):
        assert cli.main(["--root", pair.root, *shlex.split(line)]) == 1
