"""How long a start takes: `sandbox run --rootfs / true` beside other ways to start a program in namespaces of its own.

Prints milliseconds and the ratio to ours. The runs are apart by a pause: back
to back they share the kernel's RCU waits and look faster than a person sees.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.testbed.commands import Sandbox

pytestmark = pytest.mark.root

RUNS = 10
PAUSE_SECONDS = 0.05


def median_ms(action: Callable[[], object]) -> float:
    """Return the median duration of an action."""
    action()
    durations = []
    for _ in range(RUNS):
        time.sleep(PAUSE_SECONDS)
        begun = time.perf_counter()
        action()
        durations.append((time.perf_counter() - begun) * 1000)
    return statistics.median(durations)


def command(*words: str, env: dict[str, str] | None = None, cwd: str | None = None) -> Callable[[], object]:
    """Return an action that runs a command."""
    return lambda: subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=env, cwd=cwd)


def others(sandbox: Sandbox, directory: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the other ways that are installed here."""
    if shutil.which("unshare"):
        yield "unshare", command("unshare", "-mpuinCf", "--mount-proc", "true")
    if shutil.which("bwrap"):
        bind = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all")
        yield "bwrap", command("bwrap", *bind, "true")
    if shutil.which("runc"):
        sandbox("rootfs", "copy", f"{directory}/rootfs", "true")
        subprocess.run(["runc", "spec"], cwd=directory, check=True)
        with open(f"{directory}/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["process"].update(terminal=False, args=["true"])
        config["process"].pop("rlimits", None)
        config["root"] = {"path": "rootfs", "readonly": True}
        with open(f"{directory}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        runc = ("runc", "--root", f"{directory}/state", "run", "-b", directory, f"cgscope-bench-{os.getpid()}")
        yield "runc", command(*runc)


def test_start_latency(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    """A start costs less than four Python starts with our imports, and every figure is printed beside the others'."""
    env = {name: value for name, value in sandbox.env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = f"{tmp_path}/cache"
    base = (sys.executable, "-m", "sandbox.cli", "run", "--rm", "--rootfs", "/")
    ours = median_ms(command(*base, "true", env=env))
    plan = median_ms(command(*base, "--dry-run", "true", env=env))
    print(f"\nsandbox run --rootfs / true   {ours:6.1f} ms, of which {plan:.1f} before anything is made (--dry-run)")
    for name, action in others(sandbox, str(tmp_path)):
        try:
            other = median_ms(action)
        except subprocess.CalledProcessError as error:
            print(f"{name:28}  fails here: {error.stderr.decode(errors='replace').strip()[:100]}")
            continue
        print(f"{name:28}  {other:6.1f} ms, sandbox takes {ours / other:.1f} times as long")
    assert ours < 4 * plan
