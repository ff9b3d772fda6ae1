"""`veristream features list`, and how the registrar refuses to start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.identity.commands import lacks
from schemas.registry import Assessment, Feature
from schemas.topics import FEATURES
from streams.client import Client
from streams.kafka import create_topics

NOW = datetime.now(UTC)


def feature(name, valid_until=None):
    assessment = valid_until and Assessment(
        assessor="lab", report_sha256="cd" * 32, assessed_at=NOW, valid_until=valid_until
    )
    return Feature(feature_id=name, name=f"[{name}]", assessment=assessment)


def veristream(*arguments, **settings):
    env = os.environ | {f"VERISTREAM_{name.upper()}": str(value) for name, value in settings.items()}
    command = [Path(sys.executable).with_name("veristream"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
async def registered(on_broker):
    settings = on_broker()
    await create_topics(settings)
    async with Client(settings) as client:
        for row in (
            feature("valid", NOW + timedelta(days=30)),
            feature("expired", NOW - timedelta(days=1)),
            feature("none"),
            feature("deleted"),
        ):
            await client.send(FEATURES, row)
        await client.send_raw(FEATURES, b"deleted", None)
        await client.send_raw(FEATURES, b"broken", b"{")
    return {"broker": settings.broker, "topic_prefix": settings.topic_prefix}


def test_features_are_listed_and_those_that_lack_an_assessment_alone(registered):
    done = veristream("features", "list", **registered)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("valid until", "expired", "none", "[valid]"))
    assert "deleted" not in done.stdout
    assert "'broken' cannot be read" in done.stderr
    done = veristream("features", "list", "--missing", "--json", **registered)
    assert [json.loads(line)["feature_id"] for line in done.stdout.splitlines()] == ["expired", "none"]


def test_what_a_feature_lacks_is_said():
    assert lacks(feature("f"), NOW) == "none"
    assert lacks(feature("f", NOW), NOW).startswith("expired ")
    assert lacks(feature("f", NOW + timedelta(seconds=1)), NOW) == ""


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["--host", "0.0.0.0"], {}, "registrar_token: 0.0.0.0 can be reached from elsewhere"),
        ([], {"verifier": "nowhere"}, "verifiers: nowhere not installed"),
        ([], {"identity_keys": "nowhere.json"}, "identity_keys: nowhere.json"),
        ([], {"broker": "127.0.0.1:9"}, "no Kafka broker answers"),
    ],
)
def test_a_registrar_that_cannot_start_says_why_in_a_sentence(arguments, settings, said):
    done = veristream("registrar", "serve", *arguments, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
