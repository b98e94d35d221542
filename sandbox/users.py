"""Who `-u` means: looked up in the container's own /etc/passwd and /etc/group (passwd(5), group(5)).

Read here, line by line, and never through libc: its name service would load
the container's libraries into a process that still has the host's rights.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sandbox.errors import SandboxError
from sandbox.inroot import in_root_open, root_directory
from sandbox.value import Value

__all__ = ["User", "group_id", "look_up", "read_users"]

LARGEST_FILE = 1 << 20
LARGEST_ID = 2**32 - 2
PASSWD_FIELDS = 6
GROUP_FIELDS = 4


class User(Value):
    """The ids a program runs with, its home and its shell ("" where no entry tells one)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str = ""


def read_users(path: str, fields: int) -> list[list[str]]:
    """Return the entries of a passwd or group file that have at least `fields` fields; none when it is missing."""
    try:
        with root_directory() as root, open(_open_now(root, path), "rb") as file:
            text = (file.read(LARGEST_FILE) or b"").decode(errors="surrogateescape")
    except OSError:
        return []
    entries = [line.split(":") for line in text.split("\n") if not line.startswith("#")]
    return [entry for entry in entries if len(entry) >= fields and entry[2].isdecimal()]


def _open_now(root: int, path: str) -> int:
    """Open without waiting: a container may put a FIFO there."""
    return in_root_open(root, path, os.O_RDONLY | os.O_NONBLOCK)


def look_up(text: str, passwd: Sequence[list[str]], group: Sequence[list[str]]) -> User:
    """Return who `name|uid[:name|gid]` is; "" is root. A number needs no entry, a name does."""
    name, colon, group_name = text.partition(":")
    name = name or "0"
    entry = next((each for each in passwd if name in (each[0], each[2])), None)
    if entry is None and not name.isdecimal():
        raise SandboxError(f"unable to find user {name}: no matching entries in passwd file")
    uid = _id(entry[2] if entry else name)
    gid = _id(entry[3]) if entry and entry[3].isdecimal() else 0
    groups: tuple[int, ...] = ()
    if colon and group_name:
        gid = group_id(group_name, group)
    elif entry:
        groups = tuple(_id(each[2]) for each in group if len(each) >= GROUP_FIELDS and entry[0] in each[3].split(","))
    home = entry[5] if entry and len(entry) >= PASSWD_FIELDS and entry[5].startswith("/") else "/"
    shell = entry[PASSWD_FIELDS] if entry and len(entry) > PASSWD_FIELDS else ""
    # Its own group too: who runs a set-gid program shall not lose what denies that group something (CVE-2022-36109).
    return User(uid, gid, tuple(dict.fromkeys((gid, *groups))), home, shell)


def group_id(name: str, group: Sequence[list[str]]) -> int:
    """Return the id of a group that is given by name or number; a number needs no entry."""
    found = next((each[2] for each in group if name in (each[0], each[2])), None)
    if found is None and not (name.isascii() and name.isdecimal()):
        raise SandboxError(f"unable to find group {name}: no matching entries in group file")
    return _id(found or name)


def _id(text: str) -> int:
    number = int(text)
    if number > LARGEST_ID:
        raise SandboxError(f"{text} is no user or group id: the largest is {LARGEST_ID}")
    return number
