"""The commands that are no entry points: they start whatever path they are in, and find modules in one file."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
import venv
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from sandbox.combined import grouped
from sandbox.finding import MARK, OWN
from tests.testbed.commands import REPOSITORY
from tests.unit.documents import container, document
from tests.unit.recordings import record

SCRIPT = Path(REPOSITORY, "sandbox/scripts/start").read_text()
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
USAGE = "Usage: sandbox [--root DIR] COMMAND"
INSPECTING = (("ctop", "usage: ctop"), ("nsinspect", "usage: nsinspect"))
# What pip writes as the head of an entry point; where a path has blanks or is long; how others quote it there; what uvx
# has, whose environments are moved into its cache.
HEADS = (
    "#!{python}\nimport sys\n",
    "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\nimport sys\n",
    "#!/bin/sh\n'''exec' '{python}' \"$0\" \"$@\"\n' '''\nimport sys\n",
    "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\nimport sys\n",
)
# What distributions make of it.
OTHER_HEADS = ("#!{python} -sP\n", "#! {python}\n", "#!/usr/bin/env python3\n", "#!/usr/bin/env -S {python} -s\n")
FINDER = """
import sys
from importlib.util import spec_from_file_location
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return spec_from_file_location(name, {place!r}) if name == "library" else None
sys.meta_path.append(Finder)
"""
# Which modules come out of the one file, told when a start is over.
TELL = """
import sys
sys.path.append({place!r})
from sandbox import finding
finding.install()
import sandbox.state
finding.keep()
state = sandbox.state
print(type(state.__loader__).__name__, state.default_root.__code__.co_filename, state.__cached__)
"""
# What is known of a function, and of a value's fields.
LEFT_OUT = """
print(state.Store.load.__doc__, state.Store.load.__annotations__)
import sandbox.channel
print(sandbox.channel.Born.__annotations__)
finding.keep()
"""

# How modules are that came with the one that was asked for; one of them may have changed.
TELL_ALL = """
import sys
sys.path.append({place!r})
from sandbox import finding
finding.install()
import sandbox.launch
finding.keep()
ours = [module for name, module in sys.modules.items() if name.startswith("sandbox.") and module is not finding]
named = [module for module in ours if getattr(sys.modules[module.__spec__.parent], module.__name__.rpartition(".")[2],
         module) is module and module.__spec__.origin == module.__file__]
print(len(ours) > 50, len(named) == len(ours), *sorted(name.__name__ for name in ours
      if type(name.__loader__).__name__ != "_Loader" and name.__name__ != "sandbox.combined"))
"""

# Two threads: one imports a module whose group begins with another one, the other that one, of which all is done
# while nobody waits any more.
TELL_THREADS = """
import sys, threading
sys.path.append({place!r})
from sandbox import finding
finding.install()
from sandbox.commands.output import each_at_once
from sandbox.errors import SandboxError
sys.begun, sys.goes_on = threading.Event(), threading.Event()
def action(name):
    if name == "first":
        import sandbox.last
    else:
        sys.begun.wait()
        from sandbox.slow import VALUE
print(each_at_once(["first", "second"], action))
finding.keep()
"""
SLOW = "import sys\nsys.begun.set()\nsys.goes_on.wait(0.5)\nVALUE = 1\n"


def environment(directory: Path, head: str = HEADS[0], *, editable: bool = False) -> Path:
    """Make a virtual environment with our packages, as pip installs them, and return where its commands are."""
    venv.create(directory, with_pip=False, symlinks=True)
    commands = directory / "bin"
    (commands / "cgscope-exporter").write_text(head.format(python=commands / "python"))
    for name in ("ctop", "nsinspect", "sandbox", "sandbox-oci"):
        (commands / name).write_text(SCRIPT)
        (commands / name).chmod(0o755)
    packages = directory / "lib" / VERSION / "site-packages"
    if editable:
        (packages / "_editable_impl_cgscope.pth").write_text(REPOSITORY)
    else:
        for name in ("sandbox", "inspector"):
            (packages / name).symlink_to(Path(REPOSITORY, name))
    return commands


def without_python(**variables: str) -> dict[str, str]:
    """Return our environment without Python's variables but these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables


