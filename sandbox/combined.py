"""The byte code of all modules that starts have loaded, in one file: finding.py writes it in place of this one's.

To find, open and read a file for each takes longer than to execute what is in it.
"""

from __future__ import annotations

__all__ = ["CODES"]

# By name: is it a package, the time and size of its source, and the code as marshal writes it.
CODES: dict[str, tuple[bool, int, int, bytes]] = {}
