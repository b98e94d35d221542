"""The commands as they are installed: no entry points, and with modules that come out of one file (finding.py)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.root.sandboxing import wait_for
from tests.testbed.commands import REPOSITORY, Completed, Sandbox
from tests.unit.test_sandbox_start import environment

pytestmark = pytest.mark.root

RUN = ("run", "--rm", "--net", "none", "--rootfs", "/", "--")


class Installed(Sandbox):
    """The installed `sandbox`, whose byte code is nobody else's; nothing is kept of it yet."""

    def __init__(self, place: Path) -> None:
        super().__init__(str(place / "state"))
        self.command = environment(place / "env") / "sandbox"
        self.packages = next(place.glob("env/lib/python*/site-packages"))
        for name in ("sandbox", "inspector"):
            (self.packages / name).unlink()
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(f"{REPOSITORY}/{name}", self.packages / name, ignore=ignored)
        place, tag = self.packages / "sandbox/__pycache__", sys.implementation.cache_tag
        self.files = [place / f"{name}.{tag}.pyc" for name in ("combined", "kept_run", "kept_exec")]
        self.kept = self.files[1]
        self.env = {name: value for name, value in self.env.items() if not name.startswith("PYTHON")}

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `sandbox WORDS`."""
        pipe = subprocess.PIPE
        return subprocess.Popen([self.command, *words], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True,
                                env=self.env, cwd="/")  # fmt: skip

    def __call__(self, *words: str, check: bool = True, timeout: float = 180, text: str | None = None) -> Completed:
        """Run `sandbox WORDS`, which has nothing to complain of."""
        begun = self.begin(*words)
        out, err = begun.communicate(text, timeout)
        assert not check or (begun.returncode, err) == (0, ""), (words, begun.returncode, err)
        return Completed(words, begun.returncode, out, err)

    def identity(self) -> list[tuple[int, int]]:
        """Tell which files are kept."""
        return [(found.st_ino, found.st_mtime_ns) for found in map(Path.stat, self.files)]


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    """Give a command that was never started."""
    made = Installed(tmp_path)
    yield made
    made.close()


def life(sandbox: Installed) -> None:
    """Have a container through every verb of its life, and a word that is none."""
    assert sandbox(*RUN, "echo", "said").stdout == "said\n"
    sandbox("run", "-d", "--name", "lives", "--net", "none", "--rootfs", "/", "sleep", "1000")
    assert sandbox("exec", "lives", "cat", "/proc/1/comm").stdout == "sleep\n"
    sandbox("stop", "-t", "0", "lives")
    sandbox("start", "lives")
    assert sandbox("ps", "-q").stdout != ""
    sandbox("rm", "-f", "lives")
    done = sandbox("run", "--no-such-option", check=False)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (125, "", False)
    assert "--no-such-option" in done.stderr


def test_a_life(installed: Installed) -> None:
    """The first time from the modules' own files, the second time from those that were kept, which have them all."""
    life(installed)
    first = installed.identity()
    life(installed)
    assert installed.identity() == first


def test_what_is_kept_fails_nobody(installed: Installed) -> None:
    """Two first starts at once, another version, a file that was half written, and none that can be written."""
    begun = [installed.begin(*RUN, "echo", "said") for _ in range(2)]
    assert [(*each.communicate(timeout=180), each.returncode) for each in begun] == [("said\n", "", 0)] * 2
    for done in (upgrade, break_off, cut_off):
        done(installed)
        before = installed.kept.read_bytes()
        assert installed(*RUN, "echo", done.__name__).stdout == f"{done.__name__}\n"
        assert installed.kept.read_bytes() != before, done  # made anew
    assert [path.name for path in installed.kept.parent.glob("kept_run*")] == [installed.kept.name]
    installed.kept.unlink()
    installed.kept.mkdir()
    assert installed(*RUN, "echo", "said").stdout == "said\n"


def test_another_version_is_installed_while_containers_run(installed: Installed) -> None:
    """What then ends is recorded, what is to be started again is, and its health is found out as before."""
    (installed.kept.parents[1] / "names_of_both.py").write_text("OLD = 1\n")
    for name in ("watch", "probing"):
        change(installed, name, "from sandbox.names_of_both import OLD\n")
    options = ("run", "-d", "--rootfs", "/", "--net", "none", "--health-cmd", "true", "--health-interval", "100ms")
    for name, policy in (("ends", "no"), ("again", "always"), ("lives", "no")):
        installed(*options, "--name", name, "--restart", policy, "--", "sleep", "1000")
    assert wait_for(lambda: all(health(installed, name)["Status"] == "healthy" for name in ("ends", "again", "lives")))
    put_another(installed)
    for name in ("ends", "again"):
        os.kill(installed.inspect(name)["State"]["Pid"], signal.SIGKILL)
    assert wait_for(lambda: installed.inspect("ends")["State"]["Status"] == "exited")
    state = installed.inspect("ends")["State"]
    assert (state["ExitCode"], state["Error"]) == (137, "")
    assert wait_for(lambda: installed.inspect("again")["RestartCount"] == 1)
    assert wait_for(lambda: health(installed, "again")["Status"] == "healthy")
    last = health(installed, "lives")["Log"][-1]
    assert wait_for(lambda: last not in health(installed, "lives")["Log"])
    assert health(installed, "lives")["FailingStreak"] == 0


def health(installed: Installed, name: str) -> dict[str, Any]:
    """Return what is known of a container's health."""
    return dict(installed.inspect(name)["State"].get("Health", {"Status": ""}))


def change(installed: Installed, name: str, text: str) -> None:
    """Have a module say something more."""
    with (installed.packages / f"sandbox/{name}.py").open("a") as file:
        file.write(text)


def put_another(installed: Installed) -> None:
    """Install a version in whose modules a name is called otherwise, which three of them use that come late."""
    older = installed.packages / "older"
    (installed.packages / "sandbox").rename(older)
    shutil.copytree(older, installed.packages / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(older)
    (installed.packages / "sandbox/names_of_both.py").write_text("NEW = 1\n")
    for name in ("watch", "probing"):
        path = installed.packages / f"sandbox/{name}.py"
        path.write_text(path.read_text().replace("import OLD", "import NEW"))
    for name in ("teardown", "executing", "monitor"):
        change(installed, name, "from sandbox.names_of_both import NEW\n")


def upgrade(installed: Installed) -> None:
    """Have another version of a module that every start needs."""
    change(installed, "errors", "# another\n")


def cut_off(installed: Installed) -> None:
    """Have nothing behind the first bytes, by which Python takes the file for what it wrote."""
    os.truncate(installed.kept, 100)


def break_off(installed: Installed) -> None:
    """Have zeros in place of modules, as after a loss of power."""
    size = installed.kept.stat().st_size
    with installed.kept.open("r+b") as file:
        file.seek(size // 4)
        file.write(bytes(size // 2))