def said(*words: str | Path, cwd: Path | str = "/", **variables: str) -> str:
    """Return what a command prints, in an environment without Python's variables but these."""
    env = without_python(**{"PYTHONDONTWRITEBYTECODE": "1", **variables})
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=cwd, env=env
    )
    assert done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("editable", [False, True])
def test_a_path_with_blanks(tmp_path: Path, head: str, *, editable: bool) -> None:
    """It starts in a path with blanks, by whatever detour an installer gives the entry point beside it."""
    commands = environment(tmp_path / "a path  with blanks", head, editable=editable)
    assert said(commands / "sandbox", "--help").startswith(USAGE)
    assert "VERB" in said(commands / "sandbox-oci", "--help")
    assert said(commands / "ctop", "--help").startswith("usage: ctop [-h]")


@pytest.mark.parametrize("head", OTHER_HEADS)
def test_heads_of_distributions(tmp_path: Path, head: str) -> None:
    """Options of Python's, blanks before it, and env, that finds it."""
    commands = environment(tmp_path / "env", head)
    assert said(commands / "sandbox", "--help", PATH=f"{commands}:{os.environ['PATH']}").startswith(USAGE)


def test_every_way_of_calling_it(tmp_path: Path) -> None:
    """By a link to it, a link to that, a relative path, its name on PATH, with sh, and with Python itself."""
    commands = environment(tmp_path / "env")
    (tmp_path / "first").symlink_to("env/bin/sandbox")
    (tmp_path / "second").symlink_to(tmp_path / "first")
    path = f"{commands}:{os.environ['PATH']}"
    for words in ([tmp_path / "second"], ["./first"], ["env/bin/sandbox"], ["sh", "first"], ["sh", "env/bin/sandbox"],
                  [commands / "python", "first"]):  # fmt: skip
        assert said(*words, "--help", cwd=tmp_path).startswith(USAGE), words
    assert said("sh", "-c", "sandbox --help", PATH=path).startswith(USAGE)


