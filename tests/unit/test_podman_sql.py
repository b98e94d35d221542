"""Podman's pods since version 5, whose names are in SQLite: found, and no trap for who reads them (synthetic)."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.document import document
from inspector.errors import ParseError
from inspector.observe import Observer
from inspector.schema import Document
from inspector.stores.facts import Facts
from inspector.stores.sqlite import parse_podman_sql
from tests.fakehost import FakeHost

ID, POD = "0a" * 32, "cd" * 32
STORE = "/var/lib/containers/storage"
# synthetic: the tables of libpod/sqlite_state_internal.go (createSQLiteTables) that name containers and pods, and
# those they refer to.
SCHEMA = """
CREATE TABLE IDNamespace(ID TEXT PRIMARY KEY NOT NULL);
CREATE TABLE ContainerConfig(
    ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL,
    FOREIGN KEY (ID) REFERENCES IDNamespace(ID) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (PodID) REFERENCES PodConfig(ID)
);
CREATE TABLE PodConfig(
    ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL,
    FOREIGN KEY (ID) REFERENCES IDNamespace(ID) DEFERRABLE INITIALLY DEFERRED
);
"""
# What a schema may be besides: a program. The first never ends, the second makes a gigabyte, the third tells of others,
# the fourth computes, the last is long.
TRAPS = (
    """CREATE VIEW ContainerConfig AS WITH RECURSIVE e(x) AS (SELECT 1 UNION ALL SELECT x FROM e)
    SELECT x AS ID, x AS Name, x AS PodID FROM e; CREATE TABLE PodConfig(ID, Name)""",
    """CREATE VIEW ContainerConfig AS SELECT 'web' AS ID, zeroblob(1000000000) AS Name, 'p' AS PodID;
    CREATE TABLE PodConfig(ID, Name)""",
    """CREATE TABLE others(ID, Name, PodID); INSERT INTO others VALUES ('web', 'x', 'y');
    CREATE VIEW ContainerConfig AS SELECT * FROM others; CREATE TABLE PodConfig(ID, Name)""",
    """CREATE TABLE ContainerConfig(ID, Name, PodID AS (hex(zeroblob(100000000)))); CREATE TABLE PodConfig(ID, Name);
    INSERT INTO ContainerConfig VALUES ('web', 'x')""",
    """CREATE TABLE ContainerConfig(ID, Name, PodID); CREATE TABLE PodConfig(ID, Name);
    WITH RECURSIVE e(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM e LIMIT 20000)
    INSERT INTO ContainerConfig SELECT x, x, x FROM e""",
)


def libpod(path: Path | str, *more: str) -> sqlite3.Connection:
    """Write a database of Podman's in which "web" is in the pod "shop", and "alone" in none."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    config = json.dumps({"padding": "x" * 10_000})  # as long as they are: it continues on pages of its own
    others = [(f"{number:064x}", f"other-{number}", None, config) for number in range(50)]
    rows = [*others, (ID, "web", POD, config), ("ee", "alone", None, config)]
    connection.executemany("INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT INTO PodConfig VALUES (?, 'shop', ?)", (POD, config))
    connection.commit()
    for statement in more:
        connection.execute(statement)
    return connection


def look(fake: FakeHost) -> Document:
    """Look at a machine with one container of Podman's, in a pod of which its bundle has the id alone."""
    cgroup = f"/machine.slice/libpod-{ID}.scope"
    conmon = f"/usr/bin/conmon\0-c\0{ID}\0-b\0{STORE}/overlay-containers/{ID}/userdata\0-n\0web"
    fake.process(4000, "conmon", cmdline=conmon)
    fake.process(
        4242, "app", ppid=4000, ns_pids=(4242, 1), namespaces={"pid": 4026532001, "mnt": 4026532002}, cgroups=cgroup
    )
    annotations = {"io.kubernetes.cri-o.SandboxID": POD}
    bundle = f"{STORE}/overlay-containers/{ID}/userdata/config.json"
    fake.file(bundle, json.dumps({"annotations": annotations}))
    with fake.open() as host:
        observer = Observer(host, groups=False)
        return document(observer.tick(), observer.tick())


