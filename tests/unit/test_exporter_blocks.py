"""Blocks of a page: whatever of it is kept compressed, what is sent is the same."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from exporter.blocks import WORTH_PACKING, Block, Page
from exporter.pieces import GzipStream

# Short ones, long ones, and one longer than what is sent at a time.
LINES, NUMBERS = st.binary(min_size=1, max_size=40), st.integers(0, 9000)
TEXTS = st.lists(st.builds(lambda line, number: line * number, LINES, NUMBERS))


@given(TEXTS, st.sets(st.integers(0, 20)))
def test_a_page_is_the_same_however_it_is_kept_and_sent(texts: list[bytes], settled: set[int]) -> None:
    """Plain and as gzip, with any of its blocks settled: the same bytes, and as many as it says."""
    blocks = [Block(text).settle() if place in settled else Block(text) for place, text in enumerate(texts)]
    page = Page(blocks, ok=True)
    whole = b"".join(texts)
    assert b"".join(page.pieces()) == whole
    assert gzip.decompress(b"".join(page.gzipped())) == whole
    assert page.size == len(whole)


def test_what_is_settled_is_small() -> None:
    """A long block that is settled is what a gzip stream is sent, as it is; one that is short stays plain."""
    text = b'container_threads{id="/a",name="web",image="nginx"} 3\n' * 100
    assert len(text) >= WORTH_PACKING
    block = Block(text).settle()
    assert block.into(GzipStream()) is block.into(GzipStream())
    assert len(block.into(GzipStream())) < len(text) / 10
    assert block.plain() == text
    short = Block(b"x")
    assert short.settle().plain() is short.plain()
