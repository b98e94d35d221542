"""What sandbox.quick has of json, signal and socket does what those do, and a start imports none of them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import quick
from tests.testbed.commands import REPOSITORY

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
SPACE = st.text(" \t\r\n", max_size=3)
# What makes a container, and what makes one more program in it.
STARTS = ("sandbox.cli", "sandbox.commands.running", "sandbox.container", "sandbox.prepare", "sandbox.mounting")
EXEC = ("sandbox.cli", "sandbox.commands.executing", "sandbox.executing")


@given(VALUES, SPACE, SPACE)
def test_json_is_jsons(value: object, before: str, after: str) -> None:
    """Whatever has a form as JSON is written and read as json does it."""
    text = quick.dumps(value)
    assert text == json.dumps(value)
    assert quick.loads(before + text + after) == json.loads(text)
    assert quick.loads((before + text + after).encode()) == json.loads(text)


@given(st.text(st.sampled_from('{}[]",:0123456789.eE+-tfnul\\ \n'), max_size=30) | st.text(max_size=20))
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    """A damaged file of ours is refused exactly where json refuses it."""
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            quick.loads(text)
    else:
        assert repr(quick.loads(text)) == repr(expected)  # NaN is not itself


def test_what_has_no_form_as_json_is_a_type_error() -> None:
    """Nothing is written as something else."""
    with pytest.raises(TypeError, match="bytes is not JSON"):
        quick.dumps({"a": b""})


@pytest.mark.parametrize("message", [b"x", b"y" * 60_000])
def test_a_descriptor_goes_with_a_message(message: bytes) -> None:
    """It is the same open file on the other side, and closes on exec; without one there is none."""
    one, other = quick.socket.socketpair(quick.socket.AF_UNIX, quick.socket.SOCK_SEQPACKET)
    reading, writing = os.pipe()
    try:
        quick.send(one, message, writing)
        data, got = quick.receive(other, 65536)
        assert (data, got is not None) == (message, True)
        assert got is not None
        assert os.path.sameopenfile(got, writing)
        assert not os.get_inheritable(got)
        os.close(got)
        quick.send(one, message)
        assert quick.receive(other, 65536) == (message, None)
    finally:
        one.close()
        other.close()
        os.close(reading)
        os.close(writing)


def _users() -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules that import from sandbox.quick."""
    for path in sorted(Path(REPOSITORY, "sandbox").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.ImportFrom) and node.module == "sandbox.quick" for node in ast.walk(tree)):
            yield str(path), tree


def test_what_is_used_of_them_is_in_their_c_halves() -> None:
    """The type checker sees the whole modules: what only those have would be missing when it is needed."""
    missing, seen = [], 0
    for path, tree in _users():
        taken = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "sandbox.quick"
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = node.value.id
                if name in taken & {"signal", "socket"}:
                    seen += 1
                    if not hasattr(getattr(quick, name), node.attr):
                        missing.append(f"{path}:{node.lineno}: {name}.{node.attr}")
    assert seen
    assert missing == []


@pytest.mark.parametrize("modules", [STARTS, EXEC], ids=["run", "exec"])
def test_a_start_imports_none_of_what_is_long_to_import(modules: tuple[str, ...]) -> None:
    """Each of these takes longer to import than ten modules of ours."""
    code = f"import sys; sys.path.insert(0, {REPOSITORY!r}); import {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    long = {"argparse", "dataclasses", "enum", "importlib", "json", "re", "selectors", "signal", "socket", "typing"}
    assert long & set(done.stdout.split()) == set()
