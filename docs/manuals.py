"""Man pages and completions for bash, zsh and fish, from the parsers themselves.

`python -m docs.manuals DIRECTORY` writes them as they lie below /usr/share;
docs/hatch_build.py does so when the package is built, so that none is ever
older than the command it is about.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import cast

os.environ.setdefault("SOURCE_DATE_EPOCH", "1735689600")  # a page is the same whenever it is made

import shtab
from argparse_manpage.manpage import Manpage

from exporter import options as exporter_options
from inspector import nsinspect
from inspector.ctop import usage as ctop_usage
from inspector.ctop.keys import KEYS, PANEL_KEYS
from sandbox import cli
from sandbox.full_parsing import full
from sandbox.parsing import Parser

__all__ = ["made", "main", "parsers"]

SHELLS = {
    "bash": "bash-completion/completions/{}",
    "zsh": "zsh/site-functions/_{}",
    "fish": "fish/vendor_completions.d/{}.fish",
}
# How the names of what there is are listed. No $: fish would take it for a variable of its own.
LISTED = {
    "containers": "sandbox ps -a 2>/dev/null | tail -n +2 | sed 's/.* //'",
    "images": "sandbox images 2>/dev/null | tail -n +2 | grep -v '<none>' | sed 's/  */:/; s/ .*//'",
    "networks": "sandbox network ls 2>/dev/null | tail -n +2 | sed 's/^[^ ]*  *//; s/ .*//'",
    "volumes": "sandbox volume ls -q 2>/dev/null",
}
BASH_LISTS = "\n".join(
    f'_cgscope_{kind}() {{ compgen -W "$({command})" -- "$1"; }}' for kind, command in LISTED.items()
)
ZSH_LISTS = "\n".join(f"_cgscope_{kind}() {{ compadd -- $({command}) }}" for kind, command in LISTED.items())
PREAMBLE = {
    "bash": f"""
