"""A document that is drafted: it takes the other's place, unless that has changed, is gone, or too long has passed."""

from __future__ import annotations

import os

import pytest

from sandbox import drafting
from sandbox.drafting import Draft, keep
from sandbox.state import Document, Store
from tests.unit.test_sandbox_state import ONE, document


@pytest.fixture
def store(tmp_path: os.PathLike[str]) -> Store:
    """Make a store with one container."""
    made = Store(os.path.join(tmp_path, "state"))
    made.add(document(ONE, "one"), str)
    return made


def run(text: Document) -> None:
    """Change a document."""
    text["State"] = {"Status": "running"}


def files(store: Store) -> list[str]:
    """Return what is in the container's directory."""
    return sorted(os.listdir(store.directory(ONE)))


def test_a_draft_is_seen_when_it_is_saved(store: Store) -> None:
    """Until then the document is what it was; afterwards the draft is the document, and no other file is left."""
    draft = Draft(store, ONE, run)
    assert store.load(ONE)["State"] == {}
    assert draft.save()
    assert store.load(ONE)["State"] == {"Status": "running"}
    assert files(store) == ["state.json"]


def test_a_filesystem_that_exchanges_no_names(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the draft replaces the document, which ext4 has on the disk at once then; elsewhere it does not."""
    replaced, replace = [], os.replace

    def count(old: str, new: str) -> None:
        replaced.append(new)
        replace(old, new)

    monkeypatch.setattr(os, "replace", count)
    assert Draft(store, ONE, run).save()
    assert replaced == []
    monkeypatch.setattr(drafting, "exchange", lambda *_: False)
    assert Draft(store, ONE, run).save()
    assert len(replaced) == 1
    assert store.load(ONE)["State"] == {"Status": "running"}
    assert files(store) == ["state.json"]


def test_what_is_kept_is_the_document_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on the disk when that returns; of a container that is gone nothing is."""
    kept = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: kept.append(os.fstat(fd).st_ino))
    Draft(store, ONE, run).save()
    keep(store, ONE)
    assert kept == [os.stat(f"{store.directory(ONE)}/state.json").st_ino]
    store.remove(ONE, "one")
    keep(store, ONE)
    assert len(kept) == 1


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_others_have_changed_stays(store: Store, times: int) -> None:
    """However often it was replaced, as files' numbers come again: the draft is dropped."""
    draft = Draft(store, ONE, run)
    for _ in range(times):
        with store.changing(ONE) as text:
            text["Name"] = "two"
    assert not draft.save()
    assert (store.load(ONE)["Name"], store.load(ONE)["State"]) == ("two", {})
    assert files(store) == ["state.json"]


def test_a_draft_that_is_too_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of the time would be wrong."""
    draft = Draft(store, ONE, run)
    monkeypatch.setattr(drafting, "STALE_SECONDS", -1)
    assert not draft.save()
    assert files(store) == ["state.json"]


def test_a_container_that_is_gone(store: Store) -> None:
    """Its draft has gone with it."""
    draft = Draft(store, ONE, run)
    store.remove(ONE, "one")
    assert not draft.save()
    assert os.listdir(f"{store.root}/containers") == []


def test_no_descriptor_stays(store: Store) -> None:
    """Neither of a draft that is saved, nor of one that is dropped or cannot be written."""
    before = len(os.listdir("/proc/self/fd"))
    Draft(store, ONE, run).save()
    dropped = Draft(store, ONE, run)
    with store.changing(ONE):
        pass
    dropped.save()
    with pytest.raises(ZeroDivisionError):
        Draft(store, ONE, lambda _: 1 / 0)  # type: ignore[arg-type]
    gone = Draft(store, ONE, run)
    store.remove(ONE, "one")
    gone.save()
    assert len(os.listdir("/proc/self/fd")) == before
