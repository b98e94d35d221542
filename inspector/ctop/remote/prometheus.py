"""Many machines through a Prometheus that scrapes them: three questions a tick, however many there are.

Rates are irate(): like everywhere in ctop they cover the time between the last
two looks, here Prometheus' own, whatever its scrape interval.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from inspector.ctop.remote.fleet import Sample, document_of
from inspector.ctop.remote.http import Address, RemoteError, Server, parsed
from inspector.ctop.remote.series import ABOVE, GAUGES, INFOS, MACHINE, RATES
from inspector.ctop.source import Secondhand
from inspector.schema import Document

__all__ = ["Prometheus", "matchers", "questions"]

SECONDS = 20.0
WINDOW = "5m"  # two scrapes lie in it, up to one every two minutes
MOST_TEXT = 4096
TAG = "cgscope"
MOST_MATCHERS = 1000
OF_CONTAINERS = re.compile(r"(?:container|id|image|name|namespace|pod)\b", re.ASCII)
"""Labels that the series of machines do not have: a matcher of one chooses among containers alone."""
MATCHER = re.compile(r"""\s*[A-Za-z_][A-Za-z0-9_]*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"\s*""", re.ASCII)


def matchers(text: str) -> tuple[str, ...]:
    """Return PromQL's label matchers as they go into a selector, each whole; ValueError when it is none."""
    inner = text.strip().removeprefix("{").removesuffix("}") if text.strip().startswith("{") else text
    place, found = 0, []
    while (one := MATCHER.match(inner, place)) and len(inner) <= MOST_MATCHERS and inner.isprintable():
        found.append(one[0].strip())
        place = one.end() + 1
        if one.end() == len(inner) or inner[one.end() : place] != ",":
            break
    if not found or place <= len(inner):
        example = """'job="node"' or 'job=~"a|b",cluster="x"'"""
        raise ValueError(f"must be matchers as in PromQL, such as {example}, not {text[:40]!r}")
    return tuple(found)


def questions(*, every: bool, match: Sequence[str] = ()) -> tuple[str, str, str]:
    """Return what is asked in PromQL: figures, rates, and of the machines; with `every` not of containers alone.

    `match` are matchers() that each series has to meet.
    """
    only = ",".join(('id!=""', 'id!="/"', *(() if every else ('image!=""',)), *match))
    more = "".join(f",{one}" for one in match if not OF_CONTAINERS.match(one))
    names = "|".join([*GAUGES, *INFOS])
    rates = [
        f'label_replace(irate({metric}{{{only}}}[{WINDOW}]),"{TAG}","{metric}","","")' for metric in (*RATES, *ABOVE)
    ]
    rates += [
        f'label_replace(irate(container_cpu_usage_seconds_total{{id="/"{more}}}[{WINDOW}]),"{TAG}","used_cores","","")',
        f'label_replace(container_memory_working_set_bytes{{id="/"{more}}},"{TAG}","used_bytes","","")',
    ]
    return f'{{__name__=~"{names}",{only}}}', " or ".join(rates), f'{{__name__=~"{"|".join(MACHINE)}"{more}}}'


class Prometheus(Secondhand):
    """A source that asks the Prometheus at `where`; what it does not know is unknown, not 0."""

    through = "Prometheus"

    def __init__(
        self, where: Address, *, every: bool = False, match: Sequence[str] = (), authority: str | None = None,
        insecure: bool = False,
    ) -> None:  # fmt: skip
        self.focus: str | None = None
        self._where = where
        self._questions = questions(every=every, match=match)
        self._server = Server(where, authority=authority, insecure=insecure)
        self._latest: Document | None = None
        self._since = 0.0

    def begin(self) -> None:
        """Take no sample: Prometheus has its own."""

    def __call__(self) -> Document:
        """Ask; when there is no answer the last picture stays, with a problem that says so. At first a RemoteError."""
        try:
            figures, rates, machines = map(self._ask, self._questions)
        except RemoteError as error:
            if self._latest is None:
                raise
            since = time.strftime("%H:%M:%S", time.localtime(self._since))
            return {**self._latest, "problems": [f"old since {since}: {error}", *self._latest["problems"]]}
        self._since = time.time()
        self._latest = document_of(figures, rates, machines, self._since, self._where.host)
        return self._latest

    def _ask(self, question: str) -> list[Sample]:
        form = urlencode({"query": question}).encode()
        answer = self._server.ask("/api/v1/query", seconds=SECONDS, form=form)
        found = parsed(answer.body, self._where)
        try:
            if found["status"] != "success":
                raise RemoteError(f"{self._where.shown}: {str(found['error'])[:200]}")
            return [sample for one in found["data"]["result"] if (sample := _sample(one)) is not None]
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise RemoteError(f"{self._where.shown}: that is no answer of Prometheus") from error

    def close(self) -> None:
        """End the connection."""
        self._server.close()


def _sample(one: Any) -> Sample | None:  # noqa: ANN401  of a JSON text
    """Return one series' value; None when it is no finite number."""
    labels = {str(key)[:MOST_TEXT]: str(value)[:MOST_TEXT] for key, value in one["metric"].items()}
    value = float(one["value"][1])
    if not math.isfinite(value) or abs(value) >= 1 << 63:
        return None
    return Sample(labels.pop(TAG, "") or labels.get("__name__", ""), labels, value)