_cgscope_pids() {{ compgen -W "$(cd /proc && echo [0-9]*)" -- "$1"; }}
{BASH_LISTS}
_cgscope_commands() {{ compgen -c -- "$1"; }}""",
    # The words that zsh gives for "the rest" begin with the operands before it: $1 of them.
    "zsh": f"""
{ZSH_LISTS}
_cgscope_program() {{
  while (( $#words > 1 && $#words > $#line - $1 )); do shift words; (( CURRENT -= 1 )); done
  _normal
}}""",
}
PIDS = {"bash": "_cgscope_pids", "zsh": "_pids", "fish": "(__fish_complete_pids)", "preamble": PREAMBLE}
NAMES = {
    kind: {"bash": f"_cgscope_{kind}", "zsh": f"_cgscope_{kind}", "fish": f"({command})", "preamble": PREAMBLE}
    for kind, command in LISTED.items()
}
PROGRAMS = {"bash": "_cgscope_commands", "zsh": "_command_names -e", "fish": "(__fish_complete_command)",
            "preamble": PREAMBLE}  # fmt: skip
COMPLETED: Mapping[str, Mapping[str, object]] = {
    "FILE": shtab.FILE, "PATH": shtab.FILE, "BIN": shtab.FILE, "DIR": shtab.DIRECTORY, "DEST": shtab.DIRECTORY,
    "PID": PIDS, "PID|CONTAINER": PIDS, "COMMAND": PROGRAMS, "CONTAINER": NAMES["containers"],
    "IMAGE": NAMES["images"], "NETWORK": NAMES["networks"], "VOLUME": NAMES["volumes"],
}  # fmt: skip
"""What completes a value, by the name that the usage gives it."""
OPERANDS = ("PID", "CONTAINER", "IMAGE", "COMMAND", "ARG")
SEE = {
    "ctop": "nsinspect(1), sandbox(1), cgscope\\-exporter(8), cgroups(7), namespaces(7)",
    "nsinspect": "ctop(1), lsns(8), namespaces(7), cgroups(7)",
    "sandbox": "ctop(1), nsinspect(1), cgroups(7), namespaces(7)",
    "cgscope-exporter": "ctop(1)",
}


def _verb_parser(name: str) -> argparse.ArgumentParser:
    module = import_module(f"sandbox.commands.{cli.VERBS[name]}")
    made = getattr(module, f"{name}_parser")()
    return full(made) if isinstance(made, Parser) else cast("argparse.ArgumentParser", made)


def sandbox_parser() -> argparse.ArgumentParser:
    """Return one parser of all verbs, which the command itself has no time to make."""
    parser = argparse.ArgumentParser(
        prog="sandbox", description="Containers made of the kernel's own files, with Docker's verbs and options.",
        epilog=cli.USAGE.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--root", metavar="DIR", help="where containers are kept")
    parser.add_argument("--version", action="store_true", help="show program's version number and exit")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name in cli.VERBS:
        verb = _verb_parser(name)
        commands.add_parser(
            name, parents=[verb], add_help=False, usage=verb.usage, description=verb.description,
            help=(verb.description or "").rstrip("."),
        )  # fmt: skip
    return parser


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    return {
        "ctop": ctop_usage.parser(),
        "nsinspect": nsinspect.parser(),
        "sandbox": sandbox_parser(),
        "cgscope-exporter": exporter_options.parser(),
    }


def _complete(parser: argparse.ArgumentParser) -> None:
    """Say what completes a value: those that a verb takes apart by itself are known from its usage alone."""
    actions = parser._actions  # noqa: SLF001  argparse has no other list of them
    named = {_name(action) for action in actions if not action.option_strings}
    for operand in OPERANDS:
        if operand not in named and re.search(rf"\b{operand}\b", parser.usage or ""):
            parser.add_argument(operand, nargs=argparse.REMAINDER if operand == "ARG" else None)
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                _complete(inner)
        elif _name(action) == "ARG":
            before = sum(not one.option_strings for one in actions) - 2
            action.complete = {**shtab.FILE, "zsh": f"_cgscope_program {before}", "preamble": PREAMBLE}  # type: ignore[attr-defined]
        elif _name(action) in COMPLETED:
            action.complete = COMPLETED[_name(action)]  # type: ignore[attr-defined]


def _name(action: argparse.Action) -> str:
    return str(action.metavar or action.dest).upper()


def _completion(parser: argparse.ArgumentParser, shell: str) -> str:
    text = str(shtab.complete(parser, shell))
    # shtab completes "one or more" of something once.
    return text.replace('"(*):', '"*:') if shell == "zsh" else text


def _page(name: str, parser: argparse.ArgumentParser, section: int) -> str:
    said = (parser.description or "").partition(".")[0]
    data = {"description": said, "manual_section": str(section), "manual_title": "cgscope", "project_name": "cgscope"}
    page = str(Manpage(parser, _data=data))
    # What comes after the options is set in columns.
    notes = re.compile(r"\.SH COMMENTS\n(.*?)(?=\n\.SH|\Z)", re.DOTALL)
    page = notes.sub(lambda found: f".SH NOTES\n.nf\n{found[1]}\n.fi", page)
    page = page[: page.index("\n.SH DISTRIBUTION")] if "\n.SH DISTRIBUTION" in page else page
    if name == "ctop":
        page = page.rstrip() + "\n" + _keys()
    return f"{page.rstrip()}\n.SH SEE ALSO\n{SEE[name]}\n"


def _keys() -> str:
    lines = []
    for title, keys in (("KEYS OF THE LIVE VIEW", KEYS), ("KEYS OF THE PAGE OF A CONTAINER", PANEL_KEYS)):
        lines.append(f".SH {title}")
        for key in keys:
            shown, text = (part.replace("\\", "\\e").replace("-", "\\-") for part in (key.shown, key.help))
            lines += [".TP", f'.B "{shown}"', text]
    return "\n".join(lines)


def made() -> dict[str, str]:
    """Return the path below /usr/share and the text of every file."""
    texts = {}
    for name, parser in parsers().items():
        section = 8 if name == "cgscope-exporter" else 1
        texts[f"man/man{section}/{name}.{section}"] = _page(name, parser, section)
        _complete(parser)
        for shell, place in SHELLS.items():
            texts[place.format(name)] = _completion(parser, shell)
    return texts


def main(directory: str) -> list[str]:
    """Write them; returns the paths below the directory."""
    texts = made()
    for path, text in texts.items():
        whole = os.path.join(directory, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(text)
    return list(texts)


if __name__ == "__main__":
    main(sys.argv[1])
