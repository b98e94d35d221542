"""The exceptions of the inspector.

InspectorError
├── ParseError        a kernel file does not have the form its documentation promises
├── NoSuchProcess     the PID does not exist, or died while it was being read
└── NoSuchContainer   no container has that id or name

A missing or unreadable file is not an error of ours: readers raise the
OSError of the system call, and inspector.collect decides what it means.
"""

import errno

__all__ = ["SHORTAGE", "InspectorError", "NoSuchContainer", "NoSuchProcess", "ParseError"]

# We lack what it takes to look: what is there, nobody knows then.
SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class InspectorError(Exception):
    """Base of everything the inspector raises on purpose."""


class ParseError(InspectorError, ValueError):
    """A kernel file whose content cannot be understood: names the file and the text at fault."""

    def __init__(self, what: str, text: bytes | str) -> None:
        self.what = what
        self.text = text[:200]
        super().__init__(f"cannot parse {what}: {self.text!r}")


class NoSuchProcess(InspectorError, LookupError):
    """The process does not exist, or ended while it was being read."""

    def __init__(self, pid: int, hint: str = "") -> None:
        self.pid = pid
        super().__init__(f"no process with PID {pid}{hint}")


class NoSuchContainer(InspectorError, LookupError):
    """No container answers to that id, id prefix or name."""

    def __init__(self, name: str, hint: str = "") -> None:
        self.name = name
        super().__init__(f"no container with the id or name {name!r} (ctop --once lists them){hint}")
