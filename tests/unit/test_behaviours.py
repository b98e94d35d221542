"""The list of behaviours is complete: each has a test that names it, or a reason why there is none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.root.behaviours import BEHAVIOURS, NOT_HERE, TRAPS
from tests.testbed.commands import REPOSITORY

NUMBER = re.compile(r"\b(?:B\d{3}|T\d{1,2})\b")


def named() -> set[str]:
    """Return the numbers in the docstrings of tests of the sandbox."""
    found: set[str] = set()
    for path in Path(REPOSITORY, "tests").glob("*/test_sandbox_*.py"):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        docs = [ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")]
        found.update(number for text in docs for number in NUMBER.findall(text))
    return found


def test_every_behaviour_has_a_test_or_a_reason() -> None:
    """Each number is named by a test, or listed with its reason, and no number is both or unknown."""
    known, tested = {*BEHAVIOURS, *TRAPS}, named()
    assert tested | NOT_HERE.keys() == known
    assert tested & NOT_HERE.keys() == set()
    assert all(NOT_HERE.values())
