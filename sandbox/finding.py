"""How the commands find modules: ours in groups, out of one file, and those of others where site says, when asked.

A group is what the import of one module brings, which is the last in it: all is read at once and executed in order,
since Python takes longer to find a module than to execute most of ours. combined.py writes the file. It is the byte
code of one module, its own or for some commands another's, with that of all others behind it: it is where Python keeps
it, written by who may write there, gone with the next installation. Each module goes by its source's time and size.

This module starts the commands, too. Where its own byte code is there the start
script has Python execute that, as a program: from a text, which Python compiles
each time, and with a package to look for first, a start takes 2 ms more.
"""

# Nothing from __future__, whose import is 0.13 ms of a start: names that the type checker alone knows are quoted.
import _collections_abc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec, _find_spec  # type: ignore[attr-defined]  # importlib brings warnings
from _frozen_importlib import _load as _load_module  # type: ignore[attr-defined]
from _frozen_importlib_external import MAGIC_NUMBER, PathFinder, SourceFileLoader, cache_from_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import NoReturn

    # A module's name, is it a package, the time and size of its source, and its code.
    Record = tuple[str, bool, int, int, CodeType]

__all__ = [
    "GROUPS",
    "LENGTH_BYTES",
    "LIVE",
    "MARK",
    "OWN",
    "PATH",
    "PLACE",
    "START",
    "STARTED",
    "as_usual",
    "complete",
    "forget",
    "header",
    "install",
    "keep",
    "keep_live",
    "kept_start",
    "leave",
    "read_group",
    "run",
]

IS_PROGRAM = __name__ == "__main__"  # then this file is the byte code, a directory further down
PLACE = os.path.dirname(os.path.dirname(os.path.dirname(__file__) if IS_PROGRAM else __file__))
PACKAGES = ("sandbox.", "inspector")
SHARED = "sandbox/combined.py"
WRITER = f"{PLACE}/{SHARED}"
# Whose byte code has the others behind it, and where that is: another one where install() is told so.
ORIGIN = WRITER
PATH: str = cache_from_source(ORIGIN)
# Files of their own for what is started most: in the one of all, which modules are a group the first verb has decided.
OWN = {"run": "sandbox/kept_run.py", "exec": "sandbox/kept_exec.py"}
INSPECTING = {"ctop": "inspector/ctop/kept.py", "nsinspect": "inspector/nsinspect/kept.py"}
# The processes that later starts are out of (snapshot.py): what is in these files both have imported.
START, LIVE = "start", "live"
STARTED = (*OWN.values(), *INSPECTING.values())
# The end of the file, of which so much is read at first: an index, how long that is, and this.
INDEX_BYTES = 1 << 15
LENGTH_BYTES = 4
MARK = b"cgscope\n"
# What reading it raises where it is gone, or the machine lost its power before it was on the disk.
UNREADABLE = (OSError, EOFError, ValueError, TypeError)

# Of the file: which modules are in which group, from where on and how long each piece of one is, and which file it is.
GROUPS: dict[str, int] = {}
_places: list[list[tuple[int, int]]] = []
_identity = (0, 0, 0)
# Of a process out of a file (snapshot.py): nothing is to be read for these, which it has all of; and which file it is.
complete: set[str] = set()
out_of = ""
# What is read and not executed yet, and what was looked for in vain.
_at_hand: "dict[str, Record]" = {}
_missed: list[str] = []


class _Loader(SourceFileLoader):
    """Loads a module whose code is at hand."""

    def get_code(self, fullname: str) -> "CodeType | None":
        """Return a module's code."""
        return _at_hand.pop(fullname)[-1] if fullname in _at_hand else super().get_code(fullname)


class _Collections(SourceFileLoader):
    """Loads collections with their abc, which is at hand already, as an attribute: as it is from Python 3.13 on."""

    @classmethod
    def spec(cls) -> ModuleSpec | None:
        """Return how collections are loaded."""
        spec = PathFinder.find_spec("collections")
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = cls(spec.loader.name, spec.loader.path)
        return spec

    def exec_module(self, module: "ModuleType") -> None:
        """Execute them."""
        super().exec_module(module)
        vars(module)["abc"] = _collections_abc


class _Ours:
    """Finds the modules whose code is at hand, when their sources are what they were."""

    @staticmethod
    def find_spec(name: str, _path: "Sequence[str] | None" = None, _target: object = None) -> ModuleSpec | None:
        """Return how a module is loaded, or None when others are to look for it."""
        if name in GROUPS:
            if name not in _at_hand:
                _load_group(name)
            spec = _spec(_at_hand[name]) if name in _at_hand else None
            if spec is not None:
                return spec
        if name == "collections":
            return _Collections.spec()
        if name.startswith(PACKAGES):
            _missed.append(name)
        return None


