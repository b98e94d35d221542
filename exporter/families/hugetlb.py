"""Huge pages by size: the hugetlb controller of either version."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.families.readings import at, reading
from exporter.table import Collector, Group, Row
from exporter.text import pairs
from inspector.kernel.controllers import HugePages, Hugetlb

__all__ = ["HUGETLB"]


def _sizes(hugetlb: Hugetlb) -> Iterator[tuple[str, HugePages]]:
    for size, pages in hugetlb.sizes().items():
        yield "," + pairs({"pagesize": size}), pages


HUGETLB = Collector(
    "hugetlb",
    "huge pages by size",
    (
        Group(
            (
                Row("container_hugetlb_usage_bytes", "gauge", "Huge pages in use.", at("usage_bytes")),
                Row("container_hugetlb_max_usage_bytes", "gauge", "Most huge pages in use so far.", at("peak_bytes")),
                Row("container_hugetlb_failcnt", "counter", "Times there was no huge page left.", at("failures")),
            ),
            reading("hugetlb"),
            _sizes,
        ),
    ),
    default=False,
    resources=("hugetlb",),
)
