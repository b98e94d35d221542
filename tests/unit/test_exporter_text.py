"""The text formats, with prometheus_client's own parsers as the judge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from exporter.text import LABEL_LIMIT, Family, clean, labels, write

ANYTHING = st.text(st.characters(codec=None, categories=None) | st.sampled_from('\\"\n{}=,# \x1b\udcff\u202e'))


def one(kind: str, name: str = "container_x_total") -> Family:
    """Return a family of one sample."""
    return Family(name, kind, "Help.", [(labels(id="/a"), 1.5)])  # type: ignore[arg-type]


@given(id_=ANYTHING, name=ANYTHING, value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 1 << 64))
def test_hostile_labels_round_trip(id_: str, name: str, value: float) -> None:
    """Whatever text a label holds, both formats give it back as cleaned, and the exact value with it."""
    families = [Family("container_processes", "gauge", "Processes.", [(labels(id=id_, name=name), value)])]
    expected = [("container_processes", {"id": clean(id_), "name": clean(name)}, value)]

    text = write(families)
    read = parser.text_string_to_metric_families(text)
    assert [(s.name, s.labels, s.value) for family in read for s in family.samples] == expected

    text = write(families, openmetrics=True) + "# EOF\n"
    read = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    assert [(s.name, s.labels, s.value) for family in read for s in family.samples] == expected


@given(ANYTHING)
def test_cleaned_text_is_harmless(value: str) -> None:
    """A cleaned value can be encoded, is short, and holds no control character but the newline."""
    cleaned = clean(value)
    assert len(cleaned.encode()) <= 4 * LABEL_LIMIT
    assert not any(ord(character) < 32 and character != "\n" for character in cleaned)
    assert not any(127 <= ord(character) < 160 for character in cleaned)


def test_escapes_are_written_as_the_format_says() -> None:
    r"""Backslash, quote and newline become \\, \" and \n; an escape sequence and a surrogate become U+FFFD."""
    assert labels(id='a\\b"c\nd') == '{id="a\\\\b\\"c\\nd"}'
    assert labels(id="\x1b[2J\udcff") == '{id="\ufffd[2J\ufffd"}'
    assert len(labels(id="x" * 5000)) == LABEL_LIMIT + len('{id=""}')


def test_a_counter_has_its_family_name_in_openmetrics() -> None:
    """OpenMetrics' TYPE line leaves "_total" out; the sample keeps it."""
    assert write([one("counter")]) == (
        '# HELP container_x_total Help.\n# TYPE container_x_total counter\ncontainer_x_total{id="/a"} 1.5\n'
    )
    assert write([one("counter")], openmetrics=True) == (
        '# HELP container_x Help.\n# TYPE container_x counter\ncontainer_x_total{id="/a"} 1.5\n'
    )


def test_cadvisors_odd_counter_keeps_its_name_in_openmetrics() -> None:
    """A counter without "_total" is of type unknown there, so that a scrape in either format stores one name."""
    family = one("counter", "container_memory_failcnt")
    assert "# TYPE container_memory_failcnt counter\n" in write([family])
    text = write([family], openmetrics=True)
    assert "# TYPE container_memory_failcnt unknown\n" in text
    read = openmetrics_parser.text_string_to_metric_families(text + "# EOF\n")  # type: ignore[no-untyped-call]
    assert [sample.name for family in read for sample in family.samples] == ["container_memory_failcnt"]


def test_info_is_a_gauge_in_the_older_format() -> None:
    """The text format knows no type "info"; OpenMetrics does, and names its family without "_info"."""
    family = Family("container_cpu_limit_info", "info", "Help.", [(labels(set_by="/a"), 1)])
    assert "# TYPE container_cpu_limit_info gauge\n" in write([family])
    assert "# TYPE container_cpu_limit info\ncontainer_cpu_limit_info{" in write([family], openmetrics=True)


def test_only_named_families_with_samples_are_written() -> None:
    """A family without samples has no header, and `names` leaves out the rest."""
    empty = Family("a", "gauge", "Help.", [])
    assert write([empty]) == ""
    assert write([one("gauge", "b"), one("gauge", "c")], names={"c"}).count("# TYPE") == 1
