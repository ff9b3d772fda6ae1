"""What is exported follows Prometheus' conventions, and no content, publisher or stream ever becomes a label."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import Metrics

#: Labels with few values, all of them ours or the policy team's.
BOUNDED = {"action", "agent", "code", "kind", "layer", "name", "outcome", "partition", "topic", "verdict", "where"}
UNITS = ("_seconds", "_bytes", "_messages", "_rows", "_workers", "_partitions", "_version", "_busy", "_frames")


def every(metrics: Metrics) -> list[MetricWrapperBase]:
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


METRICS = every(Metrics(CollectorRegistry()))


def touched(metrics: Metrics) -> str:
    """The exposition once everything has been counted."""
    for metric in every(metrics):
        child = metric.labels(*(f"a{name}" for name in metric._labelnames)) if metric._labelnames else metric
        if metric._type == "counter":
            child.inc()
        elif metric._type == "gauge":
            child.set(1)
        else:
            child.observe(1)
    return generate_latest(metrics.registry).decode()


def test_there_are_metrics_to_look_at() -> None:
    assert len(METRICS) > 15


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric._name)
def test_a_metric_is_named_by_prometheus_conventions(metric: MetricWrapperBase) -> None:
    (family,) = list(metric.collect()) if not metric._labelnames else list(metric.describe())
    assert re.fullmatch(r"veristream(_[a-z]+)+", family.name)
    assert family.documentation
    assert not re.search(r"_(ms|millis|milliseconds|minutes|kb|mb|percent)\b", family.name)
    if family.type == "histogram":
        assert family.name.endswith("_seconds")
    elif family.type == "gauge":
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert family.name.endswith(UNITS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric._name)
def test_a_metric_has_only_labels_of_few_values(metric: MetricWrapperBase) -> None:
    assert set(metric._labelnames) <= BOUNDED


def test_the_exposition_is_read_by_prometheus_own_parser() -> None:
    metrics = Metrics(CollectorRegistry())
    families = {family.name: family for family in text_string_to_metric_families(touched(metrics))}
    assert len(families) == len(every(metrics))
    for family in families.values():
        assert family.samples
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names == {family.name + "_total"}
        elif family.type == "histogram":
            assert names == {family.name + suffix for suffix in ("_bucket", "_count", "_sum")}
        else:
            assert names == {family.name}


def test_two_workers_do_not_share_a_count() -> None:
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.messages_in.labels("echo", "uploads").inc(3)
    assert "veristream_messages_in_total{" not in generate_latest(other.registry).decode()
    assert 'veristream_messages_in_total{agent="echo",topic="uploads"} 3.0' in generate_latest(one.registry).decode()


def test_the_promised_latencies_are_bounds_of_their_own() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.verdict_seconds.labels("upload").observe(1)
    bounds = {
        float(sample.labels["le"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "veristream_verdict_seconds_bucket"
    }
    assert {2.0, 60.0} <= bounds


@pytest.mark.parametrize("metric", [m for m in METRICS if m._type == "histogram"], ids=lambda metric: metric._name)
def test_bounds_rise(metric: MetricWrapperBase) -> None:
    bounds = list(metric._kwargs.get("buckets") or metric._upper_bounds)
    assert bounds == sorted(set(bounds))
