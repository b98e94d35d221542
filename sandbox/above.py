"""The cgroups above a container's own that go with the last container in them: which, and whether they still are those.

A path alone does not tell: when a container has ended, and until it is removed, somebody else may make a cgroup of
his own where one of ours was. The kernel gives every directory of a hierarchy a number of its own (64 bits of kernfs,
which it does not give again), so that device, number and boot tell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from sandbox.control import Step
from sandbox.liveness import boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.state import Document

__all__ = ["foretell", "identified", "still_there"]


def foretell(steps: Iterable[Step], own: Collection[str], others: Callable[[], Iterable[Document]]) -> dict[str, str]:
    """Return the cgroups above a container's `own` that go with the last one in them, as things stand before creating.

    Those that are missing, and those that another container was recorded for. `others` gives the documents of those
    that are there: asked for last, as who makes a cgroup has recorded it before. Nothing but the boot is known of them
    yet: who is killed now leaves them to be found by their paths.
    """
    above = [step.path for step in steps if step.action == "mkdir" and step.path not in own]
    found = [path for path in above if not os.path.exists(path)]
    if len(found) < len(above):
        recorded = {path for text in others() for path in still_there(text["Cgscope"]["MadeCgroups"])}
        found += [path for path in above if path in recorded and path not in found]
    return dict.fromkeys(found, boot_id()) if found else {}


def identified(paths: Iterable[str]) -> dict[str, str]:
    """Return what tells each of these cgroups from another of its path; those that are gone are left out."""
    found = {path: _identity(path) for path in sorted(paths)}
    return {path: identity for path, identity in found.items() if identity}


def _identity(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{boot_id()} {found.st_dev}:{found.st_ino}"


def still_there(recorded: Mapping[str, str] | Sequence[str], *, starting: bool = True) -> list[str]:
    """Return those of the recorded cgroups that are the same ones still.

    `starting`: also those that were foretold in this boot, of a start that did not come to where they are identified.
    Of a container of 0.1.0 there are paths alone, which are believed.
    """
    if not isinstance(recorded, Mapping):
        return list(recorded)
    boot = boot_id() if starting and recorded else None
    return [path for path, identity in recorded.items() if identity in (boot, _identity(path))]
