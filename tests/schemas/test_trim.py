"""What is too large for the broker is made smaller without making what follows from it laxer."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.review.bank import HashBank
from agents.review.judge import Matched, judge
from schemas.bank import BankFrame, HashEntry
from schemas.examples import EXAMPLES
from schemas.message import decode, encode
from schemas.policy import ReviewPolicy, default_policy
from schemas.signals import CODE_S, Evidence, FrameHash, Signal, Signals, SoundPrint
from schemas.trim import COPIES, PIECE, trimmed

LIMIT = 1_000_000
SIGNALS: Any = EXAMPLES["signals"]


def frames(count: int, *, quality: int = 100, seed: int = 1) -> tuple[FrameHash, ...]:
    made = random.Random(seed)
    return tuple(FrameHash(at_s=float(at), pdq=made.randbytes(32).hex(), quality=quality) for at in range(count))


def found(count: int, length: int = 20) -> tuple[Evidence, ...]:
    return tuple(Evidence(at_s=float(at), entry=f"entry-{at}", text="字" * length) for at in range(count))


def fitted(message: Any, limit: int = LIMIT) -> Any:
    """The message made to fit, as whoever reads it has it."""
    assert len(encode(message)) > limit, "the test's message would fit as it is"
    smaller = trimmed(message, limit)
    assert smaller is not None
    assert len(encode(smaller)) <= limit
    assert smaller.trimmed > 0, "it does not say that something is missing"
    return decode(type(message), encode(smaller))


@pytest.mark.parametrize("topic", ["decisions", "takedowns", "reviews", "verdicts"])
def test_of_a_finding_the_first_evidence_and_everything_that_is_judged_by_stays(topic):
    message: Any = EXAMPLES[topic]
    reason = replace(message.reasons[0], evidence=found(20_000))
    whole = replace(message, reasons=(reason, *message.reasons))
    smaller = fitted(whole)
    assert smaller.reasons[0].evidence == found(100)
    assert smaller.trimmed == 19_900
    bare = [replace(reason, evidence=()) for reason in smaller.reasons]
    assert bare == [replace(reason, evidence=()) for reason in whole.reasons]
    untouched = {"reasons": (), "trimmed": 0}
    assert replace(smaller, **untouched) == replace(whole, **untouched)


def test_texts_are_shortened_with_a_mark_where_fewer_pieces_are_not_enough():
    message: Any = EXAMPLES["decisions"]
    smaller = fitted(replace(message, reasons=(replace(message.reasons[0], evidence=found(20, 20_000)),)))
    assert [len(piece.text) for piece in smaller.reasons[0].evidence] == [2000] * 20
    assert all(piece.text.endswith("…") for piece in smaller.reasons[0].evidence)


def test_evidence_of_signals_goes_before_any_frame():
    whole = replace(
        SIGNALS,
        frames=frames(2000),
        signals=(Signal(name="nudity", detector="nudity", score=0.9, evidence=found(9000)), *SIGNALS.signals),
    )
    smaller = fitted(whole)
    assert smaller.frames == whole.frames
    assert smaller.absent == whole.absent
    assert [(signal.name, signal.score) for signal in smaller.signals] == [
        (signal.name, signal.score) for signal in whole.signals
    ]


def test_copies_of_a_frame_go_without_a_word_and_ten_of_each_stay():
    picture, other = frames(2)
    whole = replace(SIGNALS, frames=(*tuple(replace(picture, at_s=float(at)) for at in range(20000)), other))
    smaller = fitted(whole)
    assert [frame.at_s for frame in smaller.frames] == [*map(float, range(COPIES)), other.at_s]
    assert smaller.absent == whole.absent


def test_frames_are_thinned_evenly_and_the_item_then_counts_as_not_wholly_reviewed():
    whole = replace(SIGNALS, frames=frames(21_600), absent=())
    smaller = fitted(whole)
    kept = [frame.at_s for frame in smaller.frames]
    assert len(kept) > 8_000
    gaps = [later - earlier for earlier, later in itertools.pairwise(kept)]
    assert max(gaps) <= 2 * min(gaps) + 1
    assert smaller.absent == (f"pdq: {21_600 - len(kept):,} of 21,600 frames did not fit into the message",)
    assert smaller.trimmed == 21_600 - len(kept)
    decision = judge(smaller, Matched(), default_policy(), SIGNALS.extracted_at)
    assert (decision.action, "REVIEW-BLIND") == ("review", decision.reasons[0].code)


ORDER = {"allow": 0, "label": 1, "review": 2, "takedown": 3}


def test_sound_is_left_out_in_even_pieces_before_any_frame_and_the_item_then_counts_as_not_wholly_reviewed():
    codes = random.Random(1).randbytes(4 * 200_000)
    sound = SoundPrint(at_s=0.0, until_s=200_000 * CODE_S, codes=codes)
    whole = replace(SIGNALS, frames=frames(500), sounds=(sound,), absent=("container: broken",))
    smaller = fitted(whole)
    assert smaller.frames == whole.frames
    pieces = len(range(0, 200_000, PIECE))
    assert len(smaller.sounds) == pytest.approx(pieces / 2, abs=1)
    assert smaller.absent[0] == "container: broken" and smaller.absent[1].startswith(f"sound: {pieces // 2:,} pieces")
    for piece in (smaller.sounds[1], smaller.sounds[-1]):
        begin = round(piece.at_s / CODE_S)
        assert piece.codes == codes[4 * begin : 4 * begin + len(piece.codes)]


@given(
    st.integers(0, 300),
    st.lists(st.integers(0, 299), max_size=4),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(9_000, 30_000),
)
@settings(deadline=None, max_examples=60)
def test_no_item_is_judged_more_mildly_for_having_been_trimmed(count, banned, least, copies, limit):
    """Down to a person: what would be removed may come to one instead, what a person would see is never let pass."""
    made = frames(300)
    shown = tuple(made[at % 300] for at in range(count) for _ in range(copies))
    whole: Signals = replace(SIGNALS, frames=shown, signals=(), absent=(), error=None)
    smaller = trimmed(whole, limit) if len(encode(whole)) > limit else whole
    assert smaller is not None
    bank = HashBank(
        HashEntry(
            entry_id=str(at),
            category="bench",
            source="test",
            added_at=SIGNALS.extracted_at,
            frames=(BankFrame(pdq=made[at].pdq, quality=100),),
        )
        for at in banned
    )
    review = ReviewPolicy(hash_min_frames=least)
    policy = replace(default_policy(), review=review)

    def action(signals: Signals) -> str:
        matches = bank.match(signals.frames, max_distance=review.hash_max_distance, min_quality=review.hash_min_quality)
        return judge(signals, Matched(frames=matches), policy, SIGNALS.extracted_at).action

    before, after = action(whole), action(smaller)
    assert ORDER[after] >= min(ORDER[before], ORDER["review"])


@pytest.mark.parametrize("topic", ["uploads", "publishers", "admitted"])
def test_what_others_wrote_is_not_touched(topic):
    assert trimmed(EXAMPLES[topic], 10) is None


def test_what_cannot_fit_is_not_sent_in_pieces():
    assert trimmed(SIGNALS, 100) is None
    assert trimmed(EXAMPLES["decisions"], 100) is None
