"""The store, the channel and the command line, without a container."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pytest

from sandbox import above, cli, ending
from sandbox.channel import Born, Closed, Console, Go, Ready, pair
from sandbox.commands.running import run_parser
from sandbox.container import _record_failure
from sandbox.conversation import Outside, _be_born
from sandbox.errors import CommandNotFound, NoSuchContainer, SandboxError
from sandbox.launch import ourselves
from sandbox.liveness import boot_id
from sandbox.parsing import parse_up_to_program
from sandbox.remains import remove_remains
from sandbox.state import PARTS, Document, Store, owner_of

ONE, TWO = "ab" * 32, "ac" * 32


def document(container: str, name: str = "", **parts: object) -> Document:
    """Return the least document that a store keeps, and these parts."""
    bare: Document = {part: kind() for part, kind in PARTS.items()}
    return {**bare, "Id": container, "Name": name, "Created": "2026-01-01T00:00:00Z", **parts}


@pytest.fixture
def store(tmp_path: os.PathLike[str]) -> Store:
    """Make a store with two containers."""
    made = Store(os.path.join(tmp_path, "state"))
    made.add(document(ONE, "one"), lambda: "invented")
    made.add(document(TWO), lambda: "invented")
    return made


def test_finding(store: Store) -> None:
    """A container goes by its name, its id, or a beginning of the id that only it has."""
    assert store.find("one")["Id"] == ONE
    assert store.find("invented")["Id"] == TWO
    assert store.find("ac")["Id"] == TWO
    with pytest.raises(SandboxError, match="beginning of 2"):
        store.find("a")
    for name in ("", "x", "..", "/etc", "../one", "."):
        with pytest.raises(NoSuchContainer):
            store.find(name)


def test_names(store: Store) -> None:
    """A name is one container's until that is removed; an invented one that is taken is invented anew."""
    with pytest.raises(SandboxError, match="already in use"):
        store.add(document("ad" * 32, "one"), str)
    names = cycle(["one", "invented", "third"])
    store.add(document("ae" * 32), lambda: next(names))
    assert store.find("third")["Id"] == "ae" * 32
    store.remove(ONE, "one")
    store.add(document("af" * 32, "one"), str)
    assert store.find("one")["Id"] == "af" * 32


def test_links_of_names_are_short(store: Store) -> None:
    """A link of up to 59 characters needs no block of ext4; those with a whole id, of before, are as good."""
    path = f"{store.root}/names/one"
    assert len(os.readlink(path)) <= 59
    assert owner_of(path) == ONE
    os.unlink(path)
    os.symlink(ONE, path)
    assert store.find("one")["Id"] == owner_of(path) == ONE
    os.symlink("nothing of ours", f"{store.root}/names/other")
    with pytest.raises(NoSuchContainer):
        store.find("other")
    with store.lock():
        remove_remains(store)
    assert sorted(os.listdir(f"{store.root}/names")) == ["invented", "one"]
    store.remove(ONE, "one")
    assert os.listdir(f"{store.root}/names") == ["invented"]


@pytest.mark.parametrize("text", [".", "..", "....", "A", "../../..", "/", "é", "A" * 44, "/" * 64])
def test_a_link_to_no_id_is_nobodys(store: Store, text: str) -> None:
    """A link among the names that leads to no container does not keep its name from one."""
    os.symlink(text, f"{store.root}/names/odd")
    with pytest.raises(NoSuchContainer):
        store.find("odd")
    store.claim_name(ONE, "odd")
    assert store.find("odd")["Id"] == ONE


def test_remains_are_removed(store: Store) -> None:
    """Half a container, half a removal and a name without container are swept away; whole ones stay."""
    os.makedirs(store.directory("ba" * 32))
    os.makedirs(f"{store.root}/containers/.{'bb' * 32}/upper")
    os.symlink("bc" * 32, f"{store.root}/names/nobody")
    with store.lock():
        remove_remains(store)
    assert sorted(os.listdir(f"{store.root}/containers")) == [ONE, TWO]
    assert sorted(os.listdir(f"{store.root}/names")) == ["invented", "one"]


