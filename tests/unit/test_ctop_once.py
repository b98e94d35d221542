"""ctop's command line and its output without the live view."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from inspector.ctop import main
from inspector.ctop.elsewhere import _source
from inspector.ctop.once import print_document, print_documents, print_table
from inspector.ctop.options import parse
from inspector.document import document as made
from inspector.kernel.host import Host
from inspector.observe import Observer
from inspector.schema import Document
from inspector.views.jsontext import to_json
from inspector.views.scene import Scene
from inspector.views.selection import Selection, select
from tests.unit.documents import container, document
from tests.unit.test_archives import NAMES, unpacked


class Fake:
    """A source of the same document, which counts its samples."""

    def __init__(self, of: Document) -> None:
        self.focus: str | None = None
        self.samples = 0
        self._document = of

    def begin(self) -> None:
        """Count a sample."""
        self.samples += 1

    def __call__(self) -> Document:
        """Return the document."""
        self.samples += 1
        return self._document


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["-d", "0.01"], "must be 0.1 to 86400 seconds, not '0.01'"),
        (["-d", "nan"], "not 'nan'"),
        (["-d", "-1"], "not '-1'"),
        (["-d", "soon"], "not 'soon'"),
        (["-s", "nonsense"], "unknown field 'nonsense'; one of cpu mem"),
        (["-o", "name,nonsense"], "unknown column 'nonsense'; some of name,node,id"),
        (["-o", ","], "names no column"),
        (["--jsonl", "-n", "0"], "must be a whole number from 1, not '0'"),
        (["--json", "-n", "3"], "-n: --json prints one document, --jsonl one a line"),
        (["-b", "--json"], "argument -b: not allowed with argument --once, --json or --jsonl"),
        (["-p", "1,x"], "must be process IDs such as 1234,5678, not '1,x'"),
        (["-p", "99999999"], "must be process IDs"),
        (["-u", "nobody-of-that-name"], "there is no user 'nobody-of-that-name'"),
        (["--at", "12:00"], "--at needs --replay"),
        (["--record", "a", "--replay", "b"], "--record and --replay do not go together"),
        (["--replay", "a", "--connect", "b"], "--replay and --connect do not go together"),
        (["--connect", "a", "-p", "1"], "-p is for this machine: it does not go with --connect"),
        (["--connect", "a", "--insecure"], "--insecure needs an https URL"),
        (["--connect", "ftp://a"], "'ftp://a' is no URL such as http://node:10071"),
        (["--connect", "http://a:port"], "Port could not be cast"),
        (["--connect", "http://me:secret@"], "is no URL such as http://node:10071"),
        (["--connect", "http://a/?q=1"], "is no URL such as http://node:10071"),
        (["--prometheus", "http://a b"], "is no URL such as http://node:9090"),
        (["--jsonl", "--once"], "not allowed with"),
        (["--cpu", "half"], "invalid choice"),
        (["web"], "unrecognized arguments: web"),
        (["--socket", "web"], "must be the path of a socket such as /run/docker.sock, not 'web'"),
    ],
)
def test_nonsense_is_refused_in_one_line(argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad command line is exit code 2 and one line on stderr that names the fault."""
    with pytest.raises(SystemExit) as exit_:
        parse(argv, terminal=False)
    assert exit_.value.code == 2
    shown = capsys.readouterr().err
    assert complaint in shown
    assert shown.count("\n") == 1


def test_without_a_terminal_there_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain ctop is live on a terminal and --once off it; NO_COLOR takes the colour."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert parse([], terminal=False).output == "once"
    assert parse([], terminal=True).output == "live"
    assert parse([], terminal=True).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not parse([], terminal=True).colour


