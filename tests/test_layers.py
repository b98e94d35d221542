"""Who may import whom: the table of CONTRIBUTING.md, held against every module's source.

A module that no row of the table names fails: its place is a decision. The
last tests show, on small sources, that each rule can fail.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.testbed.commands import REPOSITORY

PACKAGES = ("inspector", "exporter", "sandbox")
COMMANDS = ("inspector.ctop", "inspector.nsinspect", "sandbox.cli", "exporter.cli")
# The only ones of the inspector that open, list or follow a file.
OPENERS = (
    "inspector.kernel.host",
    "inspector.kernel.bundle",
    "inspector.kernel.directory",
    "inspector.kernel.files",
    "inspector.kernel.reader",
    "inspector.ctop.config",
    "inspector.ctop.recording.file",
)
IO = ("os", "time", "socket", "subprocess", "pathlib", "inspector.kernel.host", "inspector.kernel.reader")

TYPES = (
    "inspector.errors",
    "inspector.schema",
    "inspector.report",
    "inspector.absence",
    "inspector.garbage",
    "inspector.advice",
    "inspector.figures",
    "inspector.turns",
    "inspector.kernel.named",
    "inspector.kernel.remembered",
)
PURE = (
    "inspector.candidates",
    "inspector.correlate",
    "inspector.identity",
    "inspector.limits",
    "inspector.rates",
    "inspector.periods",
    "inspector.findings",
    "inspector.fields",
    "inspector.document",
    "inspector.entry",
    "inspector.since",
    "inspector.still",
    "inspector.runtimes",
    "inspector.security",
    "inspector.exposure",
    "inspector.hollow",
    "inspector.members",
    "inspector.shellscript",
    "inspector.supervisor",
    "inspector.layers",
    "inspector.closeup",
    "inspector.nesting",
    "inspector.namespace_table",
)
TERMINAL = ("inspector.views", "inspector.ctop", "inspector.nsinspect")
TABLES = ("inspector.fields", "inspector.layers", "inspector.closeup", "inspector.namespace_table")
COLLECT = (
    "inspector.collect",
    "inspector.roster",
    "inspector.groups",
    "inspector.viewpoint",
    "inspector.told",
    "inspector.measure",
    "inspector.inner_kills",
    "inspector.plan",
    "inspector.sheet",
    "inspector.texts",
    "inspector.metadata",
    "inspector.daemons",
    "inspector.stores",
)
# What reads only when a person asks, not at every tick.
ROOTS = tuple(f"inspector.{name}" for name in ("changes", "claims", "lower", "marks", "owner", "unions"))


@dataclass(frozen=True, slots=True)
class Row:
    """Modules (with everything below them), what of the project they may import, and what they never do."""

    modules: tuple[str, ...]
    may: tuple[str, ...]
    never: tuple[str, ...] = ()


TABLE = (
    Row(TYPES, may=TYPES, never=IO),
    Row(("inspector.kernel",), may=("inspector.kernel", "inspector.errors")),
    Row(("inspector.model",), may=("inspector.kernel", *TYPES), never=IO),
    Row(COLLECT, may=("inspector.kernel", "inspector.model", "inspector.runtimes", *COLLECT, *TYPES)),
    Row(
        ("inspector.anatomy",),
        may=("inspector.kernel", "inspector.model", "inspector.members", "inspector.since", *TYPES),
    ),
    Row(ROOTS, may=("inspector.kernel", "inspector.model", "inspector.stores", "inspector.layers", *ROOTS, *TYPES)),
    Row(("inspector.victims",), may=("inspector.kernel", "inspector.since", *TYPES)),
    Row(("inspector.demise",), may=("inspector.kernel", "inspector.stores", *TYPES), never=IO),
    Row(("inspector.namespace_census",), may=("inspector.kernel", "inspector.model", *TABLES, *TYPES)),
    # The kernel modules' types and pure functions, never their readers: see `reads`.
    Row(PURE, may=("inspector.kernel", "inspector.model", *PURE, *TYPES), never=IO),
    Row(
        ("inspector.observe",),
        may=("inspector.kernel", "inspector.model", "inspector.anatomy", *COLLECT, *PURE, *TYPES),
    ),
    Row(("inspector.views",), may=("inspector.views", "inspector.model", *TABLES, *TYPES)),
    Row(("inspector.plain",), may=(), never=IO),
    Row(
        ("inspector.ctop", "inspector.nsinspect", "inspector.command", "inspector.arguments", "inspector.api",
         "inspector"),
        may=("inspector",),
    ),
    Row(("exporter",), may=("exporter", "inspector"), never=TERMINAL),
    Row(("sandbox.finding",), may=("sandbox", "inspector.ctop", "inspector.nsinspect")),  # it starts all these
    Row(("sandbox",), may=("sandbox", "inspector.kernel", "inspector.errors")),
)

# Each library has its place, and is imported only when the command that needs it runs: see `SLOW`.
LIBRARIES = {
    "psutil": ("inspector.kernel.system",),
    "rich": ("inspector.views", "inspector.ctop", "inspector.nsinspect"),
    "textual": ("inspector.ctop",),
    "fastapi": ("exporter",),
    "starlette": ("exporter",),
    "uvicorn": ("exporter",),
    "h11": ("exporter",),
    "yaml": ("exporter.web_config",),
    "bcrypt": ("exporter.auth",),
    "prometheus_client": ("exporter",),
    "pyroute2": ("sandbox.network.netlink",),
}
SLOW = tuple(LIBRARIES)
FILE_CALLS = {"open", "io.open"} | {
    f"os.{call}" for call in ("open", "readlink", "listdir", "scandir", "walk", "stat", "lstat", "pread")
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: "inspector.kernel.host.Host"; `late` inside a function or for typing alone."""

    name: str
    late: bool


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    """Tell whether a dotted name is one of these or below one of them."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def imports(source: str) -> Iterator[Import]:
    """Yield the names that a module's source imports."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        late = node not in tree.body
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (Import(f"{dots}{node.module or ''}.{alias.name}", late) for alias in node.names)


