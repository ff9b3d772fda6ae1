"""The plan follows from the event, its publisher and the policy, and detectors see what it says and what cues bring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from clips import clip
from numpy.typing import NDArray
from trial_agents import NOW, upload

from schemas.event import Admitted
from schemas.message import Refused, convert
from schemas.plan import Look, Plan
from schemas.policy import DetectorRule, ExtractionPolicy, Policy, default_policy
from streams.extraction.detector import SOUND_RATE, Cue, Detector, Findings, Frame, Source
from streams.extraction.limits import Limits, limits_of
from streams.extraction.plan import closer, plan_for
from streams.extraction.read import read
from streams.settings import load

LIMITS = Limits(sample_interval_s=0.5, max_pixels=1_000_000, max_duration_s=3600.0)


class Base(Detector):
    name = "base"
    version = "1"
    wants_frames = True

    def open(self, source: Source) -> None:
        self.times: list[float] = []
        self.calls: list[int] = []
        self.heard: list[tuple[float, int]] = []

    def see(self, frames: Sequence[Frame]) -> Iterable[Cue] | None:
        self.times += [frame.at_s for frame in frames]
        self.calls.append(len(frames))
        return None

    def hear(self, samples: NDArray[np.float32], at_s: float) -> Iterable[Cue] | None:
        self.heard.append((at_s, len(samples)))
        return None

    def findings(self) -> Findings:
        return Findings()


class Nudity(Base):
    name = "nudity"


class Learned(Base):
    name = "learned"
    tier = 1


class Reader(Base):
    name = "reader"
    tier = 1
    wakes_on = frozenset({"text"})


KINDS: list[type[Detector]] = [Base, Nudity, Learned, Reader]


def plan(policy: Policy | None = None, event: Any = None, **admitted: Any) -> Plan:
    return plan_for(Admitted(event=event or upload(1), admitted_at=NOW, **admitted), policy or default_policy(), KINDS)


def ruled(**rules: Any) -> Policy:
    policy = default_policy()
    return msgspec.structs.replace(policy, extraction=msgspec.structs.replace(policy.extraction, **rules))


def runs(found: Plan) -> dict[str, tuple[str, float | None]]:
    return {name: (look.run, look.every_s) for name, look in found.detectors.items()}


def test_an_item_without_reasons_is_looked_at_cheaply_and_for_nudity_all_the_same() -> None:
    found = plan()
    assert (found.tier, found.why, found.decode, found.key_frames) == (0, (), "cheap", True)
    assert runs(found) == {
        "base": ("always", None),
        "nudity": ("always", 2.0),
        "learned": ("off", None),
        "reader": ("cued", None),
    }


REASONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "publisher_new": ({"standing": ("new",)}, {}),
    "publisher_sanctioned": ({"standing": ("sanctioned",)}, {}),
    "labelled": ({"labels": ("watched",)}, {}),
    "news": ({}, {"category": "news"}),
    "declared_synthetic": ({}, {"declared_synthetic": True}),
}


@pytest.mark.parametrize("why", REASONS)
def test_each_reason_puts_an_item_into_tier_1_and_none_does_that_the_policy_leaves_out(why: str) -> None:
    admitted, changes = REASONS[why]
    event = msgspec.structs.replace(upload(1), **changes)
    found = plan(event=event, **admitted)
    assert (found.tier, found.why) == (1, (why,))
    assert runs(found) == dict.fromkeys(("base", "nudity", "learned", "reader"), ("always", None))
    assert plan(ruled(escalate=()), event, **admitted).tier == 0


def test_the_policy_can_put_every_item_there() -> None:
    assert plan(ruled(escalate=("always",))).why == ("always",)


def test_the_policy_says_when_a_detector_looks() -> None:
    rules = {
        "base": DetectorRule(run="off"),
        "learned": DetectorRule(run="always", every_s=5.0),
        "reader": DetectorRule(run="escalated"),
        "nudity": DetectorRule(run="cued"),  # nothing would ever wake it
    }
    found = ruled(detectors=rules)
    assert runs(plan(found)) == {
        "base": ("off", None),
        "learned": ("always", 5.0),
        "reader": ("off", None),
        "nudity": ("off", None),
    }
    assert runs(plan(found, standing=("new",)))["base"] == ("off", None)


def test_a_plan_for_a_closer_look_is_dense_and_made_once() -> None:
    policy = default_policy()
    first = plan()
    second = closer(first, "near_miss", policy, KINDS)
    assert second is not None
    assert (second.tier, second.why, second.decode, second.every_s) == (1, ("near_miss",), "all", 0.2)
    assert closer(second, "near_miss", policy, KINDS) is None
    assert closer(first, "near_miss", ruled(escalate=("news",)), KINDS) is None


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"every_s": 0}, "every_s"),
        ({"escalate": ["whim"]}, "escalate"),
        ({"detectors": {"nudity": {"run": "sometimes"}}}, "detectors"),
        ({"detectors": {"nudity": {"every": 2}}}, "detectors"),
    ],
)
def test_a_policy_that_says_what_cannot_be_is_refused_with_the_field(rules: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as caught:
        convert(ExtractionPolicy, rules)
    assert named in str(caught.value)


def test_the_settings_are_the_limits() -> None:
    settings = load(
        sample_interval_s=0.3, max_pixels=7, max_duration_s=8, max_streams=3, max_frames=5, max_decoded_bytes=9
    )
    assert limits_of(settings) == Limits(0.3, 7, 8.0, 3, 5, 9)


# What detectors see of it.


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("plan") / "clip.mp4", seconds=9)


def test_a_detector_looks_as_often_as_the_plan_says_and_at_each_new_scene(media: Path) -> None:
    base, nudity = Base(), Nudity()
    looks = {"nudity": Look(every_s=4.0)}
    reading = read(media, [base, nudity], LIMITS, Plan(key_frames=False, decode="all", detectors=looks))
    assert len(base.times) == reading.media.frames_seen == 18
    assert nudity.times == [0.0, 4.0, 8.0]
    assert set(reading.models) == {"base", "nudity"}


def test_a_detector_that_is_off_is_neither_run_nor_missed(media: Path) -> None:
    base, learned = Base(), Learned()
    reading = read(media, [base, learned], LIMITS, Plan(detectors={"learned": Look(run="off")}))
    assert not hasattr(learned, "times")
    assert (set(reading.models), reading.absent) == ({"base"}, ())


def test_no_more_frames_come_at_once_than_a_detector_asks_for(media: Path) -> None:
    class Small(Base):
        batch = 3

    small = Small()
    read(media, [small], LIMITS)
    assert sum(small.calls) == 18
    assert max(small.calls) == 3


def test_frames_that_another_points_to_are_shown_to_the_one_that_they_wake(media: Path) -> None:
    class Finder(Base):
        name = "finder"

        def see(self, frames: Sequence[Frame]) -> Iterable[Cue]:
            super().see(frames)
            return [Cue("text", frame.at_s, frame.at_s) for frame in frames if 3 <= frame.at_s < 4.6] + [
                Cue("faces", 0.0, 99.0)
            ]

    finder, reader = Finder(), Reader()
    plan = Plan(key_frames=False, decode="all", detectors={"reader": Look(run="cued")})
    reading = read(media, [reader, finder], LIMITS, plan)
    assert reader.times == [3.0, 3.5, 4.0, 4.5]
    assert reading.ran is not None
    assert reading.ran.cued == {"reader": 4}
    awake = Reader()
    read(media, [awake, finder], LIMITS)
    assert len(awake.times) == 18


def test_sound_that_another_points_to_is_heard_once_though_it_lies_back(media: Path) -> None:
    class Voice(Base):
        name = "voice"
        wants_frames = False
        wants_sound = True

        def hear(self, samples: NDArray[np.float32], at_s: float) -> Iterable[Cue]:
            return [Cue("speech", 1.5, 3.25), Cue("speech", 3.0, 3.5)] if 4 < at_s < 5.2 else []

    class Writer(Base):
        name = "writer"
        wants_frames = False
        wants_sound = True
        tier = 1
        wakes_on = frozenset({"speech"})

    writer = Writer()
    plan = Plan(detectors={"writer": Look(run="cued")})
    reading = read(media, [Voice(), writer], LIMITS, plan)
    assert [at_s for at_s, _ in writer.heard] == pytest.approx([1.5, 3.25], abs=0.002)
    assert [count / SOUND_RATE for _, count in writer.heard] == pytest.approx([1.75, 0.25], abs=0.002)
    assert reading.ran is not None
    assert reading.ran.cued == {"writer": 2}


def test_a_detector_whose_cues_are_none_is_absent(media: Path) -> None:
    class Confused(Base):
        name = "confused"

        def see(self, frames: Sequence[Frame]) -> Any:
            return [3]

    reading = read(media, [Confused(), Base()], LIMITS)
    assert reading.absent[0].startswith("confused: TypeError")
    assert set(reading.models) == {"base"}
