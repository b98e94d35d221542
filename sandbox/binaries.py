"""`sandbox rootfs copy`: programs with the libraries they need, as ldd(1) finds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from sandbox.errors import SandboxError

__all__ = ["copy", "parse_ldd"]

# libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f...)
# /lib64/ld-linux-x86-64.so.2 (0x00007f...)
# linux-vdso.so.1 (0x00007ff...)
# libmissing.so.1 => not found
LINE = re.compile(r"\s*(?:(?P<name>.+?) => )?(?P<path>/.*?|not found)(?: \(0x[0-9a-f]+\))?\s*")
STATIC = ("not a dynamic executable", "statically linked")
SKELETON = ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var")


def parse_ldd(text: str) -> tuple[list[str], list[str]]:
    """Return the paths that ldd names, and the libraries it could not find. Lines of no path (the vdso) are none."""
    paths, missing = [], []
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            continue
        if match["path"] == "not found":
            missing.append((match["name"] or "?").strip())
        else:
            paths.append(match["path"])
    return paths, missing


def _libraries(program: str) -> list[str]:
    """Ask ldd, which asks the dynamic linker; a static program has none."""
    if not _is_elf(program):
        return []
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603
            ["ldd", program],  # noqa: S607
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            env=environment,
        )
    except FileNotFoundError:
        raise SandboxError("ldd is not installed: it tells which libraries a program needs") from None
    output = done.stdout + done.stderr
    if any(words in output for words in STATIC):
        return []
    if done.returncode != 0:
        raise SandboxError(f"ldd {program}: {' '.join(output.split()) or 'failed'}")
    paths, missing = parse_ldd(done.stdout)
    if missing:
        raise SandboxError(f"{program}: libraries not found: {', '.join(missing)}")
    return paths


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _interpreter(path: str) -> list[str]:
    """Return the interpreter of a script: it is a program that is needed as well."""
    with open(path, "rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        return []
    words = first[2:].decode(errors="surrogateescape").split()
    return words[:2] if words and os.path.basename(words[0]) == "env" else words[:1]


def copy(destination: str, programs: Iterable[str]) -> Iterator[str]:
    """Copy programs, their interpreters and libraries below `destination`, at the paths they have here.

    Yields each path inside that was copied. A directory or name on the way
    that is a symbolic link here is an ordinary one there.
    """
    for name in SKELETON:
        os.makedirs(os.path.join(destination, name), exist_ok=True)
    os.chmod(os.path.join(destination, "tmp"), 0o1777)  # noqa: S103  as every /tmp
    done: set[str] = set()
    queue = [_find(program) for program in programs]
    while queue:
        path = queue.pop(0)
        if path in done:
            continue
        done.add(path)
        queue += [*_libraries(path), *map(_find, _interpreter(path))]
        _copy_file(path, destination)
        yield path


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise SandboxError(f"{program}: no such program", 127)
    return os.path.abspath(found)


def _copy_file(path: str, destination: str) -> None:
    root = os.path.realpath(destination)
    target = os.path.join(root, path.lstrip("/"))
    parent = os.path.dirname(target)
    # Before anything is made: what is not there yet cannot be a link.
    if not f"{os.path.realpath(parent)}/".startswith(f"{root}/"):
        raise SandboxError(f"{parent}: a symbolic link leads out of {destination}")
    os.makedirs(parent, exist_ok=True)
    # Beside it first: a program that runs cannot be overwritten, a link must not be followed.
    shutil.copy2(path, f"{target}.new")
    os.replace(f"{target}.new", target)
