"""The documents say what is there: commands and their options, finding codes, metrics, make targets, the version."""

from __future__ import annotations

import functools
import os
import re
import sys
import tomllib

import pytest
import yaml

from inspector import findings, security
from inspector.nsinspect import facts
from tests.testbed.commands import CTOP, EXPORTER, NSINSPECT, REPOSITORY, SANDBOX, run

COMMANDS = {"ctop": CTOP, "nsinspect": NSINSPECT, "sandbox": SANDBOX, "cgscope-exporter": EXPORTER}
MANUAL = ("README.md", "docs/ctop.md", "docs/exporter.md", "docs/sandbox.md")  # what a user reads
DOCUMENTS = (*MANUAL, "CONTRIBUTING.md", "CHANGELOG.md")


def read(name: str) -> str:
    """Return a file of the repository."""
    with open(os.path.join(REPOSITORY, name), encoding="utf-8") as file:
        return file.read()


@functools.cache
def project() -> str:
    """Return the source of the three packages in one text."""
    found = []
    for package in ("inspector", "exporter", "sandbox"):
        for directory, _, names in os.walk(os.path.join(REPOSITORY, package)):
            found += [read(os.path.join(directory, name)) for name in names if name.endswith(".py")]
    return "\n".join(found)


@functools.cache
def help_of(*command: str) -> str:
    """Return a command's --help."""
    return run([*COMMANDS[command[0]], *command[1:], "--help"]).stdout


def code() -> list[str]:
    """Return the pieces of code in the manual: spans, and the lines that are typed in its blocks."""
    text = "\n".join(map(read, MANUAL))
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    typed = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return spans + typed


def options(piece: str) -> list[str]:
    """Return the options in a piece of code."""
    return re.findall(r"(?<![\w-])--?[a-z][\w.-]*", piece)


@pytest.mark.parametrize("piece", [piece for piece in code() if piece.split()[0] in COMMANDS and " " in piece])
def test_a_command_in_the_manual_is_one_that_can_be_run(piece: str) -> None:
    """Each command line in the manual has the subcommand and the options that --help lists."""
    command, *words = piece.split()
    ours = words[: words.index("--")] if "--" in words else words
    if command == "sandbox":
        subcommand = ours[0]
        assert re.search(rf"^  {subcommand}\b", help_of("sandbox"), re.MULTILINE)
        # What follows the container's name is another program's command line.
        ours = ours[: ours.index("ctop")] if "ctop" in ours else ours
        shown = help_of("sandbox", subcommand)
    else:
        shown = help_of(command)
    for option in options(" ".join(ours)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), f"{command} has no {option}"


@pytest.mark.parametrize("piece", [piece for piece in code() if piece.startswith("-")])
def test_an_option_in_the_manual_exists(piece: str) -> None:
    """Each option that the manual names by itself is in some command's --help."""
    everything = "\n".join([*map(help_of, COMMANDS), help_of("sandbox", "run")])
    for option in options(piece):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", everything), f"no command has {option}"


def test_every_finding_is_in_the_readme() -> None:
    """The README's list of finding codes is the list in the source, no more and no less."""
    section = read("README.md").split("## Findings")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE))
    source = set(findings.CODES) | set(facts.CODES) | set(security.CODES)
    assert set(re.findall(r'"code": "([a-z-]+)"', project())) <= source
    assert listed == source


def test_our_metrics_are_in_the_readme() -> None:
    """Each metric that the README lists exists, and each `cgscope_` metric is listed."""
    section = read("README.md").split("## Metrics")[1].split("\n## ")[0]
    listed = set(re.findall(r"`([a-z]+_[a-z_]+)`", section)) - {"set_by"}
    assert {name for name in listed if f'"{name}"' not in project()} == set()
    ours = set(re.findall(r'"(cgscope_[a-z_]+)"', project()))
    assert ours
    assert ours - listed == set()


def test_the_alerts_are_told() -> None:
    """Each alert of the rules, with how long it has to hold and how bad it is, and none besides."""
    groups = yaml.safe_load(read("dashboards/rules/alerts.yml"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"]]
    told = re.findall(r"^\| `([A-Z]\w+)` \| .+ \| (\w*) ?\| (\w+) \|$", read("docs/exporter.md"), re.MULTILINE)
    assert told == [(rule["alert"], rule.get("for", ""), rule["labels"]["severity"]) for rule in alerts]


def test_every_dependency_is_explained() -> None:
    """The README's table of dependencies is pyproject.toml's."""
    section = read("README.md").split("## Dependencies")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z][a-z0-9, .-]+) \|", section, re.MULTILINE)
    listed = {name for row in rows for name in row.split(", ")} - {"library"}
    required = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    assert listed == {re.split(r"[<>=]", line)[0] for line in required}


def test_make_targets_exist() -> None:
    """Each `make` target that a document names is in the Makefile, and `make` alone lists it."""
    text = "\n".join(map(read, DOCUMENTS))
    named = set(re.findall(r"(?:`|^|sudo )make ([a-z-]+)", text, re.MULTILINE))
    listed = run(["make", "--no-print-directory"]).stdout
    assert {"demo", "test"} <= named
    assert {target for target in named if f"make {target} " not in listed} == set()


@pytest.mark.parametrize("copied", ["pyproject.toml", "docs/hatch_build.py", "sandbox/scripts/start"])
def test_make_installs_anew_what_an_installation_has_a_copy_of(copied: str) -> None:
    """After a pull that changed the script that commands start with, `make install` does not leave the old one."""
    assert "install --editable" in run(["make", "-n", "-W", copied, "install"]).stdout


def test_the_changelog_has_this_version() -> None:
    """The version of pyproject.toml has its section in the changelog."""
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"## [{version}]" in read("CHANGELOG.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_links_to_is_there(name: str) -> None:
    """Each link to a file leads to one, and each `tests/...` that a document names is there."""
    text = read(name)
    linked = [os.path.join(os.path.dirname(name), path) for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", text)]
    named = re.findall(r"`(tests/[\w/.]+)`", text)
    assert [path for path in linked + named if not os.path.exists(os.path.join(REPOSITORY, path))] == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_installed_and_described(command: str) -> None:
    """The installed command answers --help as the module does, and the README describes it."""
    installed = os.path.join(os.path.dirname(sys.executable), command)
    assert run([installed, "--help"]).stdout.split() == help_of(command).split()
    assert f"**`{command}" in read("README.md")
