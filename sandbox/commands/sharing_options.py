"""The options that say whose namespaces a container shares."""

from __future__ import annotations

from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.sharing import Sharing

__all__ = ["add_sharing_options", "sharing_of"]


def add_sharing_options(parser: Parser) -> None:
    """Add them to `run` and `create`."""
    add = parser.add_argument
    add("--pid", default="", metavar="MODE", help="host or container:ID: share its processes")
    add("--ipc", default="", metavar="MODE", help="host or container:ID: share its IPC and /dev/shm; none: no /dev/shm")
    add("--uts", default="", metavar="MODE", help="host: share its host name")
    add("--cgroupns", default="", metavar="MODE", help="host: see its cgroups as they are called there")
    add("--userns", default="", metavar="MODE",
        help="auto: a range of ids of its own, its root is nobody outside; container:ID: that one's; host (default)")
    add("--time-offset", action="append", default=[], metavar="CLOCK=SECONDS",
        help="a clock of its own that is ahead: monotonic or boottime")  # fmt: skip


def sharing_of(arguments: Arguments) -> Sharing:
    """Return what was asked for; SandboxError for what makes no sense."""
    from sandbox.sharing import sharing  # noqa: PLC0415

    if arguments.hostname and arguments.uts:
        raise SandboxError("conflicting options: hostname and the UTS mode")
    return sharing(
        pid=arguments.pid,
        ipc=arguments.ipc,
        uts=arguments.uts,
        cgroup=arguments.cgroupns,
        user=arguments.userns,
        time_offsets=arguments.time_offset,
    )
