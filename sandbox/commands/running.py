"""`sandbox run`: a program in a new container."""

from __future__ import annotations

import os

from sandbox.commands.attribute_options import add_attribute_options, attributes_of
from sandbox.commands.file_options import add_file_options, mounts_of, source_of, with_image
from sandbox.commands.lifecycle_options import add_lifecycle_options, environment_of, lifecycle_of, write_id
from sandbox.commands.limit_options import add_changeable, add_fixed, limit_values
from sandbox.commands.network_options import add_network_options, network_of
from sandbox.commands.sharing_options import add_sharing_options, sharing_of
from sandbox.document import CGROUP_PARENT
from sandbox.errors import SandboxError
from sandbox.parsing import Arguments, Parser, boolean, new_parser, parse_up_to_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.attach import Attaching
    from sandbox.full_parsing import FullParser
    from sandbox.prepare import Prepared
    from sandbox.spec import Spec
    from sandbox.state import Store

__all__ = ["add_container_options", "prepare_from", "run", "run_parser", "spec_of"]

STREAMS = ("stdin", "stdout", "stderr")


def run_parser() -> Parser:
    """Return the parser of `sandbox run`."""
    parser = new_parser("run", "[OPTIONS] IMAGE|--rootfs DIR [COMMAND [ARG...]]", "Start a program in a new container.")
    add_container_options(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="in the background; prints the container's id")
    keys = "what leaves it and lets it go on (with -t; default ctrl-p,ctrl-q)"
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help=keys)
    signals = "pass signals on to it (default true); one that is not ends us, and it goes on"
    parser.add_argument("--sig-proxy", type=boolean, default=True, metavar="true|false", help=signals)
    return parser


def add_container_options(parser: Parser) -> None:
    """Add what `run` and `create` may be told of a container."""
    add = parser.add_argument
    parser.add_rare = _add_rare
    add_file_options(parser)
    add("-i", "--interactive", action="store_true", help="give it our standard input")
    add("-t", "--tty", action="store_true", help="give it a terminal")
    streams = "only stdin, stdout or stderr (all of them otherwise)"
    add("-a", "--attach", action="append", default=[], type=str.lower, choices=STREAMS, metavar="STREAM", help=streams)
    add("--rm", action="store_true", help="remove the container when it ends")
    add("--name", default="", help="its name; one is invented otherwise")
    add("-h", "--hostname", default="", help="its host name (default: its short id)")
    add("-e", "--env", action="append", default=[], metavar="K[=V]", help="an environment variable")
    add("-w", "--workdir", default="", metavar="DIR", help="where the program starts (default /, or the image's)")
    add("-u", "--user", default="", metavar="USER[:GROUP]", help="name or number, by the container's passwd")
    add("--cap-add", action="append", default=[], metavar="CAP", help="grant a capability, or ALL")
    add("--cap-drop", action="append", default=[], metavar="CAP", help="take a capability, or ALL")
    add("--device", action="append", default=[], metavar="HOST[:CTR][:rwm]", help="a device, or a directory of some")
    options = "seccomp=FILE|unconfined, apparmor=NAME, no-new-privileges, systempaths=unconfined"
    add("--security-opt", action="append", default=[], metavar="OPT", help=options)
    add("--privileged", action="store_true", help="all capabilities and devices, nothing masked")
    add_sharing_options(parser)
    add_network_options(parser)
    add_attribute_options(parser)
    add_changeable(parser)
    add_fixed(parser)
    add("--limits-best-effort", action="store_true", help="warn of a limit that cannot be set, and go on")
    add("--cgroup-parent", default=CGROUP_PARENT, metavar="PATH", help="the cgroup that its cgroup is made in")
    add_lifecycle_options(parser)
    add("--init", action="store_true", help="a small PID 1 that reaps orphans and passes signals on")
    add("--dry-run", action="store_true", help="print what would be done, and do nothing")
    add("--explain", action="store_true", help="tell each system call as it is done, and why, on standard error")


def _add_rare(parser: FullParser) -> None:
    from sandbox.commands.rare_options import add_rare_options  # noqa: PLC0415

    add_rare_options(parser)


