"""What a start costs beside other ways to start a program in namespaces of its own; one run, a minute or two.

    python -m pytest -q -s tests/bench/bench_sandbox.py

Ours takes turns with one other way at a time, so that both meet the same
machine and neither what another has left to be cleaned up (containerd's shims
outlast `docker run`); what counts are the ratios. Three times: in a tight loop,
in one where each run follows one of its own kind, which is not counted (runc,
whose threads find both cores awake then, takes a quarter less), and spaced by
100 ms as a person's starts are, as back to back they share the kernel's RCU
waits and look faster. All of it on a disk as most machines have it (disk.py says
why), and a start beside runc's also on what this machine's temporary files are on.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.bench import disk
from tests.testbed.commands import SANDBOX, Sandbox
from tests.testbed.docker import IMAGE, Docker
from tests.testbed.plain import make_bundle, seen_by, within
from tests.testbed.runtimes import make_root

pytestmark = pytest.mark.root

RUNS = 20
WARM_UPS = 4  # ours keeps byte code at first, then the process that it starts from (sandbox/snapshot.py)
WAYS = {"tight loop": (0.0, False), "after one of its own": (0.0, True), "spaced by 100 ms": (0.1, False)}
PARALLEL = 50
IN_A_ROW = 200
ENDS = 20
# The program that pip has installed, where it has; without pip's, what tests run.
INSTALLED = os.path.join(os.path.dirname(sys.executable), "sandbox")
OURS = (INSTALLED,) if os.access(INSTALLED, os.X_OK) else tuple(SANDBOX)


def python() -> str:
    """Return which Python runs ours: one built without optimisations by profile, as pyenv's, takes a fifth longer."""
    return f"Python {platform.python_version()}, {os.path.realpath(sys.executable)}"


class Bench:
    """A root filesystem, and the environment of a start: with bytecode kept, as where it is installed."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.rootfs = make_root(str(directory / "root"))
        self.directory = directory
        self.places: dict[str, int] = {}  # the mount namespaces that programs run in: see plain.seen_by
        without = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
        self.env = {name: value for name, value in sandbox.env.items() if name not in without}

    def call(self, words: Sequence[str]) -> str:
        """Run one way to its end."""
        done = subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.env)
        return done.stdout.strip()

    def milliseconds(self, words: Sequence[str]) -> float:
        """Return how long one run takes."""
        with within(self.places.get(words[0], -1)):
            begun = time.perf_counter()
            self.call(words)
            return (time.perf_counter() - begun) * 1000

    def run_ours(self, *options: str, program: str = "true") -> tuple[str, ...]:
        """Return the command of a new container of ours."""
        return (*OURS, "run", "--rm", *options, "--rootfs", self.rootfs, program)

    def bundle(self, name: str, *argv: str) -> str:
        """Make an OCI bundle on the same root, and return its directory."""
        return make_bundle(str(self.directory / name), self.rootfs, argv)

    def compare(self, title: str, ways: Mapping[str, Sequence[str]]) -> None:
        """Print how long the first way and each other take, in turn, and how many times as long the first."""
        (first, ours), *others = [(name, words) for name, words in ways.items() if self._works(name, words)]
        empty = statistics.median(self.milliseconds([sys.executable, "-IS", "-c", ""]) for _ in range(RUNS))
        print(f"\n{python()}; an empty start of it {empty:.1f} ms; on {disk.kind(self.directory)}")
        print(f"{title}: {first}, beside".ljust(64) + "".join(way.ljust(30) for way in WAYS).rstrip())
        for name, words in others:
            columns = [self._in_turn(ours, words, *way) for way in WAYS.values()]
            told = (f"{one:6.1f} /{other:6.1f} ms = {ratio:5.2f}".ljust(30) for one, other, ratio in columns)
            print(f"  {name:62}" + "".join(told).rstrip())

    def _in_turn(
        self, ours: Sequence[str], other: Sequence[str], space: float, warmed: bool
    ) -> tuple[float, float, float]:
        """Return the medians of two ways in milliseconds, and that of the ratios of two runs after one another."""
        rounds: list[tuple[float, ...]] = []
        for _ in range(RUNS):
            taken = []
            for words in (ours, other):
                time.sleep(space)
                if warmed:
                    self.milliseconds(words)
                taken.append(self.milliseconds(words))
            rounds.append((*taken, taken[0] / taken[1]))
        one, another, ratio = map(statistics.median, zip(*rounds, strict=True))
        return one, another, ratio

    def _works(self, name: str, words: Sequence[str]) -> bool:
        """Tell whether a way is installed and works here, and warm it up; say why not."""
        if shutil.which(words[0]) is None:
            print(f"\n{name}: not installed")
            return False
        try:
            for _ in range(WARM_UPS):
                self.milliseconds(words)
        except subprocess.CalledProcessError as error:
            print(f"\n{name}: fails here: {error.stderr.strip()[:200]}")
            return False
        return True


@pytest.fixture(scope="session", autouse=True)
def ordinary_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have all directories of these tests on a disk as most machines have it."""
    usual = tmp_path_factory.getbasetemp()
    place = tmp_path_factory.mktemp("disk")
    with disk.ordinary(place):
        tmp_path_factory._basetemp = place  # noqa: SLF001  there is no other way to say it while pytest runs
        yield
        tmp_path_factory._basetemp = usual  # noqa: SLF001


