"""The behaviours (B) that other runtimes' tests hold, and the traps (T) that they fell into.

A test that shows one has its number in its docstring. Those without a test
are in NOT_HERE, with the reason: tests/unit/test_behaviours.py holds that
there is none besides.

B001 to B011 exit codes and errors; B012 wait; B013 to B023 users and environment; B024 to B050 security and devices;
B051 to B073 files and mounts; B074 to B080 namespaces and network; B082 to B093 limits; B094 to B110 the life of a
container; B111 to B121 building; B122 to B130 the OCI command line.
"""

from __future__ import annotations

__all__ = ["BEHAVIOURS", "NOT_HERE", "TRAPS"]

# Numbers that were never given are left out.
_GAPS = {2, 5, 8, 9, 14, 15, 18, 20, 26, 29, 30, 31, 33, 38, 39, 40, 41, 52, 54, 57, 60, 67, 71, 77, 81, 91, 103, 113}
BEHAVIOURS = tuple(f"B{number:03}" for number in range(1, 131) if number not in _GAPS)
TRAPS = tuple(f"T{number}" for number in range(1, 34))

_BUILDING = "no image is built or committed here"
NOT_HERE = {
    **dict.fromkeys(("B065", "B111", "B112", "B114", "B115", "B116", "B117", "B118", "B120", "B121"), _BUILDING),
    "B127": "the OCI command line refuses --no-pivot: there is no container without a pivot_root",
    "T9": "whoever unshares is a process of one thread, executed for that: it never is a thread of somebody's program",
    "T12": "needs another engine's container around the tests; there the kernel's refusal is told in one line",
    "T33": "a matter of measuring: tests/bench/bench_sandbox.py has a tight loop and a spaced one",
}