@pytest.mark.parametrize("spared", [b"{", b""])
def test_what_a_power_loss_left_is_removed(store: Store, spared: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A document without a byte, and the name with it, as it is told; one that is damaged otherwise stays.

    So does one that was in the background, on a filesystem that writes no replacement at once: its files may matter.
    """
    Path(store.directory(ONE), "state.json").write_bytes(b"")
    Path(store.directory(TWO), "state.json").write_bytes(spared)
    if not spared:
        Path(store.directory(TWO), "state.json.spare").write_bytes(bytes(10))
    with store.lock():
        remove_remains(store)
    assert (store.ids(), os.listdir(f"{store.root}/names")) == ([TWO], ["invented"])
    assert capsys.readouterr().err == (
        f"sandbox: warning: the machine went down before container {ONE[:12]} was on the disk: it is removed\n"
    )


LACKING = json.dumps({**document(ONE, "one"), "State": []})


@pytest.mark.parametrize("text", ["{", "[]", '{"Id": "another"}', json.dumps({"Id": ONE}), LACKING])
def test_what_is_damaged_is_removed_by_force_alone(store: Store, text: str) -> None:
    """Its name, or the beginning of its id, is enough; the error names the command."""
    Path(store.directory(ONE), "state.json").write_text(text)
    with pytest.raises(SandboxError, match=f"`sandbox rm -f {ONE[:12]}` removes what is left of it"):
        ending.remove(store, "one", force=False)
    assert sorted(store.ids()) == [ONE, TWO]
    ending.remove(store, ONE[:12] if text == "{" else "one", force=True)
    assert (store.ids(), os.listdir(f"{store.root}/names")) == ([TWO], ["invented"])


def test_a_document_is_replaced_whole(store: Store) -> None:
    """Saving goes through a new file; a document that cannot be read is an error that names it."""
    text = store.load(ONE)
    store.save({**text, "More": 1})
    assert store.load(ONE)["More"] == 1
    with open(f"{store.directory(ONE)}/state.json", "w", encoding="utf-8") as file:
        file.write('{"Id": ')
    with pytest.raises(SandboxError, match=r"state\.json"):
        store.load(ONE)
    damaged: list[str] = []
    assert [found["Id"] for found in store.all(lambda error: damaged.append(str(error)))] == [TWO]
    assert len(damaged) == 1


def test_changes_of_one_container_wait_for_each_other(store: Store) -> None:
    """Who changes a document has it alone, whoever changes another; what is removed cannot be changed."""
    with store.changing(ONE) as one, store.changing(TWO, durable=True) as two:
        one["More"], two["More"] = 1, 2
        script = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        locking = subprocess.run([sys.executable, "-c", script, store.directory(ONE)], capture_output=True, check=False)
        assert b"BlockingIOError" in locking.stderr
    assert (store.load(ONE)["More"], store.load(TWO)["More"]) == (1, 2)
    store.remove(ONE, "one")
    with pytest.raises(NoSuchContainer), store.changing(ONE):
        pass


def test_a_name_is_changed_in_two_steps(store: Store) -> None:
    """The new name is taken before the old one is free, and neither can be another's meanwhile."""
    store.claim_name(ONE, "other")
    assert store.find("one")["Id"] == store.find("other")["Id"] == ONE
    with pytest.raises(SandboxError, match="already in use"):
        store.claim_name(TWO, "one")
    store.free_name(TWO, "one")
    assert store.find("one")["Id"] == ONE
    store.free_name(ONE, "one")
    with pytest.raises(NoSuchContainer):
        store.find("one")


def test_room_where_there_is_no_fallocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filesystem that cannot set blocks aside gets them written; any other error is one."""
    store = Store(str(tmp_path))
    store.add(document(ONE, "one"), lambda: "unused")

    def refuse(number: int) -> None:
        def instead(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", instead)

    refuse(errno.EOPNOTSUPP)
    store.reserve(ONE)
    found = os.stat(tmp_path / "containers" / ONE / "state.json.spare")
    assert found.st_blocks * 512 >= found.st_size >= 24 << 10
    refuse(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left") as full:
        store.reserve(ONE)
    assert full.value.filename == f"{tmp_path}/containers/{ONE}/state.json.spare"


def test_messages() -> None:
    """Messages arrive typed, with their descriptor; an error arrives whole, with its exit code."""
    ours, theirs = pair()
    theirs.send(Born(7))
    assert ours.expect(Born) == Born(7)
    reading, writing = os.pipe()
    theirs.send(Console(), writing)
    got = ours.expect_descriptor(Console)
    os.write(got, b"x")
    assert os.read(reading, 1) == b"x"
    for fd in (reading, writing, got):
        os.close(fd)
    theirs.send_error(CommandNotFound("no such program"))
    with pytest.raises(SandboxError, match="no such program") as caught:
        ours.expect(Ready)
    assert caught.value.exit_code == 127
    theirs.send(Go())
    with pytest.raises(SandboxError, match="unexpected Go"):
        ours.expect(Ready)
    theirs.close()
    ours.expect_end()
    with pytest.raises(Closed):
        ours.expect(Ready)
    with pytest.raises(Closed):
        ours.send(Go())
    ours.close()


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("sends", [False, True])
def test_why_the_other_side_has_gone(*, unread: bool, sends: bool) -> None:
    """What it said last is what is raised, to who sends as to who receives, also where it has not read all."""
    ours, theirs = pair()
    if unread:
        ours.send(Go())
    theirs.send_error(CommandNotFound("no such program"))
    theirs.close()
    with pytest.raises(SandboxError, match="no such program") as caught:
        ours.send(Go()) if sends else ours.expect(Ready)
    assert caught.value.exit_code == 127
    with pytest.raises(Closed):
        ours.send(Go())
    ours.close()


def test_long_errors_fit() -> None:
    """An error of any length and bytes is cut, not lost."""
    ours, theirs = pair()
    theirs.send_error(OSError(2, "x" * 100_000 + "\udcff", "/p"))
    with pytest.raises(SandboxError, match="xxx"):
        ours.expect_end()
    ours.close()
    theirs.close()


def test_cgroups_above_are_known_again(tmp_path: os.PathLike[str]) -> None:
    """By what they are, or in the boot of a start that was killed by their paths; those of 0.1.0 by these alone."""
    one, other = os.path.join(tmp_path, "one"), os.path.join(tmp_path, "other")
    os.mkdir(one)
    recorded = above.identified([one, other])
    assert list(recorded) == above.still_there(recorded) == [one]
    os.rename(one, other)
    os.mkdir(one)
    assert above.still_there(recorded) == []
    assert above.still_there({one: boot_id()}) == above.still_there([one]) == [one]
    assert above.still_there({one: boot_id()}, starting=False) == above.still_there({one: "another boot"}) == []


def test_an_error_that_has_no_words() -> None:
    """Whatever fails while an error is told stays there: a new process would go on with its parent's code."""

    class Speechless(Exception):
        def __str__(self) -> str:
            raise LookupError

    ours, theirs = pair()
    theirs.send_error(Speechless())
    theirs.close()
    with pytest.raises(Closed):
        ours.expect(Ready)
    ours.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 125),
        (["--help"], 0),
        (["run", "--help"], 0),
        (["nosuch"], 1),
        (["run", "--rootfs", "/"], 125),
        (["run", "true"], 125),
        (["run", "--rootfs", "/", "--cpu-quota", "x", "true"], 125),
        (["run"], 1),
        (["exec"], 1),
        (["exec", "nobody"], 1),
        (["stop"], 1),
        (["stop", "--no-such", "x"], 125),
        (["rm", "nobody"], 1),
        (["rm", "-f", "nobody"], 0),
        (["logs", "nobody"], 1),
        (["kill", "-s", "99", "nobody"], 1),
        (["inspect", "nobody"], 1),
        (["ps"], 0),
        (["--root"], 125),
    ],
)
def test_exit_codes_of_the_command_line(
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
) -> None:
    """Bad options are one line and 125, missing words and a container that does not exist are 1, as with Docker."""
    monkeypatch.setenv("CGSCOPE_ROOT", os.path.join(tmp_path, "state"))
    try:
        got = cli.main(words)
    except SystemExit as ended:  # argparse's --help
        got = int(ended.code or 0)
    assert got == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == (1 if words and (code or words[:2] == ["rm", "-f"]) else 0)
    assert all(line.startswith("sandbox: ") for line in errors)


