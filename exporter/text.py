r"""Prometheus' text format 0.0.4 and OpenMetrics 1.0: families of samples -> text.

Many times faster than prometheus_client because a container's labels are
made into text once and then used for all its samples. In both formats a label
value is quoted and has \, " and newline escaped; everything else is UTF-8:

    container_processes{id="/docker/4f5e",name="web",image="nginx"} 3

Label values are hostile: a container chooses its name, and a cgroup may be
called anything without "/". Control characters (an operator reads /metrics in
a terminal) and lone surrogates (they cannot be encoded, and would lose the
whole scrape) become U+FFFD, and a value ends after LABEL_LIMIT characters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

__all__ = ["LABEL_LIMIT", "Family", "Kind", "clean", "header", "labels", "pairs", "write"]

LABEL_LIMIT = 512
UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


Kind = Literal["counter", "gauge", "info"]


class Family(NamedTuple):
    """One metric: `samples` are pairs of a label text made by labels(), and a value; each text at most once."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[tuple[str, float]]


def clean(value: str) -> str:
    """Return a label's value as it may be shown: printable, encodable, at most LABEL_LIMIT characters."""
    return UNPRINTABLE.sub("\ufffd", value[:LABEL_LIMIT])


def pairs(values: Mapping[str, str]) -> str:
    """Return label names and hostile values as text without braces: `id="...",name="..."`."""
    return ",".join([_pair(name, value) for name, value in values.items()])


@lru_cache(maxsize=1024)  # the same images, interfaces, devices and states come again and again
def _pair(name: str, value: str) -> str:
    return f'{name}="{clean(value).translate(ESCAPES)}"'


def labels(**values: str) -> str:
    """Return label names and hostile values as text: `{id="...",name="..."}`."""
    return f"{{{pairs(values)}}}"


def write(families: Iterable[Family], *, openmetrics: bool = False, names: Collection[str] = ()) -> str:
    """Return the families that have samples as text; with `names`, only those families.

    OpenMetrics' closing "# EOF" is left to the caller, who may have more to write.
    """
    parts: list[str] = []
    for family in families:
        if family.samples and (not names or family.name in names):
            name = family.name
            parts.append(header(name, family.kind, family.help, openmetrics=openmetrics))
            parts += [f"{name}{label} {value}\n" for label, value in family.samples]
    return "".join(parts)


def header(name: str, kind: Kind, text: str, *, openmetrics: bool) -> str:
    """Write HELP and TYPE, for which OpenMetrics has other names.

    There a counter's family lacks the samples' "_total", and a sample without
    it may not be called a counter at all (cAdvisor's container_memory_failcnt):
    a type of "unknown" keeps its name the same in both formats.
    """
    shown: str = kind
    if not openmetrics:
        shown = "gauge" if kind == "info" else kind
    elif kind == "counter" and not name.endswith("_total"):
        shown = "unknown"
    else:
        name = name.removesuffix({"counter": "_total", "info": "_info", "gauge": ""}[kind])
    return f"# HELP {name} {text}\n# TYPE {name} {shown}\n"