class _Others:
    """Finds what nobody else has: the script has started Python without site, which knows where libraries are."""

    @staticmethod
    def find_spec(name: str, path: "Sequence[str] | None" = None, _target: object = None) -> ModuleSpec | None:
        """Have site extend sys.path, and look for a module once more."""
        if name == "org":  # copy asks for what only Jython has; site executes what others have in their *.pth
            return None
        sys.meta_path.remove(_Others)
        import site  # noqa: PLC0415

        site.main()
        # By all: site may have brought one that knows where a library is that is installed to be edited.
        found: ModuleSpec | None = _find_spec(name, path)
        return found


def _load_group(name: str) -> None:
    """Read the group that a module is in, and if it is the last of it, execute the others, which it imports."""
    records = read_group(GROUPS[name])
    _at_hand.update((record[0], record) for record in records)
    if records and records[-1][0] == name:
        for record in records[:-1]:
            if record[0] not in sys.modules:
                _load(record)


def _load(record: "Record") -> None:
    """Do what the import of a module does; where its source is not what it was, that import is to come."""
    name, is_package = record[:2]
    package, _, own = name.rpartition(".")
    spec = _spec(record)
    if spec is None or (package and package not in sys.modules):
        return
    module = type(sys)(name)
    package_of = name if is_package else package
    vars(module).update(
        __spec__=spec, __loader__=spec.loader, __package__=package_of, __file__=spec.origin, __cached__=PATH
    )
    if is_package:
        module.__path__ = spec.submodule_search_locations or []
    sys.modules[name] = module
    try:
        exec(_at_hand.pop(name)[-1], module.__dict__)  # noqa: S102  as importlib does
    except BaseException:
        del sys.modules[name]
        raise
    if package:
        setattr(sys.modules[package], own, module)


def _spec(record: "Record") -> ModuleSpec | None:
    """Return how a module is loaded that is at hand; None when its source is not what it was."""
    name, is_package, time, size, _ = record
    source = f"{PLACE}/{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"
    try:
        found = os.stat(source)
    except OSError:
        return None
    if (int(found.st_mtime), found.st_size) != (time, size):
        return None
    spec = ModuleSpec(name, _Loader(name, source), origin=source, is_package=is_package)
    spec.has_location, spec.cached = True, PATH
    # Each import of what is loaded asks for this, in vain at the price of an exception where importlib has not set it.
    spec._initializing = False  # type: ignore[attr-defined]  # noqa: SLF001
    if is_package:
        spec.submodule_search_locations = [os.path.dirname(source)]
    return spec


def header(source: str = "") -> bytes:
    """Return how the byte code of a source, ORIGIN, begins: valid as long as that has this time and size, no flags."""
    found = os.stat(source or ORIGIN)
    numbers = (0, int(found.st_mtime), found.st_size)
    begin: bytes = MAGIC_NUMBER + b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)
    return begin


def _read(place: tuple[int, int] | None = None) -> bytes:
    """Return a part of the file, or its end, by which it is known; nothing of another one that has come meanwhile."""
    global _identity
    fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        identity = (found.st_ino, found.st_mtime_ns, found.st_size)
        if place is None:
            place, _identity = (max(0, found.st_size - INDEX_BYTES), INDEX_BYTES), identity
        return os.pread(fd, place[1], place[0]) if identity == _identity else b""
    finally:
        os.close(fd)


def read_group(number: int) -> "list[Record]":
    """Return the modules of a group, in the order in which they are executed; none when the file is gone."""
    records: list[Record] = []
    for place in _places[number]:
        try:
            records += marshal.loads(_read(place))  # noqa: S302  as trustworthy as all byte code is
        except UNREADABLE:
            return []
    return records


def _read_index() -> None:
    """Learn what is in the file: nothing where Python has written it, or it is of another version."""
    try:
        end = _read()
        length = int.from_bytes(end[-len(MARK) - LENGTH_BYTES : -len(MARK)], "little") + len(MARK) + LENGTH_BYTES
        if not end.endswith(MARK) or length > len(end):
            return
        begin, groups, places = marshal.loads(end[-length:])  # noqa: S302
    except UNREADABLE:
        return
    if begin == header():
        GROUPS.update(groups)
        _places.extend(places)


def run(script: str) -> "NoReturn":
    """Be the command that the start script has the name of."""
    name = _begin(script)
    if name in INSPECTING:
        install(INSPECTING[name])
    if name == "ctop":
        from inspector.ctop import command  # noqa: PLC0415
    elif name == "nsinspect":
        from inspector.nsinspect import command  # noqa: PLC0415
    elif name.endswith("-oci"):
        install()
        from sandbox.commands.oci import command  # noqa: PLC0415
    else:
        install(OWN.get("".join(sys.argv[1:2]), SHARED))
        from sandbox.cli import command  # noqa: PLC0415
    command()


def _begin(script: str) -> str:
    """Have ps show the name of our start script, which sh has not started, and return it."""
    name = os.path.basename(script)
    try:
        fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, os.fsencode(name))
        finally:
            os.close(fd)
    except OSError:
        pass
    return name


