"""What is known of a runtime's containers: one directory each below its root, as runc has it.

<root>/<id>/state.json   the spec's state, and what finds processes and cgroups again
<root>/<id>/config.json  the bundle's as it was at `create`: what is changed there later has no effect
<root>/<id>/gate         a FIFO; its first byte starts the program
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import stat
import time
from typing import Any

from sandbox import document, freezer
from sandbox.atomic import replace_document
from sandbox.cgroup import Place
from sandbox.errors import SandboxError
from sandbox.liveness import boot_id, start_time
from sandbox.removal import remove_tree
from sandbox.state import hold

__all__ = ["Record", "Records"]

ID = re.compile(r"[\w+.-]{1,1024}", re.ASCII)
FILE = "state.json"
State = dict[str, Any]


class Record:
    """One container, as it was found; `save` writes what was changed in `state`."""

    def __init__(self, directory: str, state: State) -> None:
        self.directory = directory
        self.state = state

    @property
    def pid(self) -> int:
        """The first process, on this machine."""
        return int(self.state["pid"])

    @property
    def gate(self) -> str:
        """Where the program waits for `start`."""
        return f"{self.directory}/gate"

    @property
    def places(self) -> tuple[Place, ...]:
        """The container's cgroups."""
        return document.places_of(self.state)

    @places.setter
    def places(self, found: tuple[Place, ...]) -> None:
        self.private.update(document.private(found, 0, rootless=False))

    @property
    def private(self) -> State:
        """What only we need: cgroups, those of their parents that were made, the resources that were asked for."""
        found: State = self.state["Cgscope"]
        return found

    def status(self) -> str:
        """Return creating, created, running, paused or stopped."""
        if not self.pid:
            return "creating"
        if self.private["BootId"] != boot_id() or start_time(self.pid) != self.private["StartTime"]:
            return "stopped"
        with contextlib.suppress(SandboxError, OSError):  # no freezer is mounted here, or the container just ended
            if freezer.read(freezer.group_in(self.places)).frozen:
                return "paused"
        return "created" if os.path.exists(self.gate) else "running"

    def born(self, pid: int) -> None:
        """Record the first process."""
        self.state["pid"] = pid
        self.private.update(StartTime=start_time(pid), BootId=boot_id())
        self.save()

    def created(self) -> str:
        """Return when it was made, as RFC 3339 has it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(os.stat(self.directory).st_ctime))

    def owner(self) -> str:
        """Return who made it, by name where he has one."""
        uid = os.stat(self.directory).st_uid
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return f"#{uid}"

    def save(self) -> None:
        """Replace the record, atomically."""
        replace_document(f"{self.directory}/{FILE}", self.state)

    def remove(self) -> None:
        """Forget the container."""
        held = hold(self.directory, fcntl.LOCK_EX)
        if held is not None:
            try:
                remove_tree(self.directory)
            finally:
                os.close(held)

    def spoken(self) -> State:
        """Return the state as the spec has it: for `state`, and for hooks."""
        keys = ("ociVersion", "id", "bundle", "annotations")
        told = {"status": self.status(), "pid": self.pid}
        if told["status"] == "stopped":
            told["pid"] = 0
        return {**{key: self.state[key] for key in keys}, **told}


class Records:
    """The containers below one root."""

    def __init__(self, root: str) -> None:
        self.root = root

    def filters(self) -> str:
        """Return where the filters of their system calls are kept, which is no container's id."""
        path = f"{self.root}/~"
        with contextlib.suppress(OSError):  # without it each is made anew
            os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def add(self, ident: str, bundle: str) -> Record:
        """Reserve an id; SandboxError when it is taken or none."""
        directory = self._directory(ident)
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        held = None
        while held is None:
            self.discard(ident)
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:
                raise SandboxError(f"container with id exists: {ident}", 1) from None
            held = hold(directory, fcntl.LOCK_EX)
            if held is not None and os.fstat(held).st_nlink == 0:  # discarded by somebody before we had it
                os.close(held)
                held = None
        record = Record(directory, {"ociVersion": "1.0.2", "id": ident, "pid": 0, "bundle": bundle, "annotations": {},
                                    "Cgscope": {"Cgroups": [], "MadeCgroups": {}, "Resources": {}}})  # fmt: skip
        try:
            record.save()
        finally:
            os.close(held)
        return record

    def discard(self, ident: str) -> bool:
        """Remove the half of a record that somebody left who was killed while he made or removed it.

        False where there is a whole one, of whomever.
        """
        directory = self._directory(ident)
        self._check_owner()
        held = hold(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if held is not None:
            try:
                if not os.path.exists(f"{directory}/{FILE}"):
                    remove_tree(directory)
            finally:
                os.close(held)
        return not os.path.lexists(f"{directory}/{FILE}")

    def load(self, ident: str) -> Record:
        """Return a container; SandboxError when there is none."""
        directory = self._directory(ident)
        self._check_owner()
        try:
            with open(f"{directory}/{FILE}", encoding="utf-8") as file:
                state = json.load(file)
        except FileNotFoundError:
            raise SandboxError(f"container does not exist: {ident}", 1) from None
        except (ValueError, OSError) as error:
            raise SandboxError(f"{directory}/{FILE}: {error}", 1) from None
        if not isinstance(state, dict) or "Cgscope" not in state:
            # containerd gives all its runtimes one root: runc's containers are there too, in files of this name.
            raise SandboxError(f"container {ident} is another runtime's: {directory}/{FILE}", 1)
        return Record(directory, state)

    def all(self) -> list[Record]:
        """Return all containers, by id."""
        found = []
        self._check_owner()
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.root)):
                with contextlib.suppress(SandboxError):
                    found.append(self.load(name))
        return found

    def _check_owner(self) -> None:
        """Refuse a root that others can write: what they say of processes and cgroups would be believed."""
        try:
            found = os.stat(self.root)
        except OSError:
            return
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SandboxError(f"--root {self.root}: others can write there: it has to be ours alone", 1)

    def _directory(self, ident: str) -> str:
        if not ID.fullmatch(ident) or ident in (".", ".."):
            raise SandboxError(f"invalid id {ident!r}: only letters, digits and _+-. are allowed", 1)
        return f"{self.root}/{ident}"
