"""A classifier that a platform brings: used as its manifest says, in force only once its error was measured."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agents.review.judge import Matched, judge
from agents.review.manifest import manifests
from agents.review.plugin import PluginDetector
from schemas.message import convert
from schemas.policy import ModelRule, Policy
from schemas.signals import Evidence
from streams.cli.main import command_line
from streams.extraction.detector import Frame, Part, Source
from streams.extraction.process import MODELS_DIR
from tests.agents.onnx_model import classifier

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Source("mp4", {}, [], io.BytesIO())
#: Redder pictures get a higher answer for "red".
WEIGHTS, BIAS = np.array([[8.0, -8.0], [0.0, 0.0], [0.0, 0.0]]), np.array([-4.0, 4.0])
MEASURED = """
[[signals.measured]]
source = "our review queue, March 2026"
threshold = 0.9
positives = 400
found = 330
negatives = 10000
false_positives = 7
"""
MANIFEST = """
name = "{name}"
version = "1"
file = "{name}.onnx"
sha256 = "{sha256}"
licence = "Apache-2.0"
source = "trained here"
labels = ["red", "other"]
activation = "softmax"

[input]
height = 32
width = 32

[[signals]]
name = "{name}-red"
labels = ["red"]
"""


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Puts models into the folder: each by name, what follows its manifest, and replacements in it."""

    def bring(name="tint", tail=MEASURED, content=None, **changes):
        content = classifier(WEIGHTS, BIAS) if content is None else content
        (tmp_path / f"{name}.onnx").write_bytes(content)
        text = MANIFEST.format(name=name, sha256=hashlib.sha256(content).hexdigest()) + tail
        for old, new in changes.items():
            replaced = next(line for line in text.splitlines() if line.startswith(f"{old} = "))
            text = text.replace(replaced, new, 1)
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")

    monkeypatch.setenv(MODELS_DIR, str(tmp_path))
    bring.folder = tmp_path
    return bring


def picture(red):
    rgb = np.zeros((90, 160, 3), np.uint8)
    rgb[..., 0] = red
    return rgb


def seen(detector, *reds):
    detector.open(SOURCE)
    detector.see([Frame(float(number), picture(red)) for number, red in enumerate(reds)])
    return detector.findings()


def test_its_signal_is_the_score_that_lasts_with_the_frames_as_evidence(brought):
    brought()
    found = seen(PluginDetector(), 0, 255, 255, 0)
    (signal,) = found.signals
    assert (signal.name, signal.detector, found.absent) == ("tint-red", "plugin", ())
    assert signal.score == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-3)
    assert {one.at_s for one in signal.evidence[:2]} == {1.0, 2.0}


def test_a_single_frame_counts_half_and_a_still_in_full(brought):
    brought()
    detector = PluginDetector()
    assert seen(detector, 0, 255, 0).signals[0].score == pytest.approx(0.5, abs=0.01)
    assert seen(detector, 255).signals[0].score > 0.99


def test_a_model_whose_error_was_not_measured_gives_only_a_trials_signal(brought, make):
    brought(tail="")
    (signal,) = seen(PluginDetector(), 255).signals
    assert signal.name == "trial.tint-red"
    policy = make.policy(review={"models": {"tint-red": ModelRule(takedown=0.5)}})
    decision = judge(make.signals(signal), Matched(), policy, make.now)
    assert decision.action == "allow"


def test_the_policys_threshold_brings_a_person_or_removes_and_names_the_signal(brought, make):
    brought()
    (signal,) = seen(PluginDetector(), 255).signals
    for rule, action in ((ModelRule(review=0.9), "review"), (ModelRule(review=0.5, takedown=0.9), "takedown")):
        decision = judge(make.signals(signal), Matched(), make.policy(review={"models": {"tint-red": rule}}), make.now)
        assert (decision.action, [reason.code for reason in decision.reasons]) == (action, ["REVIEW-MODEL"])
        assert decision.reasons[0].evidence[0].entry == "tint-red"
    silent = judge(make.signals(signal), Matched(), make.policy(), make.now)
    assert silent.action == "allow"