@pytest.fixture(params=["db.sql", "libpod/db.sql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where Podman keeps its database, which depends on its configuration."""
    path: Path = tmp_path / STORE[1:] / request.param
    path.parent.mkdir(parents=True)
    return path


def test_a_pod_of_podman_5_has_its_name(tmp_path: Path, place: Path) -> None:
    """Name and pod of a container stand in db.sql, also while a transaction of Podman's holds it locked."""
    with contextlib.closing(libpod(place, "BEGIN EXCLUSIVE", "UPDATE PodConfig SET Name = 'torn'")):
        found = look(FakeHost(tmp_path, "v2"))
    [one] = found["containers"]
    assert found["problems"] == []
    assert (one["runtime"], one["name"], one["pod"]) == ("podman", "web", "shop")
    assert not list(place.parent.glob("db.sql?*"))


def test_what_the_database_says() -> None:
    """A container without a pod has a name alone, and one that is not there nothing."""
    data = DATA
    assert parse_podman_sql(data, ID) == Facts(name="web", pod="shop", pod_id=POD)
    assert parse_podman_sql(data, "ee") == Facts(name="alone")
    assert parse_podman_sql(data, "\udcff") == parse_podman_sql(data, ID[:-1]) == Facts()


def test_a_database_with_a_write_ahead_log_is_read(tmp_path: Path) -> None:
    """Podman 4.4 switched to WAL: what has come out of the log into the file is known."""
    connection = libpod(tmp_path / "db.sql", "PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO PodConfig VALUES ('1', 'kept', '{}')")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (tmp_path / "db.sql").read_bytes()
    assert data[18:20] == b"\2\2"
    assert parse_podman_sql(data, ID).pod == "shop"
    connection.close()


@pytest.mark.parametrize("trap", TRAPS)
def test_a_schema_is_not_executed(trap: str) -> None:
    """Views, generated columns and tables without an index are anyone's program: refused, in few steps."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(trap)
        data = connection.serialize()
    with pytest.raises(ParseError, match="not a database of Podman's"):
        parse_podman_sql(data, "web")


@pytest.mark.parametrize("what", ["cut", "huge", "binary", "symlink", "fifo"])
def test_a_bad_database_is_told_of_and_the_pod_goes_by_its_id(tmp_path: Path, place: Path, what: str) -> None:
    """Nothing waits, nothing outside of the store is read, and the container is there with what else is known."""
    elsewhere = tmp_path / "elsewhere"
    libpod(elsewhere).close()
    data = elsewhere.read_bytes()
    if what == "symlink":
        place.symlink_to(elsewhere)
    elif what == "fifo":
        os.mkfifo(place)
    else:
        place.write_bytes({"cut": data[: len(data) // 2], "binary": bytes(range(256)) * 20, "huge": data}[what])
    if what == "huge":
        with place.open("r+b") as file:
            file.truncate(1 << 40)
            file.seek(28)
            file.write((1 << 28).to_bytes(4, "big"))  # as many pages, says its header
    found = look(FakeHost(tmp_path, "v2"))
    [one] = found["containers"]
    assert one["pod"] == POD[:12]
    assert [str(place.name) in problem for problem in found["problems"]] == ([] if what == "fifo" else [True])


with contextlib.closing(libpod(":memory:")) as made:
    DATA = made.serialize()


@given(st.lists(st.tuples(st.integers(0, len(DATA) // 4096 - 1), st.integers(0, 4095), st.integers(0, 255))))
@example([(0, 3700, 128)])  # in a column's name
def test_no_damage_raises_anything_but_a_parse_error(damages: list[tuple[int, int, int]]) -> None:
    """Whatever bytes are damaged, the facts are text, or it is a ParseError."""
    data = bytearray(DATA)
    for page, at, byte in damages:
        data[page * 4096 + at] = byte
    try:
        facts = parse_podman_sql(bytes(data), ID)
    except ParseError:
        return
    assert all(isinstance(value, str) for value in (facts.name, facts.pod, facts.pod_id))
