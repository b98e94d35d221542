"""The inspector's public names."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

import inspector


def test_every_public_name_exists_and_is_sorted() -> None:
    """Each name in __all__ can be had, and the list is sorted and without doubles."""
    assert [name for name in inspector.__all__ if not hasattr(inspector, name)] == []
    assert list(inspector.__all__) == sorted(set(inspector.__all__))


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public is refused as any module refuses it."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = inspector.nothing


def test_a_kernel_reader_does_not_import_the_rest() -> None:
    """Importing one kernel reader costs that reader: neither psutil, rich nor the document come along."""
    code = (
        "import sys, inspector.kernel.cgroups\n"
        "heavy = {'psutil', 'rich', 'textual', 'inspector.document', 'inspector.observe'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_types_are_for_others_too() -> None:
    """A type checker takes what `from inspector import ...` brings for what it is, and not for Any (PEP 561)."""
    assert (files(inspector) / "py.typed").is_file()
