"""A backtest decides again what the very same agents decided, and says what another policy would change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.bank import Rumor
from schemas.decision import Decision
from schemas.event import Media, Upload
from schemas.message import encode
from schemas.policy import Policy, Term, default_policy
from schemas.sanction import Ruling
from schemas.signals import Caption, MediaFacts, Signal, Signals
from schemas.topics import DECISIONS, POLICIES, RULINGS, RUMORS, SIGNALS, Topic
from streams.agent import Context, Incoming
from streams.archive.backtest import backtest, count, judges, share
from streams.archive.columns import Row
from streams.archive.report import page
from streams.archive.store import Place
from streams.metrics import Metrics
from streams.settings import load
from streams.views import View

BEGIN = datetime(2026, 2, 1, 8, tzinfo=UTC)
TITLES = ("周末骑行", "河边的兔子", "喝盐水可以治百病", "有人说喝盐水可以治百病", "老城区的早市")


def stricter(policy: Policy, version: int, text: str) -> Policy:
    terms = (*policy.review.terms, Term(text=text, category="test", action="takedown"))
    return msgspec.structs.replace(policy, version=version, review=msgspec.structs.replace(policy.review, terms=terms))


RUMOR = Rumor(rumor_id="salt", claims=("喝盐水可以治百病",), status="suspected", added_at=BEGIN)
#: What happened when, in minutes: another policy, a listed claim.
CHANGES = {
    20: (POLICIES, stricter(default_policy(), 2, "早市")),
    30: (RUMORS, RUMOR),
}


def signals(number: int) -> Signals:
    at = BEGIN + timedelta(minutes=number)
    event = Upload(
        event_id=f"e{number}", content_id=f"c{number}", publisher_id=f"p{number % 4}", provider_id="demo",
        service="short_video" if number % 2 else "audio", created_at=at, title=TITLES[number % len(TITLES)],
        media=Media(uri="https://example.org/a.mp4", sha256="0" * 64, bytes=10),
    )  # fmt: skip
    found = (Signal(name="nudity", detector="nudity", score=(number % 10) / 10),)
    caption = Caption(at_s=1.0, until_s=2.0, text=TITLES[(number * 3) % len(TITLES)], score=0.9)
    return Signals(event=event, extracted_at=at, extraction_s=0.5, media=MediaFacts(container="mp4", duration_s=9.0),
                   signals=found, captions=(caption,))  # fmt: skip


class Live:
    """The agents as a worker runs them, with a clock of the test's own; keeps all they were told and said."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.sent: dict[Topic, list[Row]] = {}
        metrics, shipped = Metrics(CollectorRegistry()), default_policy()
        kinds = judges()
        topics = {topic.name: topic for kind in kinds.values() for topic in kind.views}
        self.views = {
            name: View(topic, metrics, shipped={"default": shipped} if topic is POLICIES else None)
            for name, topic in topics.items()
        }
        context = Context(load(), metrics, self.views, lambda: self.now, lambda *_: None)
        self.agents = [kind(context) for kind in kinds.values()]

    def send(self, topic: Topic, key: str, value: bytes) -> None:
        lying = self.sent.setdefault(topic, [])
        lying.append(Row(len(lying), int(self.now.timestamp() * 1000), key.encode(), value))

    def run(self, items: int) -> None:
        for number in range(items):
            self.now = BEGIN + timedelta(minutes=number)
            if number in CHANGES:
                topic, row = CHANGES[number]
                self.send(topic, getattr(row, topic.key), encode(row))
                self.views[topic.name].apply(getattr(row, topic.key).encode(), encode(row))
            item = signals(number)
            self.send(SIGNALS, item.event.publisher_id, encode(item))
            for agent in self.agents:
                self.now += timedelta(milliseconds=37)
                for out in agent.handle(Incoming(SIGNALS.name, 0, number, item)):
                    if out.topic is DECISIONS:
                        self.send(DECISIONS, out.key, encode(out.value))


