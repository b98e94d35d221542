"""Containers that runc and crun were told to run by themselves: found, and told of alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.testbed.commands import NSINSPECT, ctop_document, run
from tests.testbed.plain import plain

pytestmark = pytest.mark.root

RUNTIMES = ("runc", "crun")
Told = dict[str, Any]


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, tuple[Told, Told, int, str]]]:
    """Give what ctop and nsinspect say of one container of each, with its first process and its root filesystem."""
    with plain("runc", "cgscope-plain-runc") as runc, plain("crun", "cgscope-plain-crun") as crun:
        containers = ctop_document("-d", "0.2", "--processes")["containers"]
        made = {}
        for runtime, (pid, root) in zip(RUNTIMES, (runc, crun), strict=True):
            (found,) = (one for one in containers if any(row["pid"] == pid for row in one["processes"] or []))
            inspected = json.loads(run([*NSINSPECT, "--json", str(pid)]).stdout)
            made[runtime] = (dict(found), inspected, pid, root)
        yield made


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_is_named(told: dict[str, tuple[Told, Told, int, str]], runtime: str) -> None:
    """No engine has named it: it goes by its program, and ctop and nsinspect call it the same."""
    listed, inspected, pid, root = told[runtime]
    assert (listed["name"], listed["image"], listed["kind"]) == (f"sleep-{pid}", root, "container")
    names = [inspected[f"container{key}"] for key in ("", "_name", "_runtime", "_image")]
    assert names == [listed[key] for key in ("id", "name", "runtime", "image")]


def test_crun_is_told_of_as_runc_is(told: dict[str, tuple[Told, Told, int, str]]) -> None:
    """Runtime, kind and evidence are the same but for their numbers."""
    def of(runtime: str) -> list[Any]:
        listed = told[runtime][0]
        evidence = [re.sub(r"\d{6,}", "N", text) for text in listed["evidence"]]
        return [listed["runtime"], listed["kind"], listed["state"], evidence, listed["cpu"]["source"]]

    assert of("crun") == of("runc")
