"""The options of what a program has beside its rights: resource limits, kernel settings, groups, an OOM score."""

from __future__ import annotations

from sandbox.parsing import Arguments, Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.attributes import Attributes

__all__ = ["add_attribute_options", "attributes_of"]


def add_attribute_options(parser: Parser) -> None:
    """Add them to `run` and `create`."""
    add = parser.add_argument
    add("--ulimit", action="append", default=[], metavar="NAME=SOFT[:HARD]", help="a resource limit, as nofile=1024")
    add("--sysctl", action="append", default=[], metavar="NAME=VALUE", help="a kernel setting of its own namespaces")
    add("--group-add", action="append", default=[], metavar="GROUP", help="one more group for its user")
    add("--oom-score-adj", type=int, metavar="N", help="-1000 to 1000: how soon the kernel kills it for memory")
    add("--shm-size", metavar="SIZE", help="the size of /dev/shm (default 64m)")


def attributes_of(arguments: Arguments) -> Attributes:
    """Return what was asked for; SandboxError for what makes no sense."""
    from sandbox.attributes import attributes  # noqa: PLC0415

    return attributes(
        ulimits=arguments.ulimit,
        sysctls=arguments.sysctl,
        groups=arguments.group_add,
        oom_score_adj=arguments.oom_score_adj,
        shm_size=arguments.shm_size,
    )