def prepare_from(arguments: Arguments, parser: Parser, store: Store) -> Prepared:
    """Return the container that the command line of `run` or `create` describes."""
    from sandbox.prepare import prepare  # noqa: PLC0415

    return prepare(spec_of(arguments, parser, store), store, os.environ)


def run(words: list[str], store: Store) -> int:
    """Start a program in a new container."""
    parser = run_parser()
    arguments = parse_up_to_program(parser, words, "command")
    from sandbox import container  # noqa: PLC0415

    if arguments.attach and arguments.detach:
        raise SandboxError("conflicting options: cannot specify both --attach and --detach", 1)
    if arguments.interactive and arguments.tty and not (arguments.detach or arguments.dry_run) and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", 1)
    how = _attaching(arguments)
    prepared = prepare_from(arguments, parser, store)
    if arguments.dry_run:
        from sandbox.commands.output import say_line  # noqa: PLC0415

        say_line(prepared.describe(store))
        return 0
    if arguments.explain:
        from sandbox import explain  # noqa: PLC0415

        explain.start()
    with write_id(arguments.cidfile, prepared.document["Id"]):
        return container.run(prepared, store, how)


def _attaching(arguments: Arguments) -> Attaching | None:
    """Return how `run` attaches; None where that is to all of a program without a terminal, or to nothing."""
    usual = not (arguments.tty or arguments.attach or not arguments.sig_proxy)
    if arguments.detach or (usual and not arguments.detach_keys):
        return None
    from sandbox.attach import DETACH_KEYS, Attaching, parse_keys  # noqa: PLC0415

    keys = parse_keys(arguments.detach_keys or DETACH_KEYS)
    if usual:  # without a terminal none are looked for
        return None
    names = arguments.attach or STREAMS
    return Attaching(
        stdin=arguments.interactive and "stdin" in names,
        signals=arguments.sig_proxy,
        tty=arguments.tty,
        keys=keys,
        shown=frozenset(number for number, name in enumerate(STREAMS) if number and name in names),
    )


def spec_of(arguments: Arguments, parser: Parser, store: Store) -> Spec:
    """Return the container that the options of `run` describe."""
    made = _usual(arguments, parser, store)
    if not (rare := vars(arguments).get("rare")):
        return made
    from sandbox.commands.rare_options import with_rare  # noqa: PLC0415

    return with_rare(made, rare, store)


def _usual(arguments: Arguments, parser: Parser, store: Store) -> Spec:
    """Return the container as the options that are not rare describe it."""
    from sandbox import capabilities, security, spec  # noqa: PLC0415
    from sandbox.limits import Limits  # noqa: PLC0415

    source = source_of(arguments, parser, store)
    volumes, tmpfs = mounts_of(arguments, source, store)
    return spec.Spec(
        rootfs=source.rootfs,
        argv=source.argv,
        image=source.origin,
        name=arguments.name,
        hostname=arguments.hostname,
        env=(*source.defaults.env, *environment_of(arguments)),
        workdir=arguments.workdir or os.path.join("/", source.defaults.workdir),
        user=arguments.user or source.defaults.user,
        volumes=volumes,
        tmpfs=tmpfs,
        capabilities=capabilities.select(arguments.cap_add, arguments.cap_drop, privileged=arguments.privileged),
        cap_add=tuple(arguments.cap_add),
        cap_drop=tuple(arguments.cap_drop),
        privileged=arguments.privileged,
        devices=tuple(arguments.device),
        security=security.parse(arguments.security_opt, privileged=arguments.privileged),
        sharing=sharing_of(arguments),
        network=network_of(arguments, source.defaults.ports),
        attributes=attributes_of(arguments),
        limits=Limits(**limit_values(arguments)),
        best_effort_limits=arguments.limits_best_effort,
        cgroup_parent=os.path.join("/", arguments.cgroup_parent or CGROUP_PARENT),
        lifecycle=with_image(lifecycle_of(arguments), source.defaults),
        init=arguments.init,
        read_only=arguments.read_only,
        lxcfs=arguments.lxcfs,
        interactive=arguments.interactive,
        tty=arguments.tty,
        detach=arguments.detach,
        remove=arguments.rm,
    )