def install(origin: str = SHARED) -> None:
    """Find modules so from now on, in the byte code of that one: a command that imports others has a file of its own.

    A group is read whole, and ctop has no use for most of what the sandbox imports.
    """
    global ORIGIN, PATH  # noqa: PLW0603  once, before anybody asks
    ORIGIN = f"{PLACE}/{origin}"
    PATH = cache_from_source(ORIGIN)
    if "collections" not in sys.modules:  # it would be imported first, 1.5 ms, and has nothing but the same names
        sys.modules["collections.abc"] = _collections_abc
    forget()
    if origin not in complete:
        _read_index()
    if _Ours not in sys.meta_path:
        sys.meta_path.insert(0, _Ours)
        if sys.flags.no_site:
            sys.meta_path.append(_Others)


def forget() -> None:
    """Know of no file, and of nothing that was looked for."""
    GROUPS.clear()
    for each in (_places, _at_hand, _missed):
        each.clear()


def as_usual() -> "NoReturn":
    """Start once more, as Python does: we are out of a file."""
    from sandbox import snapshot_code  # noqa: PLC0415  which is there then

    plain = dict([snapshot_code.PLAIN.split("=")])
    os.execve("/bin/sh", ["sh", *sys.argv], os.environ | plain)  # noqa: S606


def leave() -> None:
    """Find no more modules so: threads need importlib's locks, which what comes in a group is executed without."""
    if _Ours in sys.meta_path:
        sys.meta_path.remove(_Ours)
        if "collections" not in sys.modules:  # who imports it from here on, we do not see
            sys.modules.pop("collections.abc", None)


def keep() -> None:
    """Have the modules in the one file that were loaded without it, for the next start; nothing where we may not.

    Where all came out of it, the next start may do without any of that (snapshot.py).
    """
    loaded = [name for name in _missed if type(getattr(sys.modules.get(name), "__loader__", None)) is SourceFileLoader]
    usual = bool(GROUPS) and _is_usual() and (_makes() or _may_be_stale())
    if not (loaded or usual) or not _may_keep():
        return
    try:
        if loaded:
            _add(loaded)
        else:
            from sandbox import snapshot  # noqa: PLC0415

            snapshot.renew(START, make=_makes())
    except (Exception, KeyboardInterrupt):  # noqa: BLE001, S110  no room, another version: all is done
        pass


def keep_live() -> None:
    """Have a process for the next live view, while this one is looked at."""
    if _is_usual() and _may_keep():
        from sandbox import snapshot  # noqa: PLC0415

        snapshot.renew_meanwhile(LIVE)


def _is_usual() -> bool:
    """Tell whether a start as this one may be out of a file the next time."""
    return IS_PROGRAM and sys.pycache_prefix is None


def _may_keep() -> bool:
    return not sys.dont_write_bytecode and os.access(os.path.dirname(PATH), os.W_OK)


def _makes() -> bool:
    """Tell whether we are one of those that such a process imports all of."""
    return ORIGIN in [f"{PLACE}/{origin}" for origin in STARTED]


def _may_be_stale() -> bool:
    """Tell whether there is such a process, and we have not started out of it though we do otherwise."""
    return ORIGIN == WRITER and os.access(kept_start(START), os.X_OK)


def kept_start(kind: str) -> str:
    """Return where such a process is kept, whether there is one or not."""
    # Whatever PYTHONOPTIMIZE is.
    path: str = cache_from_source(f"{PLACE}/sandbox/kept_{kind}.py", optimization="")
    return path


def _add(loaded: list[str]) -> None:
    if complete:
        _read_index()
    try:
        from sandbox import combined  # noqa: PLC0415
    except UNREADABLE:  # its own byte code, with which a file begins, is cut off: what it is made of is not
        os.unlink(cache_from_source(WRITER))
        from sandbox import combined  # noqa: PLC0415
    combined.add(loaded)


def _run_as_program() -> "NoReturn":
    """Start from our own byte code; when its source is not what it was, as usual."""
    del sys.argv[0]
    script = sys.argv[0]
    if not PLACE.endswith("-packages"):  # an installation to be edited: others' libraries are elsewhere
        sys.path.append(f"{os.path.dirname(script)}/../lib/python%d.%d/site-packages" % sys.version_info[:2])
    sys.path.append(PLACE)
    if _is_current():
        package = f"{PLACE}/sandbox"
        source = f"{package}/__init__.py"
        spec = ModuleSpec("sandbox", SourceFileLoader("sandbox", source), origin=source, is_package=True)
        spec.has_location, spec.submodule_search_locations = True, [package]
        sys.modules["sandbox.finding"] = _load_module(spec).finding = sys.modules["__main__"]
    from sandbox import finding  # noqa: PLC0415, PLW0406  as Python compiles it anew, when we are not current

    finding.run(script)


def _is_current() -> bool:
    try:
        fd = os.open(__file__, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = header(f"{PLACE}/sandbox/finding.py")
            return os.read(fd, len(found)) == found
        finally:
            os.close(fd)
    except OSError:
        return False


if IS_PROGRAM:
    _run_as_program()