def row_of(module: str) -> Row | None:
    """Return the row that names the module most closely; `inspector` itself stands only for its __init__."""
    named = [
        (len(prefix), row)
        for row in TABLE
        for prefix in row.modules
        if module == prefix or (prefix != "inspector" and below(module, (prefix,)))
    ]
    return max(named, key=lambda pair: pair[0])[1] if named else None


def complaints(module: str, source: str) -> list[str]:
    """Return what a module of that name and source does against the table."""
    row = row_of(module)
    if row is None:
        return ["has no row in the table"]
    found = []
    for imported in imports(source):
        name, top = imported.name, imported.name.split(".")[0]
        if name.startswith("."):
            found.append(f"imports {name} relatively")
        elif below(name, row.never):
            found.append(f"must never import {name}")
        elif top in PACKAGES and not below(name, row.may):
            found.append(f"may not import {name}")
        elif top in ("ctypes", "_ctypes") and module not in ("sandbox.libc", "inspector.kernel.aio"):
            found.append("uses ctypes")
        elif top not in PACKAGES and top not in sys.stdlib_module_names and not below(module, LIBRARIES.get(top, ())):
            found.append(f"may not import the library {top}")
        elif row.modules is PURE and name.startswith("inspector.kernel.") and name.split(".")[-1].startswith("read_"):
            found.append(f"reads: {name}")
    if below(module, ("inspector",)) and module not in OPENERS:
        found += [f"calls {call}" for call in file_calls(source)]
    return found