def test_the_words_arrive_as_they_are(tmp_path: Path) -> None:
    """Blanks, empty words and characters that mean something to a shell are the command's."""
    command = environment(tmp_path / "env") / "sandbox"
    done = subprocess.run([command, "a 'b' \"$c\" *"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "sandbox: 'a \\'b\\' \"$c\" *' is not a sandbox command (see sandbox --help)\n"
    )  # fmt: skip


def test_a_word_that_is_no_utf8_arrives_as_it_is(tmp_path: Path) -> None:
    """Whatever the locale: the bytes of a path are the file's. What draws goes by the locale."""
    commands = environment(tmp_path / "env")
    for name, expected in (("sandbox", "1\n"), ("sandbox-oci", "1\n"), ("ctop", "0\n"), ("nsinspect", "0\n")):
        script = (commands / name).read_text()
        (commands / name).write_text(script.replace("\nimport sys\n", "\nimport sys\nprint(sys.flags.utf8_mode)\n", 1))
        assert said(commands / name, "--version", LC_ALL="C.UTF-8", PYTHONPATH="/none").startswith(expected)
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    subprocess.run([commands / "sandbox", "--root", place, "volume", "create", "one"], check=True, capture_output=True)
    assert os.path.isdir(place + b"/volumes/one")


def test_variables_of_python(tmp_path: Path) -> None:
    """PYTHONPATH goes before what is installed, and nothing of the directory of the commands is ever imported."""
    commands = environment(tmp_path / "env")
    (commands / "gc.py").write_text("raise SystemExit('imported')")
    (commands / "fcntl.py").write_text("raise SystemExit('imported')")
    assert said(commands / "sandbox", "--help", PYTHONSAFEPATH="").startswith(USAGE)
    assert said(commands / "sandbox", "--help", PYTHONSAFEPATH="1").startswith(USAGE)
    other = tmp_path / "other" / "sandbox"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("print('another')\nraise SystemExit")
    assert said(commands / "sandbox", "--help", PYTHONPATH=str(other.parent)) == "another\n"


def test_ctop_starts_without_site(tmp_path: Path) -> None:
    """As the sandbox does; its exit codes and its one line of complaint are main()'s."""
    commands = environment(tmp_path / "env")
    (tmp_path / "sitecustomize.py").write_text("print('site')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    replays = [((*words, "--replay", "none"), 1) for words in (("--once", "--at", "x"), ("--json",), ("--jsonl",))]
    for words, code in (("-d", "0"), 2), *replays:
        done = subprocess.run([commands / "ctop", *words], capture_output=True, text=True, check=False, env=env)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
        assert done.stderr.startswith("ctop: ")


def byte_code(commands: Path) -> Path:
    """Give an environment a copy of our packages, with the byte code that starts the commands, and return that."""
    packages = commands.parent / "lib" / VERSION / "site-packages"
    for name in ("sandbox", "inspector"):
        (packages / name).unlink()
        shutil.copytree(Path(REPOSITORY, name), packages / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert said(commands / "sandbox", "--help", PYTHONDONTWRITEBYTECODE="").startswith(USAGE)
    return Path(cache_from_source(str(packages / "sandbox" / "finding.py")))


def replace_code(place: Path, text: str) -> None:
    """Have other byte code in the place of what is there, for the same source."""
    code = marshal.dumps(compile(text, "", "exec"))
    place.write_bytes(place.read_bytes()[:16] + code)


def test_byte_code_starts_the_commands(tmp_path: Path) -> None:
    """Where it is there Python compiles nothing; all arrives as it was, also variables that have the names of ours."""
    commands = environment(tmp_path / "env")
    place = byte_code(commands)
    for name, begin in (("sandbox", USAGE), ("sandbox-oci", "usage: sandbox oci"), *INSPECTING):
        assert begin in said(commands / name, "--help")
    exported = {name: f"{name} of ours" for name in ("here", "line", "python", "code", "place", "version", "library")}
    replace_code(place, f"import os, sys; print(sys.argv[1:], [os.environ[name] for name in {[*exported]}])")
    command = commands / "sandbox"
    assert said(command, "a b", "", **exported) == f"{[str(command), 'a b', '']} {[*exported.values()]}\n"


def test_byte_code_that_is_empty(tmp_path: Path) -> None:
    """As after a loss of power: it is no program."""
    commands = environment(tmp_path / "env")
    byte_code(commands).write_bytes(b"")
    assert said(commands / "sandbox", "--help").startswith(USAGE)


def test_byte_code_of_another_source(tmp_path: Path) -> None:
    """What was compiled of another text, or for another Python, starts nothing, and is compiled anew."""
    commands = environment(tmp_path / "env")
    place = byte_code(commands)
    source = place.parent.parent / "finding.py"
    truly = place.read_bytes()
    source.write_text(source.read_text() + "\n")
    replace_code(place, "raise SystemExit('the old one')")
    os.utime(source, (place.stat().st_mtime + 1,) * 2)
    assert said(commands / "sandbox", "--help", PYTHONDONTWRITEBYTECODE="").startswith(USAGE)  # sh sees that
    place.write_bytes(truly)  # which looks newer than what it was compiled of
    assert said(commands / "sandbox", "--help", PYTHONDONTWRITEBYTECODE="").startswith(USAGE)
    assert place.read_bytes()[8:16] != truly[8:16]
    other = commands.parent / "lib" / "python3.1" / "site-packages" / "sandbox" / "__pycache__"
    other.mkdir(parents=True)
    (other.parent / "finding.py").touch()
    os.utime(other.parent / "finding.py", (0, 0))
    (other / "finding.cpython-31.pyc").write_bytes(b"of another Python")
    assert said(commands / "sandbox", "--help").startswith(USAGE)


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (("ctop", "--once", "--replay", "none"), b"inspector.ctop.options"),
        (("nsinspect", "no-such-container"), b"inspector.nsinspect.listing"),
    ],
)
def test_what_inspects_has_a_file_of_its_own(tmp_path: Path, words: tuple[str, ...], module: bytes) -> None:
    """What it imports is in another file than what the sandbox does, which the next start has no need to change."""
    commands = environment(tmp_path / "env", editable=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path / "cache")
    directory, tag = tmp_path / "cache" / REPOSITORY.lstrip("/"), sys.implementation.cache_tag
    kept = directory / f"inspector/{words[0]}/kept.{tag}.pyc"
    other = directory / f"sandbox/combined.{tag}.pyc"

    def start() -> tuple[int, int]:
        done = subprocess.run([commands / words[0], *words[1:]], capture_output=True, check=False, env=env)
        assert done.returncode == 1, done.stderr
        assert module in kept.read_bytes()
        assert module not in other.read_bytes()
        return kept.stat().st_ino, kept.stat().st_mtime_ns

    assert start() == start()
    for broken in other, kept:
        broken.write_bytes(bytes(64))
    start()


def test_what_is_started_most_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Which modules of a `run` are read together, no other verb has decided that was there before."""
    commands = environment(tmp_path / "env")
    packages = byte_code(commands).parent.parent
    files = {verb: Path(cache_from_source(str(packages.parent / place))) for verb, place in OWN.items()}
    files["ps"] = Path(cache_from_source(str(packages / "combined.py")))
    env = without_python(CGSCOPE_ROOT=str(tmp_path / "state"))
    for words in (["ps"], ["run", "--dry-run", "--rootfs", "/", "true"], ["exec", "nobody", "true"]):
        subprocess.run([commands / "sandbox", *words], env=env, capture_output=True, check=False)
        assert files[words[0]].read_bytes().endswith(MARK)
    before = {verb: files[verb].read_bytes() for verb in OWN}
    subprocess.run([commands / "sandbox", "images"], env=env, capture_output=True, check=True)
    assert {verb: files[verb].read_bytes() for verb in OWN} == before


def test_an_installation_of_another_layout(tmp_path: Path) -> None:
    """Where we are not beside the command, Python's site says where."""
    commands = environment(tmp_path / "env")
    packages = tmp_path / "env" / "lib" / VERSION / "site-packages"
    for name in ("sandbox", "inspector"):
        (packages / name).unlink()
    (packages / "elsewhere.pth").write_text(REPOSITORY)
    assert said(commands / "sandbox", "--help").startswith(USAGE)


def test_a_version_that_nobody_knows(tmp_path: Path) -> None:
    """Where the packages lie without what an installer writes beside them, as in a checkout."""
    commands = environment(tmp_path / "env")
    assert said(commands / "sandbox", "--version") == "sandbox unknown\n"
    assert said(commands / "sandbox-oci", "--version").startswith("sandbox version unknown\nspec: ")


def test_libraries_are_found_where_site_says() -> None:
    """A library of another directory than ours is found when it is asked for, as site would have had it at once."""
    text = f"import sys; sys.path.append({REPOSITORY!r}); from sandbox import finding; finding.install()"
    text += "; print('site' in sys.modules); import pytest; print(pytest.__file__)"
    told = said(sys.executable, "-SP", "-c", text)
    assert told.split() == ["False", pytest.__file__]


def test_libraries_are_found_by_whom_site_brings(tmp_path: Path) -> None:
    """A library that is installed to be edited may have a finder of its own, which a line of site's installs."""
    commands = environment(tmp_path / "env")
    packages = tmp_path / "env" / "lib" / VERSION / "site-packages"
    (packages / "editable.pth").write_text("import editable_finder")
    (packages / "editable_finder.py").write_text(FINDER.format(place=str(tmp_path / "library.py")))
    (tmp_path / "library.py").write_text("word = 'found'")
    text = f"import sys; sys.path.append({REPOSITORY!r}); from sandbox import finding; finding.install()"
    assert said(commands / "python", "-SP", "-c", f"{text}; import library; print(library.word)") == "found\n"


def test_modules_come_out_of_one_file(tmp_path: Path) -> None:
    """What a start has loaded is in one file for the next, which has the sources' own names."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    words = (sys.executable, "-SP", "-c", TELL.format(place=REPOSITORY))
    first, second = (said(*words, **kept).split() for _ in range(2))
    assert first[:2] == ["SourceFileLoader", f"{REPOSITORY}/sandbox/state.py"]
    assert second[:2] == ["_Loader", f"{REPOSITORY}/sandbox/state.py"]
    assert second[2] == f"{tmp_path}{REPOSITORY}/sandbox/combined.{sys.implementation.cache_tag}.pyc"


def copied(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Copy the packages; returns where they are, and an environment in which their byte code is kept."""
    place = tmp_path / "place"
    for name in ("sandbox", "inspector"):
        shutil.copytree(f"{REPOSITORY}/{name}", place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place, {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}


def test_a_source_that_has_changed(tmp_path: Path) -> None:
    """A source that is another than the one whose code is kept is compiled, and kept from then on."""
    place, kept = copied(tmp_path)
    words = (sys.executable, "-SP", "-c", TELL.format(place=str(place)))
    assert [said(*words, **kept).split()[0] for _ in range(2)] == ["SourceFileLoader", "_Loader"]
    with (place / "sandbox" / "state.py").open("a") as file:
        file.write("\n# changed\n")
    assert [said(*words, **kept).split()[0] for _ in range(2)] == ["SourceFileLoader", "_Loader"]
    (place / "sandbox" / "state.py").write_text("raise SystemExit('changed')")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **kept})
    assert done.stderr == "changed\n"


