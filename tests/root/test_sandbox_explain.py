"""`sandbox run --explain`: what is told is what strace sees, in the same order, and each of it has a reason."""

from __future__ import annotations

import importlib
import re

import pytest

from sandbox import explain
from tests.testbed.commands import SANDBOX, Sandbox, run
from tests.testbed.tools import need

pytestmark = pytest.mark.root

CALLS = ("unshare", "mount", "umount2", "pivot_root", "keyctl", "seccomp")


def test_what_is_told_is_what_is_done(sandbox: Sandbox) -> None:
    """The calls that make a container, as often and in the same order as strace counts them."""
    need("strace")
    log = f"{sandbox.root}.strace"
    command = [*SANDBOX, "run", "--rm", "--net", "none", "--rootfs", "/", "--explain", "true"]
    traced = ["strace", "-f", "-o", log, "-e", f"trace={','.join(CALLS)}", *command]
    done = run(traced, env=sandbox.env)
    told = re.findall(r"^ *\d+ (\w+)\(", done.stderr, re.MULTILINE)
    with open(log, encoding="utf-8") as file:
        seen = re.findall(r"^\d+ +(\w+)\(", file.read(), re.MULTILINE)
    for name in CALLS:
        assert told.count(name) == seen.count(name) > 0, name
    ordered = ("mount", "unshare", "pivot_root", "umount2", "seccomp")  # the root, then a cgroup namespace
    assert [name for name in dict.fromkeys(told) if name in ordered] == list(ordered)
    assert [name for name in dict.fromkeys(seen) if name in ordered] == list(ordered)
    assert told[-1] == "execve"


def test_a_program_hears_nothing_of_it(sandbox: Sandbox) -> None:
    """Standard output is the program's alone, its exit code is passed on, and its descriptors are three."""
    words = ("--rm", "--rootfs", "/", "--explain", "sh", "-c", "ls /proc/self/fd; exit 5")
    done = sandbox("run", *words, check=False)
    assert done.returncode == 5
    assert done.stdout.split()[:3] == ["0", "1", "2"]
    assert len(done.stdout.split()) == 4  # and the directory that ls reads
    assert "of its own from here on: mounts, host name, IPC, processes, network" in done.stderr


def test_the_tables_name_functions_that_exist() -> None:
    """A function that was renamed would be told of no more."""
    for module, function, *builtin in (*explain.FUNCTIONS, *explain.BUILTINS):
        found = getattr(importlib.import_module(module), function)
        assert callable(found)
        assert all(name in found.__code__.co_names for name in builtin), (module, function, builtin)