def file_calls(source: str) -> Iterator[str]:
    """Yield the calls of a source that open, list or follow a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or [ast.unparse(argument) for argument in node.args[:1]] == ["os.devnull"]:
            continue
        if (name := ast.unparse(node.func)) in FILE_CALLS:
            yield name


def modules() -> dict[str, str]:
    """Return every module of the three packages with its source."""
    found = {}
    for package in PACKAGES:
        for directory, _, names in os.walk(os.path.join(REPOSITORY, package)):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(directory, name)
                    dotted = os.path.relpath(path, REPOSITORY)[: -len(".py")].replace(os.sep, ".")
                    with open(path, encoding="utf-8") as file:
                        found[dotted.removesuffix(".__init__")] = file.read()
    return found


def loaded_at_start(command: str, sources: dict[str, str]) -> dict[str, str]:
    """Return every name that importing a module imports with it, and through which module."""
    names: dict[str, str] = {}
    run: set[str] = set()
    waiting = [command]
    while waiting:
        module = waiting.pop()
        run.add(module)
        for imported in imports(sources[module]):
            if not imported.late:
                names.setdefault(imported.name, module)
                # "a.b.c.Name" runs a, a.b and a.b.c.
                parts = imported.name.split(".")
                packages = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
                waiting += [name for name in packages if name in sources and name not in run]
    return names


SOURCES = modules()


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_keeps_to_its_layer(module: str) -> None:
    """Every module imports and opens only what the table allows it."""
    assert complaints(module, SOURCES[module]) == []


def test_the_table_is_the_one_that_people_read() -> None:
    """Each module that the table names is in that of CONTRIBUTING.md, as are those that may open files."""
    with open(os.path.join(REPOSITORY, "CONTRIBUTING.md"), encoding="utf-8") as file:
        section = file.read().split("## Who may import whom")[1].split("\n## ")[0]
    named = {name.removeprefix("inspector.") for name in re.findall(r"`([\w./*]+)`", section)}
    modules = {name.removeprefix("inspector.") for row in TABLE for name in row.modules}
    openers = {name.removeprefix("inspector.").replace(".", "/") + ".py" for name in OPENERS}
    assert ({name for name in modules if not name.startswith("kernel")} | openers) - named == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_starts_without_slow_libraries(command: str) -> None:
    """Starting a command imports none of the libraries that only some of its work needs."""
    assert command in SOURCES, f"{command} does not exist"
    loaded = loaded_at_start(command, SOURCES)
    assert {name: by for name, by in loaded.items() if below(name, SLOW)} == {}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("inspector.novel", "", "has no row in the table"),
        ("inspector.kernel.mounts", "from inspector.model import Process", "may not import inspector.model.Process"),
        ("inspector.kernel.mounts", "import psutil", "may not import the library psutil"),
        ("inspector.model", "import os", "must never import os"),
        ("inspector.collect", "from inspector import rates", "may not import inspector.rates"),
        ("inspector.rates", "from inspector.kernel.host import Host", "must never import inspector.kernel.host.Host"),
        ("inspector.limits", "from inspector.kernel.cgroups import read_x", "reads: inspector.kernel.cgroups.read_x"),
        ("inspector.limits", "def f():\n    import time", "must never import time"),
        ("inspector.observe", "import inspector.views.table", "may not import inspector.views.table"),
        ("inspector.document", "import rich", "may not import the library rich"),
        ("inspector.views.table", "from inspector.kernel import mounts", "may not import inspector.kernel.mounts"),
        ("inspector.ctop.app", "import sandbox.cli", "may not import sandbox.cli"),
        ("inspector.nsinspect", "import exporter", "may not import exporter"),
        ("inspector.ctop.app", "import yaml", "may not import the library yaml"),
        ("inspector.views.text", "from . import cells", "imports ..cells relatively"),
        ("inspector.collect", "open('/proc/1/stat')", "calls open"),
        ("inspector.ctop.app", "import os\nos.listdir('/proc')", "calls os.listdir"),
        ("exporter.web", "from inspector.views import text", "must never import inspector.views.text"),
        ("exporter.web", "import sandbox", "may not import sandbox"),
        ("sandbox.cli", "from inspector.model import Process", "may not import inspector.model.Process"),
        ("sandbox.cli", "import ctypes", "uses ctypes"),
    ],
)
def test_the_table_can_be_broken(module: str, source: str, complaint: str) -> None:
    """Each rule turns away a source that breaks it, and says so."""
    assert complaints(module, source) == [complaint]


def test_a_slow_import_is_seen_through_other_modules() -> None:
    """A library imported at the top of a module that the command imports counts; inside a function it does not."""
    sources = {"a": "import a.b", "a.b": "from a.c import f\ndef g():\n    import rich", "a.c": "import textual"}
    assert loaded_at_start("a", sources)["textual"] == "a.c"
    assert "rich" not in loaded_at_start("a", sources)


def test_a_start_imports_nothing_slow() -> None:
    """What `sandbox run` and `exec` import for a plain start is without the libraries that took most of its time."""
    names = ("cli", "commands.running", "container", "commands.executing", "executing")
    code = f"import sys, {', '.join(f'sandbox.{name}' for name in names)}; print(*sys.modules)"
    loaded = _said(code).split()
    slow = {"argparse", "asyncio", "dataclasses", "datetime", "decimal", "inspect", "subprocess", "tempfile", "typing"}
    assert "sandbox.prepare" in loaded
    assert slow.isdisjoint(loaded)


def test_one_look_imports_nothing_slow() -> None:
    """Nor is that in what `ctop --once --json` imports without a runtime: it takes as long as 100 containers."""
    names = ("ctop.elsewhere", "ctop.once", "ctop.options", "ctop.source", "observe", "still")
    code = f"import sys, {', '.join(f'inspector.{name}' for name in names)}"
    code += "; inspector.ctop.options.parse(['--once', '--json', '-d', '0.2'], terminal=False); print(*sys.modules)"
    loaded = _said(code).split()
    assert "inspector.collect" in loaded
    assert {"argparse", "contextlib", "datetime", "inspector.schema", "json", "re", "typing"}.isdisjoint(loaded)


def _said(code: str) -> str:
    """Return what code prints, in a Python without site."""
    environment = {**os.environ, "PYTHONPATH": REPOSITORY}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