def test_options_end_where_the_command_begins(tmp_path: os.PathLike[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What follows the program is the program's, also what looks like an option of ours."""
    root = ["--root", os.path.join(tmp_path, "state")]
    assert cli.main([*root, "run", "--rootfs", "/", "--dry-run", "echo", "--rm", "-d", "--"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "exec   'echo' '--rm' '-d' '--'"
    assert not os.path.exists(os.path.join(tmp_path, "state"))


@pytest.mark.parametrize(("words", "flags"), [
    (["--rm=true", "-i=1", "img", "--rm=false"], (True, True, False)),
    (["--rm=false", "-i=F", "-t=T", "img"], (False, False, True)),
    (["--rm", "-it", "img", "-t=false"], (True, True, True)),
])  # fmt: skip
def test_flags_with_a_value(words: list[str], flags: tuple[bool, ...]) -> None:
    """A flag may be followed by `=true` or `=false`, as in Docker; a program keeps its own."""
    arguments = parse_up_to_program(run_parser(), words, "command")
    assert (arguments.rm, arguments.interactive, arguments.tty) == flags
    assert arguments.command == words[words.index("img") :]


def test_sockets_close_on_exec() -> None:
    """Neither end of a conversation reaches a program."""
    ours, theirs = pair()
    assert not any(os.get_inheritable(end.fileno()) for end in (ours, theirs))
    ours.close()
    theirs.close()


def test_a_first_process_that_is_gone_says_why() -> None:
    """What it could not do is told, not that its parent finds no process any more; that, of one that says nothing."""

    def look(pid: int) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"/proc/{pid}/ns/net")

    for said, told in ((SandboxError("no such filesystem", 42), "no such filesystem"), (None, "other side .* is gone")):
        ours, theirs = pair()
        if said:
            theirs.send_error(said)
        theirs.close()
        with pytest.raises(SandboxError, match=told):
            _be_born(Outside(born=look), 1, ours)
        ours.close()
    ours, theirs = pair()
    with pytest.raises(FileNotFoundError):  # it waits: what went wrong went wrong here
        _be_born(Outside(born=look), 1, ours)
    ours.close()
    theirs.close()


def test_why_it_did_not_start_is_not_another_commands(store: Store) -> None:
    """Who comes too late to start a container writes nothing into its document while the other starts it."""
    state = {"Running": False, "StartedAt": "never", "Error": "", "ExitCode": 0}
    before = {**document(ONE, "one"), "State": state, "Cgscope": {**ourselves()}}
    store.save(before)
    _record_failure(store, before, SandboxError("being started by another command"))
    assert store.load(ONE)["State"] == state
    store.save({**before, "Cgscope": {"Monitor": None}})
    _record_failure(store, before, SandboxError("no such program", 127))
    assert store.load(ONE)["State"] == {**state, "Error": "no such program", "ExitCode": 127}
