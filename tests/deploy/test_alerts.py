"""The alerts ask only for what is exported, and for labels that are there."""

from __future__ import annotations

import re
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
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]


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
    names = set(re.findall(r"veristream_[a-z_]+", rule["expr"]))
    assert names
    assert names <= exported.keys()
    labels = set().union(*(exported[name] for name in names))
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.split(r",\s*", group)}
    shown = set(re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"])))
    assert grouped <= labels
    assert shown <= grouped


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_what_it_means_and_where_to_look(rule):
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
