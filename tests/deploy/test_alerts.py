"""The alerts ask only for what is exported, and for labels that are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from schemas.policy import default_policy
from schemas.topics import POLICIES, TOPICS
from streams.agent import Context
from streams.metrics import Metrics
from streams.registered import installed
from streams.settings import Settings
from streams.views import View
from streams.worker import now

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
ALL = [
    rule
    for name in ("alerts.yml", "objectives.yml")
    for group in yaml.safe_load((FOLDER / name).read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
RULES = [rule for rule in ALL if "alert" in rule]
RECORDED = {rule["record"]: rule for rule in ALL if "record" in rule}
TESTED = {one["name"]: one for one in yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))["tests"]}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Every series name that a worker with all agents exports, with its labels."""
    metrics = Metrics(CollectorRegistry())
    views = {topic.name: View(topic, metrics) for topic in TOPICS.values() if topic.compacted}
    views[POLICIES.name].rows["default"] = default_policy()
    context = Context(Settings(), metrics, views, now, None)  # type: ignore[arg-type]
    for kind in installed("veristream.agents", ()).values():
        kind(context)
    found: dict[str, set[str]] = {}
    for collector in set(metrics.registry._names_to_collectors.values()):
        labels = set(getattr(collector, "_labelnames", ()))
        for metric in collector.describe():
            for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(metric.type, ("",)):
                found[metric.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_exported(rule, exported):
    expr = rule["expr"]
    for name in set(re.findall(r"veristream:[\w:]+", expr)):
        expr += RECORDED[name]["expr"]
    names = set(re.findall(r"veristream_[a-z_]+", expr))
    assert names
    assert names <= exported.keys()
    labels = set().union(*(exported[name] for name in names))
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.split(r",\s*", group)}
    shown = set(re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"])))
    assert grouped <= labels
    assert shown <= grouped


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_what_it_means_and_where_to_look(rule):
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    runbook = (ROOT / rule["annotations"]["runbook_url"]).read_text("utf-8")
    assert rule["alert"] in runbook.splitlines()[0]
    assert re.findall(r"^## (.*)$", runbook, re.MULTILINE) == ["First look", "Fix", "It is fixed when"]
    assert "**What it means.**" in runbook


def test_no_runbook_is_left_of_an_alert_that_is_gone():
    named = {ROOT / rule["annotations"]["runbook_url"] for rule in RULES}
    assert set((ROOT / "docs/runbooks").glob("*.md")) == named


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_has_a_test_in_which_it_fires_and_one_in_which_it_has_cleared(rule):
    fires, cleared = TESTED[rule["alert"]]["promql_expr_test"]
    assert rule["alert"] in fires["expr"]
    assert (fires["exp_samples"], cleared["exp_samples"]) == ([{"value": 1}], [])
    assert fires["expr"] == cleared["expr"]


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("command", ["test rules alerts_test.yml", "check config prometheus.yml"])
def test_prometheus_own_tool_finds_the_rules_right_and_each_fires_and_clears(command):
    told = subprocess.run(["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout + told.stderr


def test_operations_explain_every_metric_that_is_exported(exported):
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    parts = ("_bucket", "_sum", "_count")
    shown = {name for name in exported if not name.endswith(parts)} | {
        name.removesuffix("_bucket") for name in exported if name.endswith("_bucket")
    }
    assert {name for name in shown if not re.search(rf"`{name}`", page)} == set()