def test_calibration_turns_the_models_score_into_a_share_of_right_answers(brought):
    brought(tail="calibration = [[0.0, 0.0], [0.9, 0.2], [1.0, 0.6]]\n" + MEASURED)
    (signal,) = seen(PluginDetector(), 255).signals
    assert signal.score == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": f'sha256 = "{"0" * 64}"'}, "sha256: tint.onnx has"),
        ({"file": 'file = "other.onnx"'}, "file: "),
        ({"file": 'file = "../other.onnx"'}, "file: "),
        ({"licence": ""}, "licence: "),
        ({"licence": 'licence = ""'}, "licence: "),
        ({"height": "height = 9000"}, "input.height: "),
        ({"height": "height = 64"}, "input: tint.onnx takes n×3×32×32"),
        ({"width": "width = 32\nlayout = 'nhwc'"}, "input: tint.onnx takes"),
        ({"width": "width = 32\nmean = [1.0, 2.0]"}, "input.mean: "),
        ({"width": "width = 32\ncolor = 'rgb'"}, "input.color: "),
        ({"labels": 'labels = ["red", "other", "third"]'}, "labels: 3 are named, and the model gives 2"),
        ({"labels": 'labels = ["blue", "other"]'}, "signals[0].labels"),
        ({"activation": 'activation = "relu"'}, "activation: "),
        ({"activation": 'output = "scores"'}, "output: there is no scores; there are answers"),
        ({"threshold": "threshold = 1.5"}, "signals[0].measured[0].threshold: "),
        ({"found": "found = 500"}, "`found` is more than `positives`"),
        ({"version": "version 1"}, "tint.toml: "),
    ],
)
def test_a_bad_field_is_refused_by_name_and_the_other_models_go_on(brought, changes, said):
    brought(**changes)
    brought("good")
    detector = PluginDetector()
    (problem,) = PluginDetector.problems()
    assert problem.startswith("tint.toml: ") and said in problem
    found = seen(detector, 255)
    assert [signal.name for signal in found.signals] == ["good-red"]
    assert found.absent == (f"plugin: Unavailable: {problem}",)


def test_what_is_no_onnx_and_names_that_are_taken_are_refused(brought):
    brought("broken", content=b"no model")
    brought("twice")
    (brought.folder / "zwice.toml").write_text((brought.folder / "twice.toml").read_text("utf-8"), "utf-8")
    brought("nude", labels='labels = ["red", "other"]')
    text = (brought.folder / "nude.toml").read_text("utf-8").replace('"nude-red"', '"nudity"')
    (brought.folder / "nude.toml").write_text(text, "utf-8")
    problems = PluginDetector.problems()
    assert [problem.split(":")[0] for problem in problems] == ["broken.toml", "nude.toml", "zwice.toml"]
    assert "no ONNX model" in problems[0]
    assert "nudity is taken" in problems[1]
    assert "twice is used in twice.toml already" in problems[2]


def test_without_a_folder_there_is_nothing_and_one_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(MODELS_DIR, "")
    assert (PluginDetector.problems(), seen(PluginDetector(), 255).signals) == ([], ())
    monkeypatch.setenv(MODELS_DIR, str(tmp_path / "none"))
    (problem,) = PluginDetector.problems()
    assert "is not there" in problem
    assert list(manifests(None)) == []


def test_stretches_are_joined_by_the_highest_score(brought):
    brought()
    detector = PluginDetector()
    parts = [Part(0, 60, seen(detector, 0, 10)), Part(60, 120, seen(detector, 255, 255))]
    (signal,) = PluginDetector.merge(parts).signals
    assert signal.score > 0.99
    assert isinstance(signal.evidence[0], Evidence)


def test_the_command_lists_what_is_armed_and_fails_where_a_model_is_refused(brought):
    brought("armed")
    brought("trial", tail="")
    listed = CliRunner().invoke(command_line(), ["models", str(brought.folder), "--json"])
    assert listed.exit_code == 0, listed.output
    rows = {row["model"]: row for row in map(json.loads, listed.output.splitlines())}
    assert rows["armed"]["state"] == "armed" and "330/400" in rows["armed"]["measured"][0]
    assert rows["trial"]["state"].startswith("trial") and rows["trial"]["signals"] == ["trial.trial-red"]
    assert rows["nudity"]["state"] == "ships"
    brought("bad", file='file = "gone.onnx"')
    refused = CliRunner().invoke(command_line(), ["models", str(brought.folder)])
    assert refused.exit_code == 1
    assert "bad.toml: file:" in refused.output


def test_the_documented_example_is_a_manifest_and_a_policy_that_arm_a_model(tmp_path):
    manifest, policy = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "models.md").read_text("utf-8"), re.DOTALL)[:2]
    (tmp_path / "gore.toml").write_text(manifest, "utf-8")
    (found,) = manifests(tmp_path)
    assert found.manifest, found.why
    assert [(one.name, one.measured[0].found) for one in found.manifest.signals] == [("gore", 337)]
    rules = convert(Policy, {"name": "p", "version": 1, **tomllib.loads(policy)}).review
    assert rules.models == {"gore": ModelRule(review=0.9, takedown=0.99)}
    assert rules.stricter[0].models == {"gore": ModelRule(review=0.6)}
