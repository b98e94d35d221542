"""Docker's options: every one of its client is known to ours, or refused with a reason."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest

from sandbox import cli
from sandbox.commands.rare_options import REFUSED
from sandbox.full_parsing import full
from sandbox.limit_files import settings
from sandbox.limits import Limits, Throttle, host_config
from sandbox.network.names import resolv_conf
from sandbox.network.settings import Network
from sandbox.parsing import Parser

OPTIONS = Path(__file__).parent.parent / "data" / "docker_options.txt"
# What a verb of ours does not know of Docker's, and why.
NOT_HERE = {
    "version --kubeconfig": "of Kubernetes, which Docker's client once spoke to",
}


def parser_of(words: list[str]) -> argparse.ArgumentParser:
    """Return argparse's parser of a verb, or of a verb's verb."""
    module = importlib.import_module(f"sandbox.commands.{cli.VERBS[words[0]]}")
    made = getattr(module, f"{words[0]}_parser")()
    parser: argparse.ArgumentParser = full(made) if isinstance(made, Parser) else made
    if not words[1:]:
        return parser
    actions = parser._actions  # noqa: SLF001  there is no other list of them
    (verbs,) = (each for each in actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001
    found = verbs.choices[words[1]]
    assert isinstance(found, argparse.ArgumentParser)
    return found


def test_every_option_of_docker_is_known() -> None:
    """What `docker VERB --help` lists, ours knows under the same name; the few others have a reason."""
    unknown = set()
    for line in OPTIONS.read_text().splitlines()[1:]:
        verb, _, options = line.partition(":")
        known = parser_of(verb.removeprefix("container ").split())._option_string_actions  # noqa: SLF001
        missing = [option for option in options.split() if option not in known]
        unknown |= {f"{verb} {option}" for option in missing if option.startswith("--")}
    assert unknown == NOT_HERE.keys()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        *((["run", option, "1"], f"{option}: {why}") for option, why in REFUSED.items()),
        (["run", "--pull=always"], "--pull always: there is no registry here: load or import the image"),
        (["run", "--isolation", "hyperv"], "--isolation hyperv: default is all there is"),
        (["run", "--volume-driver", "nfs"], "--volume-driver nfs: local is all there is"),
        (["run", "--platform", "windows/amd64"], "/ was found, but is not of the platform windows/amd64: it is of "),
        (["run", "--device-cgroup-rule", "c 1:3"], "invalid device cgroup format 'c 1:3'"),
        (["run", "--device-cgroup-rule", "c ٣:* r"], "invalid device cgroup format"),
        (["run", "--device-cgroup-rule", "x 1:3 r"], "invalid device cgroup format"),
        (["run", "--blkio-weight-device", "/dev/null:100"], "--blkio-weight-device /dev/null: not a block device"),
        (["run", "--blkio-weight-device", "/dev/null:9"], "the weight is from 10 to 1000"),
        (["run", "--blkio-weight-device", "vda"], "the form is /dev/NAME:WEIGHT"),
        (["run", "--dns-option", " "], "--dns-option: an empty one"),
        (["run", "--domainname", "x" * 65], "invalid domain name"),
        (["run", "--domainname", "x", "--uts", "host"], "conflicting options: domainname and the UTS mode"),
        (["run", "--domainname", "x\ny"], "invalid domain name"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value)[:50],
)
def test_what_is_not_here_is_refused_by_name(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the reason and 125; nothing is made."""
    code = cli.main(["--root", str(tmp_path), *words, "--rootfs", "/", "true"])
    said = capsys.readouterr().err
    assert (code, said.count("\n"), text in said) == (125, 1, True), said
    assert not (tmp_path / "containers").exists() or not any((tmp_path / "containers").iterdir())


def test_a_weight_of_one_disk() -> None:
    """It is written to the file of weights, and shown by Docker's key; no throttle is."""
    limits = Limits(throttles=(Throttle("weight", "/dev/a", "8:0", 200), Throttle("read_bps", "/dev/a", "8:0", 7)))
    assert settings("io", 1, limits) == [
        ("blkio.bfq.weight_device", "8:0 200", False), ("blkio.throttle.read_bps_device", "8:0 7", False),
    ]  # fmt: skip
    assert settings("io", 2, limits) == [("io.bfq.weight", "8:0 200", False), ("io.max", "8:0 rbps=7", False)]
    shown = host_config(limits)
    assert shown["BlkioWeightDevice"] == [{"Path": "/dev/a", "Weight": 200}]
    assert shown["BlkioDeviceReadBps"] == [{"Path": "/dev/a", "Rate": 7}]


def test_options_of_the_resolver() -> None:
    """Those that are asked for take the place of the machine's."""
    host = "nameserver 192.0.2.1\noptions rotate\nsortlist 192.0.2.0\n"
    text = resolv_conf(host, Network("host", dns_options=("ndots:3", "timeout:1")))
    assert text == "nameserver 192.0.2.1\nsortlist 192.0.2.0\noptions ndots:3 timeout:1\n"
