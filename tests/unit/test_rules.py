"""Recording rules and alerts: Prometheus' own tool checks and tries them, and what they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.testbed.commands import REPOSITORY
from tests.unit.promql import selectors

RULES = Path(REPOSITORY, "dashboards", "rules")
FILES = sorted(RULES.glob("*.yml"))
TESTS = sorted((RULES / "tests").glob("*.yml"))
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="not installed: promtool (prometheus)")

Rule = dict[str, Any]
ALL: list[Rule] = [
    rule for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in ALL if "record" in rule}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    """`promtool check rules` has no objection, the lint of duplicates included."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_promtool_runs_the_rules_tests(file: Path) -> None:
    """`promtool test rules`: what is tried fires, or stays silent, with the text that a person gets."""
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_wrong_threshold_fails_the_rules_tests(tmp_path: Path) -> None:
    """The tests can fail: an alert that fires ten times as soon is noticed."""
    (tmp_path / "tests").mkdir()
    for file in [*FILES, *TESTS]:
        text = file.read_text().replace(":ratio > 0.9", ":ratio > 0.09")
        (tmp_path / file.relative_to(RULES)).write_text(text)
    assert promtool("test", "rules", tmp_path / "tests" / "memory.yml").returncode == 1


def test_each_alert_is_tried_firing_and_silent() -> None:
    """Each alert has a test in which it fires, and one in which it does not."""
    tried: dict[str, set[bool]] = {}
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                tried.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert tried == {name: {True, False} for name in ALERTS}


@pytest.mark.parametrize("rule", ALERTS.values(), ids=list(ALERTS))
def test_an_alert_says_what_to_do(rule: Rule) -> None:
    """A severity, a sentence, what to do in some more, and a dashboard that exists, opened at what it is about."""
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert len(notes["description"].split()) > 15
    uid, _, arguments = notes["dashboard"].removeprefix("/d/").partition("?")
    assert (RULES.parent / "grafana" / f"{uid}.json").exists()
    if "$labels.name" in notes["summary"]:
        variable = "container" if uid == "cgscope-container" else "name"
        assert f"var-{variable}={{{{ urlquery $labels.name }}}}" in arguments
        assert "{{ $labels.instance }}" in notes["description"]


def test_rules_are_about_containers_not_control_groups() -> None:
    """Every metric that a control group has as well is narrowed to containers; rules on rules have it from there."""
    for rule in ALL:
        for one in selectors(rule["expr"]):
            if one.metric.startswith("container_"):
                assert "image" in one.matchers or "code" in one.matchers, rule


def test_recording_rules_are_named_as_prometheus_has_it() -> None:
    """level:metric:operations; and what a rule uses of that form is recorded by one."""
    for name in RECORDED:
        assert re.fullmatch(r"container:[a-z_]+:[a-z0-9_]+", name)
    used = {one.metric for rule in ALL for one in selectors(rule["expr"]) if ":" in one.metric}
    assert used <= set(RECORDED)