def test_help_defines_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what CPU % and memory are and lists every column."""
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    for words in ("share of one core", "less inactive page cache", "throttled*", "KEY:WORD"):
        assert words in shown


def test_the_table_takes_two_samples() -> None:
    """--once samples twice, since rates need it, and prints the selected rows."""
    source = Fake(document(container("web"), container("db", image="postgres")))
    out = io.StringIO()
    print_table(source, parse(["-d", "0.1", "-f", "postgres", "-o", "name,memory.usage_bytes"], terminal=False), out)
    assert source.samples == 2
    assert "db" in out.getvalue()
    assert "MEMORY.USAGE_BYTES" in out.getvalue()
    assert "web" not in out.getvalue()


def test_columns_in_the_environment_are_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a terminal, $COLUMNS (as watch(1) sets it) says how wide the table may be; without it nothing is cut."""
    source = Fake(document(container("n" * 200)))
    for columns, cut in (("80", True), ("", False)):
        monkeypatch.setenv("COLUMNS", columns)
        out = io.StringIO()
        print_table(source, parse(["-d", "0.1"], terminal=False), out)
        assert ("n" * 200 not in out.getvalue()) is cut
        assert any(line.startswith("nnnn") and len(line) <= 80 for line in out.getvalue().splitlines()) is cut


def test_json_is_one_document_with_the_selected_containers() -> None:
    """--json obeys the filter, the order and -a."""
    source = Fake(document(container("a"), container("b"), container("c", kind="cgroup")))
    out = io.StringIO()
    print_document(source, parse(["--json", "-d", "0.1", "-s", "name", "-r"], terminal=False), out)
    assert [row["name"] for row in json.loads(out.getvalue())["containers"]] == ["b", "a"]


def test_jsonl_is_a_document_a_line() -> None:
    """--jsonl -n 3 prints three lines, each over an interval of its own."""
    source = Fake(document(container("a")))
    out = io.StringIO()
    print_documents(source, parse(["--jsonl", "-n", "3", "-d", "0.1"], terminal=False), out)
    assert [json.loads(line)["schema"] for line in out.getvalue().splitlines()] == [1, 1, 1]
    assert source.samples == 4


def test_hostile_names_are_harmless_in_json() -> None:
    """JSON is printable ASCII, valid for strict readers, and gives the name back; NaN is null."""
    name = "evil\x1b[31m\u202e\x9b日"
    text = to_json(document(container(name, cpu={"usage_cores": float("nan")}), container("byte\udc9b")))
    assert text.isascii()
    assert text.isprintable()
    assert "NaN" not in text
    first, second = json.loads(text)["containers"]
    assert (first["name"], first["cpu"]["usage_cores"]) == (name, None)
    assert second["name"] == "byte\\x9b"


@pytest.mark.parametrize("name", NAMES)
def test_json_says_the_same_of_containers_whether_others_are_looked_at_or_not(name: str, tmp_path: Path) -> None:
    """Without services and plain control groups a machine's containers are told to the last figure as with them."""
    unpacked(name, tmp_path)
    told = []
    for groups in (True, False):
        with Host(str(tmp_path)) as host:
            observer = Observer(host, groups=groups)
            before, after = observer.begin(), observer.tick()
        written = made(before._replace(monotonic=8.0), after._replace(monotonic=9.0, taken_at=9.0))
        told.append({**written, "containers": select(written["containers"], Selection(), Scene())})
    assert told[0] == told[1]
    assert told[0]["containers"]


@pytest.mark.parametrize(
    ("argv", "groups"),
    [
        (["--json"], False),
        (["--jsonl"], False),
        (["--json", "-a"], True),
        (["--json", "-p", "1"], True),
        (["--jsonl", "--record", "x"], True),
        (["--once"], True),
        ([], True),
    ],
)
def test_who_is_looked_at(argv: list[str], groups: bool) -> None:
    """Services and plain control groups are looked at where they are told of, counted, or may be the answer."""
    with _source(parse(argv, terminal=not argv)) as source:
        assert source._observer.groups == groups  # noqa: SLF001  what it looks at costs, and is seen nowhere else