@pytest.fixture
def bench(sandbox: Sandbox, tmp_path: Path) -> Bench:
    """Return the ground that all ways start from."""
    return Bench(sandbox, tmp_path)


def test_a_start_on_this_disk() -> None:
    """A new container without a network beside runc's, on what temporary files are on here."""
    with tempfile.TemporaryDirectory() as directory:
        sandbox = Sandbox(f"{directory}/cgscope")
        bench = Bench(sandbox, Path(directory))
        runc = (
            "runc",
            "--root",
            f"{directory}/state",
            "run",
            "-b",
            bench.bundle("runc", "true"),
            f"cgscope-bench-{os.getpid()}",
        )
        try:
            bench.compare("start without a network", {
                "sandbox run --rm --net none": bench.run_ours("--net", "none"), "runc run": runc,
            })  # fmt: skip
        finally:
            sandbox.close()


def of_docker(docker: Docker, *words: str) -> tuple[str, ...]:
    """Return the command of a daemon's client."""
    return ("docker", "-H", docker.socket, *words)


def test_a_start(bench: Bench, docker: Docker) -> None:
    """A new container without a network, beside every other way that is here."""
    runc, crun = bench.bundle("runc", "true"), bench.bundle("crun", "true")
    name, state = f"cgscope-bench-{os.getpid()}", f"{bench.directory}/state"
    bind = ("--ro-bind", bench.rootfs, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all")
    with seen_by("crun") as bench.places["crun"]:
        bench.compare("start without a network", {
            "sandbox run --rm --net none": bench.run_ours("--net", "none"),
            "runc run": ("runc", "--root", state, "run", "-b", runc, name),
            f"crun run, cgroups disabled{', and v2 not mounted' if bench.places['crun'] >= 0 else ''}":
                ("crun", "--root", f"{state}-crun", "--cgroup-manager=disabled", "run", "-b", crun, name),
            "bwrap": ("bwrap", *bind, "true"),
            "unshare": ("unshare", "-mpuinCf", "--mount-proc", "true"),
            "docker run --rm --network none": of_docker(docker, "run", "--rm", "--network", "none", IMAGE, "true"),
        })  # fmt: skip


def test_an_exec(bench: Bench) -> None:
    """One more program in a container that runs, beside runc's."""
    ident = bench.call((*OURS, "run", "-d", "--net", "none", "--rootfs", bench.rootfs, "sleep", "1000"))
    runc = ("runc", "--root", f"{bench.directory}/state")
    name = f"cgscope-bench-{os.getpid()}"
    bundle = bench.bundle("sleeping", "sleep", "1000")
    started = [*runc, "run", "-d", "-b", bundle, name]
    subprocess.run(started, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ways = {"sandbox exec": (*OURS, "exec", ident, "true"), "runc exec": (*runc, "exec", name, "true")}
        bench.compare("exec true", ways)
    finally:
        subprocess.run([*runc, "delete", "-f", name], check=True)


def test_a_start_with_a_bridge(bench: Bench, docker: Docker) -> None:
    """A new container with an interface, an address and a way out, beside Docker's."""
    network = f"cgscope-bench-{os.getpid()}"
    docker("network", "create", network)
    try:
        bench.compare("start with a bridge", {
            "sandbox run --rm --net bridge": bench.run_ours("--net", "bridge"),
            "docker run --rm": of_docker(docker, "run", "--rm", "--network", network, IMAGE, "true"),
        })  # fmt: skip
    finally:
        docker("network", "rm", network)


def test_many_at_once(bench: Bench, sandbox: Sandbox) -> None:
    """Fifty containers started together all run, and leave nothing."""
    bench.call(bench.run_ours("--net", "none"))
    begun = time.perf_counter()
    started = [
        subprocess.Popen(bench.run_ours("--net", "none"), stdin=subprocess.DEVNULL, env=bench.env)
        for _ in range(PARALLEL)
    ]
    codes = [each.wait() for each in started]
    seconds = time.perf_counter() - begun
    print(f"\n{PARALLEL} at once: {seconds:.2f} s, {seconds / PARALLEL * 1000:.1f} ms each")
    assert codes == [0] * PARALLEL
    assert sandbox("ps", "-aq").stdout == ""


def test_many_in_a_row(bench: Bench, sandbox: Sandbox) -> None:
    """Two hundred, one after the other: the last are as fast as the first, and nothing is left."""
    ours = bench.run_ours("--net", "none")
    bench.call(ours)
    taken = [bench.milliseconds(ours) for _ in range(IN_A_ROW)]
    first, last = (statistics.median(part) for part in (taken[:ENDS], taken[-ENDS:]))
    print(f"\n{IN_A_ROW} in a row: the first {ENDS} {first:.1f} ms, the last {last:.1f} ms (x {last / first:.2f})")
    assert sandbox("ps", "-aq").stdout == ""


def test_a_monitor(bench: Bench, sandbox: Sandbox) -> None:
    """The process that stays beside a container in the background is small."""
    for _ in range(2):  # the first one's bytecode may have to be made
        ident = bench.call((*OURS, "run", "-d", "--net", "none", "--rootfs", bench.rootfs, "sleep", "1000"))
    monitor = sandbox.inspect(ident)["Cgscope"]["Monitor"]["Pid"]
    figures = dict(line.split(":", 1) for line in Path(f"/proc/{monitor}/status").read_text().splitlines())
    resident, own = (int(figures[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    print(f"\na detached container's monitor: {resident:.1f} MiB resident, of which {own:.1f} MiB its own")
