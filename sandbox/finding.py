"""How the commands find modules: ours all in one file (combined.py), and those of others where site says, when asked.

The one file is byte code like any other: it is where Python keeps that of
combined.py, written by who may write there, gone with the next installation,
and each module in it goes by the time and size of its source, as Python has it.
"""

from __future__ import annotations

import _collections_abc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec, _find_spec  # type: ignore[attr-defined]  # importlib brings warnings
from _frozen_importlib_external import SourceFileLoader

from sandbox import combined
from sandbox.combined import CODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType
    from typing import cast
else:

    def cast(_: str, value: object) -> object:
        """Change nothing: typing's is for the type checker alone."""
        return value


__all__ = ["install", "keep"]

PLACE = os.path.dirname(os.path.dirname(__file__))
PACKAGES = ("sandbox.", "inspector")
# What is loaded before anything can be found in the one file, and the file itself.
APART = ("sandbox.combined", __name__)
# Python's own way of loading the one file: it knows where its byte code is, and how to write it.
WHERE: ModuleSpec = combined.__spec__


class _Loader(SourceFileLoader):
    """Loads a module whose code is at hand."""

    def get_code(self, fullname: str) -> CodeType:
        """Return a module's code."""
        code: CodeType = marshal.loads(CODES[fullname][-1])  # noqa: S302  as trustworthy as all byte code is
        return code


class _Ours:
    """Finds the modules whose code is at hand, when their sources are what they were."""

    @staticmethod
    def find_spec(name: str, _path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        """Return how a module is loaded, or None when others are to look for it."""
        if name == "collections":  # from here on its own module is the one
            sys.modules.pop("collections.abc", None)
        if name not in CODES:
            return None
        package, time, size, _ = CODES[name]
        source = _source(name, package=package)
        try:
            found = os.stat(source)
        except OSError:
            return None
        if (int(found.st_mtime), found.st_size) != (time, size):
            return None
        spec = ModuleSpec(name, _Loader(name, source), origin=source, is_package=package)
        spec.has_location, spec.cached = True, WHERE.cached
        if package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec


class _Others:
    """Finds what nobody else has: the script has started Python without site, which knows where libraries are."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        """Have site extend sys.path, and look for a module once more."""
        sys.meta_path.remove(_Others)
        import site  # noqa: PLC0415

        site.main()
        # By all: site may have brought one that knows where a library is that is installed to be edited.
        found: ModuleSpec | None = _find_spec(name, path)
        return found


def _source(name: str, *, package: bool) -> str:
    return f"{PLACE}/{name.replace('.', '/')}{'/__init__' if package else ''}.py"


def install() -> None:
    """Find modules so from now on."""
    if "collections" not in sys.modules:  # it would be imported first, 1.5 ms, and has nothing but the same names
        sys.modules["collections.abc"] = _collections_abc
    sys.meta_path.insert(0, _Ours)
    if sys.flags.no_site:
        sys.meta_path.append(_Others)


def keep() -> None:
    """Have the modules in the one file that were loaded without it, for the next start; nothing where we may not."""
    from sandbox.contexts import suppress  # noqa: PLC0415  it is in the one file

    with suppress(Exception):  # no room, or another version was installed meanwhile: what the command did is done
        _keep()


def _keep() -> None:
    loaded = [
        (name, module)
        for name, module in sys.modules.items()
        if name.startswith(PACKAGES) and name not in APART and type(module.__loader__) is SourceFileLoader
    ]
    path = WHERE.cached or ""
    if not loaded or sys.dont_write_bytecode or not os.access(os.path.dirname(path), os.W_OK):
        return
    codes = dict(CODES)
    for name, module in loaded:
        loader = cast("SourceFileLoader", module.__loader__)
        found = os.stat(loader.path)
        code = marshal.dumps(loader.get_code(name))
        codes[name] = hasattr(module, "__path__"), int(found.st_mtime), found.st_size, code
    _write(cast("SourceFileLoader", WHERE.loader).path, path, codes)


def _write(origin: str, path: str, codes: dict[str, tuple[bool, int, int, bytes]]) -> None:
    """Write byte code that says CODES = codes, as that of combined.py: whole, or not at all.

    SourceFileLoader.set_data() keeps what a full disk has cut off (Python 3.11), and with that no start is possible.
    """
    from importlib.util import MAGIC_NUMBER  # noqa: PLC0415

    source = os.stat(origin)
    whole = compile("CODES = ...", origin, "exec")
    whole = whole.replace(co_consts=tuple(codes if each is ... else each for each in whole.co_consts))
    numbers = (0, int(source.st_mtime), source.st_size)  # no flags: valid as long as the source has this time and size
    header = MAGIC_NUMBER + b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
    new = f"{path}.{os.getpid()}"
    mode = source.st_mode & 0o644  # whatever the umask: who could write byte code would decide what root executes
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        try:
            file.write(header + marshal.dumps(whole))
            file.flush()
            os.replace(new, path)
        except OSError:
            os.unlink(new)
            raise