@pytest.fixture
def lived(opened, tmp_path) -> tuple[Path, list[Decision]]:
    """The archive of an hour, and what was decided in it."""
    live = Live()
    live.run(60)
    for number, outcome in ((4, "remove"), (9, "keep"), (14, "remove"), (24, "remove"), (34, "keep")):
        ruling = Ruling(ruling_id=f"r{number}", publisher_id="p0", outcome=outcome, reviewer_id="a", reason="seen",
                        ruled_at=live.now, event_id=f"e{number}", content_id=f"c{number}")  # fmt: skip
        live.send(RULINGS, "p0", encode(ruling))
    with opened() as archive:
        archive.append({Place(topic.name, 0): lying for topic, lying in live.sent.items()})
    made = [msgspec.json.decode(row.value, type=Decision) for row in live.sent[DECISIONS]]
    return tmp_path / "archive", made


async def test_the_policy_that_was_in_force_decides_again_what_it_decided_to_the_last_field(lived):
    folder, made = lived
    assert {one.agent for one in made} == {"review", "synthetic", "rumor"}
    assert {one.action for one in made} >= {"allow", "review", "takedown"}
    assert {one.policy.version for one in made} == {1, 2}
    assert any(one.agent == "rumor" and one.action != "allow" for one in made)
    result = await backtest(folder, load())
    assert (result.changed, result.failed, result.examples) == (0, 0, [])
    assert result.decisions == len(made) == count(folder, None) == 180


async def test_a_decision_that_was_altered_is_not_reproduced(lived, opened):
    folder, made = lived
    other = msgspec.structs.replace(made[0], event_id="e0x", decision_id="x", latency_s=7.0)
    item = signals(0)
    again = msgspec.structs.replace(item, event=msgspec.structs.replace(item.event, event_id="e0x"))
    with opened() as archive:
        archive.append(
            {
                Place("decisions", 1): [Row(0, int(BEGIN.timestamp() * 1000), b"p", encode(other))],
                Place("signals", 1): [Row(0, int(BEGIN.timestamp() * 1000), b"p", encode(again))],
            }
        )
    result = await backtest(folder, load())
    assert (result.decisions, result.changed) == (181, 1)
    assert result.examples[0]["fields"] == ["decision_id", "latency_s"]


async def test_a_candidate_says_what_would_change_and_how_well_it_agrees_with_people(lived):
    folder, _ = lived
    result = (await backtest(folder, load(), candidate=stricter(default_policy(), 9, "早市"))).shown()
    # Version 2 has the term already: items before it change, those whose title or caption shows the term.
    expected = [n for n in range(20) if "早市" in TITLES[n % 5] or "早市" in TITLES[n * 3 % 5]]
    assert result["changed"] == len(expected) > 0
    assert result["by_agent"] == {"review": len(expected)}
    assert sorted(one["content_id"] for one in result["examples"]) == sorted(f"c{n}" for n in expected)
    assert sum(result["by_service"].values()) == len(expected)
    rulings = result["against_rulings"]["review"]
    assert rulings["before"]["ruled"] == 5
    assert rulings["after"]["recall"]["hits"] == 3
    assert rulings["before"]["recall"]["hits"] < 3


async def test_only_what_was_decided_since_then_is_decided_again(lived):
    folder, _ = lived
    result = await backtest(folder, load(), since=BEGIN + timedelta(minutes=50))
    assert (result.decisions, result.changed) == (30, 0)


def test_intervals_are_wilsons():
    # Brown, Cai, DasGupta 2001 give [0.596, 0.982] for 9 of 10.
    found = share(9, 10)
    assert (round(found["low"], 3), round(found["high"], 3)) == (0.596, 0.982)
    assert share(0, 0)["share"] is None


async def test_the_report_needs_nothing_else_and_runs_nothing_that_a_title_says(lived):
    folder, _ = lived
    shown = (await backtest(folder, load(), candidate=stricter(default_policy(), 9, "早市"))).shown()
    shown["examples"][0]["title"] = "<script>alert(1)</script>"
    text = page(shown)
    assert "&lt;script&gt;" in text
    assert not any(word in text for word in ("<script", "src=", "href=", "url("))
    assert f"<b>{shown['changed']}</b> of 180 decisions would change" in text
    assert "review: allow → takedown" in text
