"""`sandbox info` and `version`: what there is here, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.commands.output import say_line
from sandbox.parsing import Parser, new_parser

if TYPE_CHECKING:
    from typing import Any

    from sandbox.state import Store

# docker/cli cli/command/system/info.go
LABELS = {
    "ContainersRunning": " Running",
    "ContainersPaused": " Paused",
    "ContainersStopped": " Stopped",
    "Driver": "Storage Driver",
    "LoggingDriver": "Logging Driver",
    "CgroupDriver": "Cgroup Driver",
    "CgroupVersion": "Cgroup Version",
    "CgroupControllers": "Cgroup Controllers",
    "KernelVersion": "Kernel Version",
    "OperatingSystem": "Operating System",
    "NCPU": "CPUs",
    "MemTotal": "Total Memory",
    "DockerRootDir": "Docker Root Dir",
    "ServerVersion": "Server Version",
}
__all__ = ["info", "info_parser", "version", "version_parser"]


def info_parser() -> Parser:
    """Return the parser of `sandbox info`."""
    parser = new_parser("info", "[--format TEMPLATE]", "Show how many containers there are, and what this machine has.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.ContainersRunning}}', or json")
    return parser


def info(words: list[str], store: Store) -> int:
    """Show how many containers there are, and what this machine has."""
    parser = info_parser()
    arguments = parser.parse_args(words)
    from sandbox import about  # noqa: PLC0415

    if arguments.format:
        _say(about.info(store), arguments.format)
        return 0
    from sandbox.images.listing import memory_size  # noqa: PLC0415

    told = about.info(store)
    _say({LABELS.get(key, key): memory_size(told[key]) if key == "MemTotal" else told[key] for key in told})
    return 0


def version_parser() -> Parser:
    """Return the parser of `sandbox version`."""
    parser = new_parser("version", "[--format TEMPLATE]", "Show the versions of the sandbox, Python and the kernel.")
    parser.add_argument("-f", "--format", default="", help="such as '{{.Version}}', or json")
    return parser


def version(words: list[str], _: Store) -> int:
    """Show the versions of the sandbox, Python and the kernel."""
    parser = version_parser()
    arguments = parser.parse_args(words)
    from sandbox import about  # noqa: PLC0415

    told = about.version()
    # Docker has them twice, and there is no daemon to differ from us.
    both = {"Client": told, "Server": told} if arguments.format not in ("", "json") else {}
    _say({**told, **both}, arguments.format)
    return 0


def _say(facts: dict[str, Any], template: str = "") -> None:
    from sandbox.template import render  # noqa: PLC0415

    if template:
        say_line(render(facts, "{{json .}}" if template == "json" else template))
    else:
        for key, value in facts.items():
            said = ", ".join(map(str, value)) if isinstance(value, list) else value
            say_line(f"{key}: {said}" if said not in ("", None) else f"{key}:")
