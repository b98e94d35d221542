"""The completions in the shells that they are for: each loads the file by itself and completes as at the Tab key."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from select import select
from struct import pack
from termios import TIOCSWINSZ

import pytest

from docs import manuals
from tests.testbed.tools import need

PATIENCE = 120.0
# What is found goes to a file. zsh completes by itself at its first prompt, and ends: there is nothing to time.
ZSHRC = """
LISTMAX=100000
fpath=($SHARE/zsh/site-functions $fpath)
autoload -Uz compinit && compinit -D -u
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    local -a hits
    builtin compadd -A hits "$@"
    (( $#hits )) && print -rl -- $hits >> $FOUND
  fi
  builtin compadd "$@"
}
complete-line() { LBUFFER=$LINE; zle complete-word; print -r -- "then $BUFFER" >> $FOUND; exit }
zle -N zle-line-init complete-line
"""
BASH = """
. "$SHARE/bash-completion/completions/${LINE%% *}"
set -- $(complete -p "${LINE%% *}")
while [ "$1" != -F ]; do shift; done
read -ra COMP_WORDS <<< "$LINE"
[ "$LINE" = "${LINE% }" ] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$LINE COMP_POINT=${#LINE}
"$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""


KNOWS = """#!/bin/sh
case $1 in
images) printf 'REPOSITORY   TAG\\nbusybox   latest   1\\n<none>   <none>   2\\n' ;;
network) printf 'NETWORK ID   NAME\\n1   backend   bridge\\n' ;;
volume) echo cache ;;
*) printf 'ID  NAMES\\n1  webserver\\n2  database\\n' ;;
esac
"""


@pytest.fixture(name="share", scope="module")
def share_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the files, and commands of these names: fish completes what there is. `sandbox` knows some names."""
    directory = tmp_path_factory.mktemp("share")
    manuals.main(str(directory))
    (directory / "bin").mkdir()
    for name in manuals.parsers():
        command = directory / "bin" / name
        command.write_text(KNOWS)
        command.chmod(0o755)
    return directory


def surroundings(share: Path, line: str, home: Path) -> dict[str, str]:
    """Return an environment without anything of a person's own."""
    return {"PATH": f"{share}/bin:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(home), "ZDOTDIR": str(home),
            "SHARE": str(share), "LINE": line, "FOUND": str(home / "found")}  # fmt: skip


def bash(share: Path, line: str, home: Path) -> list[str]:
    """Return what the function that bash has been told of completes a line to."""
    words = ["bash", "--norc", "--noprofile", "-c", BASH]
    done = subprocess.run(words, env=surroundings(share, line, home), capture_output=True, text=True, check=True,
                          timeout=PATIENCE)  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split("\n")


def fish(share: Path, line: str, home: Path) -> list[str]:
    """Return what fish completes a line to, from the file that it finds by the command's name."""
    script = 'set -p fish_complete_path "$SHARE/fish/vendor_completions.d"; complete -C "$LINE"'
    done = subprocess.run(["fish", "--no-config", "-c", script], env=surroundings(share, line, home),
                          capture_output=True, text=True, check=True, timeout=PATIENCE)  # fmt: skip
    assert done.stderr == ""
    return [found.partition("\t")[0] for found in done.stdout.splitlines()]


def zsh(share: Path, line: str, home: Path) -> list[str]:
    """Return what zsh completes a line to, in a terminal, as its completion system finds the file."""
    (home / ".zshrc").write_text(ZSHRC)
    (home / "found").touch()
    ours, its = pty.openpty()
    ioctl(its, TIOCSWINSZ, pack("HHHH", 200, 200, 0, 0))  # so that it does not ask whether to show them all
    with subprocess.Popen(["zsh", "-d", "-i"], env=surroundings(share, line, home), stdin=its, stdout=its, stderr=its,
                          start_new_session=True) as shell:  # fmt: skip
        os.close(its)
        try:
            while select([ours], [], [], PATIENCE)[0] and os.read(ours, 4096):
                pass
        except OSError:  # its end of the terminal is closed
            shell.wait(PATIENCE)
        finally:
            shell.kill()
            os.close(ours)
    return (home / "found").read_text().splitlines()


Completer = Callable[[Path, str, Path], list[str]]
SHELLS: tuple[Completer, ...] = (bash, fish, zsh)
LINES = (
    ("ctop --on", {"--once"}),
    ("ctop --cpu l", {"limit"}),
    ("nsinspect --own", {"--owner"}),
    ("cgscope-exporter --web.lis", {"--web.listen-address"}),
    ("sandbox en", {"enter"}),
    ("sandbox kill --sig", {"--signal"}),
    ("sandbox enter 1 --no-c", {"--no-cgroup"}),
    ("sandbox enter 1 prin", {"printf"}),
    ("sandbox rm webserver d", {"database"}),
    ("sandbox exec w", {"webserver"}),
    ("sandbox rmi bus", {"busybox:latest"}),
    ("sandbox run bus", {"busybox:latest"}),
    ("sandbox run --net back", {"backend"}),
    ("sandbox volume rm ca", {"cache"}),
)


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.__name__)
def test_a_shell_completes(share: Path, tmp_path: Path, shell: Completer, line: str, expected: set[str]) -> None:
    """Options, their values, verbs, processes' commands and our own containers, and nothing that does not begin so."""
    need(shell.__name__)
    found = {text for text in shell(share, line, tmp_path) if text and not text.startswith("then ")}
    assert expected <= found
    assert all(text.startswith(line.rsplit(maxsplit=1)[-1]) for text in found)


def test_zsh_puts_the_only_one_there(share: Path, tmp_path: Path) -> None:
    """An option of which there is no other is written out, also where an operand could stand."""
    need("zsh")
    assert zsh(share, "sandbox kill --sig", tmp_path)[-1] == "then sandbox kill --signal "


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.__name__)
def test_files_after_an_option_that_takes_one(share: Path, tmp_path: Path, shell: Completer) -> None:
    """--replay is followed by a file."""
    need(shell.__name__)
    (tmp_path / "recording.db").touch()
    found = shell(share, f"ctop --replay {tmp_path}/recordi", tmp_path)
    assert any(text.endswith("recording.db") for text in found)
