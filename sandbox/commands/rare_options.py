"""Docker's options of `run` and `create` that few ask for: argparse's parser alone knows them, other starts do not pay.

What the sandbox has nothing for is refused by name, with the reason, and not as an option that nobody knows.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox.attributes import with_domain
from sandbox.errors import BadValue, SandboxError
from sandbox.value import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.full_parsing import FullParser
    from sandbox.spec import Spec
    from sandbox.state import Store

__all__ = ["LINKS", "REFUSED", "add_rare_options", "refuse", "with_rare"]

REGISTRY = "there is no registry here: load or import the image"
LINKS = "there are no links: containers of one `sandbox network create` know each other by name"
REALTIME = "no share of real time is given out (`sandbox oci` does, by linux.resources.cpu)"
KERNEL_MEMORY = "the kernel keeps no such limit since Linux 5.16, and --memory covers it"
WINDOWS = "only containers of Windows have it"
REFUSED = {
    "--annotation": "annotations are for OCI runtimes: take --label",
    "--cpu-count": WINDOWS,
    "--cpu-percent": WINDOWS,
    "--io-maxbandwidth": WINDOWS,
    "--io-maxiops": WINDOWS,
    "--cpu-rt-period": REALTIME,
    "--cpu-rt-runtime": REALTIME,
    "--gpus": "there is no driver of GPUs: give their devices, with --device",
    "--kernel-memory": KERNEL_MEMORY,
    "--link": LINKS,
    "--link-local-ip": "a container has the addresses of its networks, and of --ip and --ip6",
    "--runtime": "the sandbox is the runtime; `sandbox oci` is it for other engines",
    "--use-api-socket": "there is no daemon, and no socket of one",
    "--storage-opt": "what a container writes has no quota: give it a --tmpfs with size=, or a volume that has one",
}
# What may be said for there is nothing else.
ONLY = {"isolation": ("default",), "volume_driver": ("local",), "pull": ("missing", "never")}
NONE = argparse.SUPPRESS
DEVICE_RULE = r"[abc] ([0-9]{1,9}|\*):([0-9]{1,9}|\*) [rwm]{1,3}"  # docker/cli's
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class _Refuse(argparse.Action):
    """An option that ends the command with the reason why there is none."""

    def __call__(self, *_: object) -> NoReturn:
        raise SandboxError(f"{self.option_strings[0]}: {self.metavar}")


class _Keep(argparse.Action):
    """An option whose values are kept in `rare`, which is there when any is given."""

    def __call__(self, parser: object, namespace: argparse.Namespace, value: object, *_: object) -> None:  # noqa: ARG002
        vars(namespace).setdefault("rare", {}).setdefault(self.dest, []).append(value)


def refuse(parser: FullParser, reasons: Mapping[str, str]) -> None:
    """Add options that are refused by name, each with its reason; they are no part of the help."""
    for option, why in reasons.items():
        parser.add_argument(option, action=_Refuse, nargs="?", default=NONE, metavar=why, help=NONE)


def add_rare_options(parser: FullParser) -> None:
    """Add them."""

    def add(*names: str, metavar: str, text: str) -> None:
        parser.add_argument(*names, action=_Keep, default=NONE, metavar=metavar, help=text)

    add("--domainname", metavar="NAME", text="its NIS domain, and what its host name ends in")
    add("--device-cgroup-rule", metavar="RULE", text="more devices that may be used: 'c 42:* rmw'")
    add("--dns-option", "--dns-opt", metavar="OPT", text="an option of resolv.conf")
    add("--blkio-weight-device", metavar="PATH:WEIGHT", text="share of one disk, such as /dev/sda:100")
    add("--platform", metavar="OS/ARCH", text="refuse an image of another one")
    add("--pull", metavar="POLICY", text="missing or never: images come from archives")
    add("--isolation", metavar="KIND", text="default")
    add("--volume-driver", metavar="KIND", text="local")
    parser.add_argument("--net-alias", dest="aliases", action="append", default=NONE, help=NONE)
    for names in (("-q", "--quiet"), ("--disable-content-trust",)):
        parser.add_argument(*names, action="store_true", default=NONE, help="as always: nothing is pulled")
    refuse(parser, REFUSED)


def with_rare(made: Spec, rare: Mapping[str, Sequence[str]], store: Store) -> Spec:
    """Return a container with what these options ask for; SandboxError for what makes no sense."""
    from sandbox.commands.limit_options import device_weight  # noqa: PLC0415

    for name, known in ONLY.items():
        for value in rare.get(name, ()):
            if value not in known:
                why = REGISTRY if name == "pull" else f"{known[0]} is all there is"
                raise SandboxError(f"--{name.replace('_', '-')} {value}: {why}")
    for text in rare.get("platform", ()):
        _check_platform(text, made, store)
    rules, options = (tuple(rare.get(name, ())) for name in ("device_cgroup_rule", "dns_option"))
    for text in rules:
        if not re.fullmatch(DEVICE_RULE, text):
            raise BadValue(f"invalid device cgroup format {text!r}: the form is 'c 42:* rmw'")
    if any(not option.split() or "\n" in option for option in options):
        raise BadValue("--dns-option: an empty one, or of more than a line")
    domain = rare.get("domainname", ("",))[-1]
    if domain and made.sharing.uts:
        raise SandboxError("conflicting options: domainname and the UTS mode")
    weights = map(device_weight, rare.get("blkio_weight_device", ()))
    changed: dict[str, Any] = {
        "attributes": with_domain(made.attributes, domain),
        "device_rules": rules,
        "network": replace(made.network, dns_options=options),
        "limits": replace(made.limits, throttles=(*made.limits.throttles, *weights)),
    }
    return replace(made, **changed)


def _check_platform(text: str, made: Spec, store: Store) -> None:
    """Refuse an image that is not made for what was asked for; a directory is this machine's."""
    from sandbox.images.store import Images  # noqa: PLC0415

    system, _, architecture = text.lower().partition("/")
    config: Mapping[str, Any] = {}
    if made.image.id:
        config = Images(store.root).find(made.image.id).config
    machine = os.uname().machine
    has = (str(config.get("os") or "linux"), str(config.get("architecture") or MACHINES.get(machine, machine)))
    wanted = (system, MACHINES.get(architecture.partition("/")[0], architecture.partition("/")[0]) or has[1])
    if wanted != has:
        name = made.image.name or made.rootfs
        raise SandboxError(f"{name} was found, but is not of the platform {text}: it is of {'/'.join(has)}")
