"""Man pages and completions, made from the parsers: nothing is missing, and the programs they are for take them."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from docs import manuals
from inspector.ctop.keys import KEYS
from sandbox.cli import VERBS

COMMANDS = ("ctop", "nsinspect", "sandbox", "cgscope-exporter")


@pytest.fixture(name="share", scope="module")
def share_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make them all in a directory."""
    directory = tmp_path_factory.mktemp("share")
    manuals.main(str(directory))
    return directory


def test_every_command_has_a_page_and_three_completions(share: Path) -> None:
    """The files lie where man and the shells look for them."""
    found = {str(path.relative_to(share)) for path in share.rglob("*") if path.is_file()}
    pages = {f"man/man{8 if name == 'cgscope-exporter' else 1}/{name}" for name in COMMANDS}
    expected = {f"{page}.{page[7]}" for page in pages}
    for name in COMMANDS:
        expected |= {f"bash-completion/completions/{name}", f"zsh/site-functions/_{name}",
                     f"fish/vendor_completions.d/{name}.fish"}  # fmt: skip
    assert found == expected


def test_they_are_installed_with_the_package(share: Path) -> None:
    """The package that is installed here has put them where man and the shells look for them."""
    installed = [str(path) for path in metadata.files("cgscope") or ()]
    for path in filter(Path.is_file, share.rglob("*")):
        assert any(name.endswith(f"/share/{path.relative_to(share)}") for name in installed)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_tells_of_every_option(share: Path, name: str) -> None:
    """What --help lists, the page has; of ctop also the keys, of sandbox the verbs."""
    [page] = share.glob(f"man/*/{name}.*")
    text = page.read_text().replace("\\-", "-").replace("\\e", "\\")
    for action in manuals.parsers()[name]._actions:  # noqa: SLF001  argparse has no other list of them
        for option in action.option_strings if action.help != argparse.SUPPRESS else ():
            assert option in text or option in ("-h", "--help")
    # Headings are in capitals, and an option in capitals is none.
    assert [line for line in text.splitlines() if line.startswith(".SH") and "--" in line] == []
    if name == "ctop":
        assert all(key.help in text for key in KEYS)
    if name == "sandbox":
        assert all(f"sandbox {verb}" in text for verb in VERBS)


@pytest.mark.parametrize("name", COMMANDS)
def test_groff_has_no_complaint(share: Path, name: str) -> None:
    """The pages are set without a warning, at the width of a terminal."""
    if shutil.which("groff") is None:
        pytest.skip("needs groff")
    [page] = share.glob(f"man/*/{name}.*")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-Kutf8", str(page)], capture_output=True, check=True)
    assert done.stderr == b""
    assert b"cgscope" in done.stdout


def completed(share: Path, *words: str) -> list[str]:
    """Return what bash completes the last of some words to."""
    script = (
        f"source {share}/bash-completion/completions/{words[0]}\n"
        f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}\n"
        f"_shtab_{words[0].replace('-', '_')}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=share)
    return done.stdout.split()


def test_bash_completes_options_choices_files_and_verbs(share: Path) -> None:
    """The completions do what a person expects of the Tab key."""
    assert completed(share, "ctop", "--rep") == ["--replay"]
    assert completed(share, "ctop", "--cpu", "l") == ["limit"]
    assert "man" in completed(share, "ctop", "--record", "ma")
    assert completed(share, "sandbox", "free") == ["freeze"]
    assert "--rootfs" in completed(share, "sandbox", "run", "--root")
    assert completed(share, "cgscope-exporter", "--web.config") == ["--web.config.file"]


@pytest.mark.parametrize(("shell", "pattern"), [("zsh", "zsh/*/*"), ("fish", "fish/*/*"), ("bash", "bash-*/*/*")])
def test_the_shells_can_read_them(share: Path, shell: str, pattern: str) -> None:
    """No shell finds an error in its completions."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    files = sorted(share.glob(pattern))
    assert len(files) == len(COMMANDS)
    for file in files:
        done = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