def test_a_group_of_modules(tmp_path: Path) -> None:
    """What one import brings is loaded at once, each module as by its own import; by that, what has changed."""
    place, kept = copied(tmp_path)
    words = (sys.executable, "-SP", "-c", TELL_ALL.format(place=str(place)))
    assert len(said(*words, **kept).split()) > 50
    assert said(*words, **kept).split() == ["True", "True"]
    for name in ("errors.py", "network/__init__.py"):
        with (place / "sandbox" / name).open("a") as file:
            file.write("\n# changed\n")
    changed = ["sandbox.errors", "sandbox.network"]
    assert said(*words, **kept).split() == ["True", "True", *changed]
    # What they import may be another group now: all are looked for once more.
    assert len(said(*words, **kept).split()) > 50
    assert said(*words, **kept).split() == ["True", "True"]


def test_what_groups_are() -> None:
    """A module that was looked for during the import of another one, and done before it, is of its group."""
    asked = ["one", "two", "three", "four", "five"]
    assert grouped(asked, ["json", "three", "two", "re", "one", "four", "five"]) == [
        ["three", "two", "one"], ["four"], ["five"]
    ]  # fmt: skip
    assert grouped([], []) == []


def test_nothing_is_kept_where_nothing_may_be(tmp_path: Path) -> None:
    """Where Python is to leave no byte code there is no file either."""
    words = (sys.executable, "-SP", "-c", TELL.format(place=REPOSITORY))
    assert said(*words, PYTHONPYCACHEPREFIX=str(tmp_path)).split()[0] == "SourceFileLoader"
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_of_the_one_file(tmp_path: Path) -> None:
    """Docstrings, and the types of functions; not those of the fields of values, which say how one is decoded."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    text = TELL.format(place=REPOSITORY) + LEFT_OUT
    first, second = (said(sys.executable, "-SP", "-c", text, **kept).splitlines()[1:] for _ in range(2))
    assert first[1] == second[1] == "{'pid': 'int'}"
    assert "Return the document" in first[0]
    assert "'container': 'str'" in first[0]
    assert second[0] == "None {}"


def test_a_full_disk_keeps_nothing(tmp_path: Path) -> None:
    """Where not all of it can be written, nothing is there afterwards, and the next start keeps it."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    words = (sys.executable, "-SP", "-c", TELL.format(place=REPOSITORY))
    directory = tmp_path / REPOSITORY.lstrip("/") / "sandbox"
    assert said(*words, **kept).split()[0] == "SourceFileLoader"
    whole = directory / f"combined.{sys.implementation.cache_tag}.pyc"
    size = whole.stat().st_size
    whole.unlink()
    # The kernel takes what there is room for, and says so with the next write only, as on a full disk.
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2}, {size // 2}))\n"
    limited = TELL.format(place=REPOSITORY).replace("finding.keep()", f"{limit}finding.keep()")
    said(sys.executable, "-SP", "-c", limited, **kept)
    assert [path.name for path in directory.iterdir() if "combined" in path.name] in ([], [whole.name])
    assert [said(*words, **kept).split()[0] for _ in range(2)] == ["SourceFileLoader", "_Loader"]


@pytest.mark.parametrize("lost", [slice(None, 64), slice(-64, -20), slice(-(20 << 10), -64), slice(4096, -4096)])
def test_a_file_that_is_broken(tmp_path: Path, lost: slice) -> None:
    """What a machine that lost its power did not write is zeros: the modules are found as without it."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    words = (sys.executable, "-SP", "-c", TELL.format(place=REPOSITORY))
    said(*words, **kept)
    whole = tmp_path / REPOSITORY.lstrip("/") / "sandbox" / f"combined.{sys.implementation.cache_tag}.pyc"
    data = bytearray(whole.read_bytes())
    data[lost] = bytes(len(data[lost]))
    whole.write_bytes(data)
    assert "sandbox/state.py" in said(*words, **kept)


def test_nobody_else_may_write_what_is_kept(tmp_path: Path) -> None:
    """Whatever the umask: a daemon's is 0 often, and what it starts is root's."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    said(sys.executable, "-SP", "-c", f"import os; os.umask(0){TELL.format(place=REPOSITORY)}", **kept)
    directory = tmp_path / REPOSITORY.lstrip("/") / "sandbox"
    assert (directory / f"combined.{sys.implementation.cache_tag}.pyc").stat().st_mode & 0o022 == 0


def test_sources_that_are_gone(tmp_path: Path) -> None:
    """Another version may be installed while a command runs, which ends as ever then."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    place = tmp_path / "place"
    for name in ("sandbox", "inspector"):
        shutil.copytree(f"{REPOSITORY}/{name}", place / name, ignore=shutil.ignore_patterns("__pycache__"))
    unlink = f"import os; os.unlink({str(place / 'sandbox/state.py')!r})\n"
    gone = TELL.format(place=str(place)).replace("finding.keep()", f"{unlink}finding.keep()")
    assert said(sys.executable, "-SP", "-c", gone, **kept).split()[0] == "SourceFileLoader"


def test_a_copy_of_its_own_says_what_it_lacks(tmp_path: Path) -> None:
    """Without the entry point beside it that names its Python it is one line and 125; a link is as good as itself."""
    commands = environment(tmp_path / "env", editable=True)
    shutil.copy(commands / "sandbox", tmp_path / "sandbox")
    done = subprocess.run([tmp_path / "sandbox", "version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), "use a link" in done.stderr) == (125, 1, True), done.stderr
    (tmp_path / "sandbox").unlink()
    (tmp_path / "sandbox").symlink_to(commands / "sandbox")
    assert said(tmp_path / "sandbox", "--help").startswith(USAGE)


@pytest.mark.parametrize("then", ["finding.leave()", "pass"])
@pytest.mark.parametrize("before", ["pass", "import collections"])
def test_collections_have_their_abc(before: str, then: str) -> None:
    """It is there before collections are; whoever asks for them finds it in them, threads too."""
    code = f"import sys; sys.path.append({REPOSITORY!r}); from sandbox import finding; finding.install()"
    code += f"; {before}; {then}; from collections.abc import Set"
    code += "; import collections.abc; print(collections.abc.Set is Set)"
    assert said(sys.executable, "-S", "-c", code) == "True\n"


@pytest.mark.parametrize("words", [("--json",), ("--once",), ("-b", "-n", "1")])
def test_ctop_replays(tmp_path: Path, words: tuple[str, ...]) -> None:
    """As it is installed, and as people start it: a recording needs libraries of Python that nothing else does."""
    recording = record(tmp_path / "one.rec", [document(container("half"))])
    assert "half" in said(environment(tmp_path / "env") / "ctop", "--replay", recording, *words)


def test_threads_wait_for_a_module(tmp_path: Path) -> None:
    """What one thread imports in a group another one does not find half done."""
    place, kept = copied(tmp_path)
    (place / "sandbox" / "slow.py").write_text(SLOW)
    (place / "sandbox" / "last.py").write_text("import sandbox.slow\n")
    begin = TELL_THREADS.partition("print(")[0] + "sys.goes_on.set(); import sandbox.last; finding.keep()"
    assert said(sys.executable, "-SP", "-c", begin.format(place=str(place)), **kept) == ""
    words = (sys.executable, "-SP", "-c", TELL_THREADS.format(place=str(place)))
    assert said(*words, **kept).split() == ["first", "second", "0"]
